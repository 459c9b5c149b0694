"""Merging into a user's kubeconfig harms nothing that is there, and taking out leaves what was."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from minikube_py import kubeconfig
from minikube_py.config import Config, ConfigError, configured, for_profile

OTHERS = {
    "apiVersion": "v1",
    "kind": "Config",
    "preferences": {"colors": True},
    "clusters": [{"name": "prod", "cluster": {"server": "https://prod"}}],
    "users": [{"name": "prod", "user": {"token": "t"}}],
    "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "prod"}}],
    "current-context": "prod",
}


def ours() -> kubeconfig.Document:
    return kubeconfig.document(Config(), ca=b"ca", certificate=b"cert", key=b"key")


def test_what_is_there_stays_and_ours_becomes_current(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(OTHERS))
    path.chmod(0o640)
    kubeconfig.merge_into(path, ours())
    merged = yaml.safe_load(path.read_text())
    assert merged["current-context"] == "minikube-py"
    assert merged["preferences"] == {"colors": True}
    assert [cluster["name"] for cluster in merged["clusters"]] == ["prod", "minikube-py"]
    assert path.stat().st_mode & 0o777 == 0o640
    kubeconfig.take_out(path, "minikube-py")
    assert yaml.safe_load(path.read_text()) == OTHERS


def test_merging_twice_is_merging_once(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/config"
    kubeconfig.merge_into(path, ours())
    once = path.read_text()
    kubeconfig.merge_into(path, ours())
    assert path.read_text() == once
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_lock_of_kubectl_is_respected(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.with_name("config.lock").touch()
    with pytest.raises(kubeconfig.KubeconfigError, match="another program edits"):
        kubeconfig.merge_into(path, ours())


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "just words"])
def test_a_file_that_is_no_kubeconfig_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(kubeconfig.KubeconfigError, match="left alone"):
        kubeconfig.merge_into(path, ours())
    assert path.read_text() == text
    assert not path.with_name("config.lock").exists()


def test_the_callers_home_is_meant_under_sudo() -> None:
    assert kubeconfig.user_path({"KUBECONFIG": "/a:/b", "HOME": "/h"}) == Path("/a")
    assert kubeconfig.user_path({"HOME": "/h"}) == Path("/h/.kube/config")


def test_profiles_share_nothing() -> None:
    one, other = for_profile("one"), for_profile("other")
    for name in ("data_dir", "instance", "run_dir", "bridge", "context", "port", "kubelet_port", "pod_cidr"):
        assert getattr(one, name) != getattr(other, name), name
    assert len(str(other.cri_socket)) < 108


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"port": "many"}, "no number"),
        ({"prot": 1}, "unknown option"),
        ({"components": "apiserver,frontend"}, "frontend is none of"),
        ({"pod-cidr": "10.0.0.1/8"}, "no address range"),
    ],
)
def test_options_that_make_no_sense_are_refused(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        configured(Config(), values)


def test_lists_come_as_words_with_commas_or_as_lists() -> None:
    config = configured(Config(), {"tls-san": "a, b", "components": ["apiserver"], "data-dir": "/x"})
    assert (config.tls_san, config.components, config.data_dir) == (("a", "b"), ("apiserver",), Path("/x"))
