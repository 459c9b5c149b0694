"""A pod's volumes on the disk: what is in them, how they change, why they can't be had, and that they go again."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelet.podfiles import container_mounts
from kubelet.subpaths import sub_path
from kubelet.volumecontent import Sources, VolumeFailure, tokens_of
from kubelet.volumes import memory_volume_size, set_up, take_down
from machinery.api.resource import Object, Resource
from machinery.api.resources import CONFIG_MAPS, SECRETS
from machinery.linux.mount import mount_points, unmount
from tests.known import Known


def put(known: Known, resource: Resource, name: str, **fields: object) -> None:
    known.put(resource, {"kind": resource.kind, "metadata": {"name": name, "namespace": "ns"}, **fields})


@pytest.fixture(autouse=True)
def _unmounted(tmp_path: Path) -> Iterator[None]:
    yield
    for point in reversed(mount_points(tmp_path)):
        unmount(point)


def pod_with(*volumes: Object, security: Object | None = None) -> Object:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"b": '2"', "a": "1"}},
        "spec": {
            "volumes": list(volumes),
            "securityContext": security or {},
            "containers": [
                {
                    "name": "c",
                    "resources": {"limits": {"cpu": "1500m"}},
                    "volumeMounts": [{"name": volume["name"], "mountPath": "/v"} for volume in volumes],
                }
            ],
        },
    }


def put_up(folder: Path, volume: Object, known: Known | None = None, security: Object | None = None) -> Path:
    sources = Sources(known or Known(), lambda audience, seconds: f"token for {audience} {seconds}")
    paths, failed = set_up(pod_with({"name": "v", **volume}, security=security), folder, sources)
    assert failed == []
    return paths["v"]


def visible(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith("..")}


def failure(folder: Path, volume: Object, known: Known | None = None) -> str:
    paths, (said,) = set_up(pod_with({"name": "v", **volume}), folder, Sources(known or Known(), lambda *_: ""))
    assert paths == {}
    return said


def test_a_volume_that_no_container_uses_may_lack_anything(tmp_path: Path) -> None:
    pod = pod_with({"name": "v", "configMap": {"name": "nope"}})
    pod["spec"]["containers"][0]["volumeMounts"] = []
    assert set_up(pod, tmp_path, Sources(Known(), lambda *_: "")) == ({}, [])


def test_each_volume_that_lacks_something_is_told(tmp_path: Path) -> None:
    volumes = [{"name": "a", "configMap": {"name": "x"}}, {"name": "b", "emptyDir": {}}, {"name": "c", "nfs": {}}]
    paths, failed = set_up(pod_with(*volumes), tmp_path, Sources(Known(), lambda *_: ""))
    assert list(paths) == ["b"]
    assert failed == [
        'MountVolume.SetUp failed for volume "a" : configmap "x" not found',
        'MountVolume.SetUp failed for volume "c" : no volume plugin matched: nfs',
    ]


def test_a_config_map_becomes_files(tmp_path: Path) -> None:
    known = Known()
    put(known, CONFIG_MAPS, "m", data={"a": "one"}, binaryData={"b": base64.b64encode(b"two").decode()})
    folder = put_up(tmp_path, {"configMap": {"name": "m", "defaultMode": 0o640}}, known)
    assert visible(folder) == {"a": "one", "b": "two"}
    assert os.readlink(folder / "a") == "..data/a"
    assert (folder / "a").stat().st_mode & 0o777 == 0o640


def test_items_choose_path_and_mode(tmp_path: Path) -> None:
    known = Known()
    put(known, SECRETS, "s", type="Opaque", data={"k": base64.b64encode(b"hidden").decode(), "other": ""})
    items = [{"key": "k", "path": "deep/file", "mode": 0o400}]
    folder = put_up(tmp_path, {"secret": {"secretName": "s", "items": items}}, known)
    assert [path.name for path in folder.iterdir() if not path.name.startswith("..")] == ["deep"]
    assert (folder / "deep/file").read_text() == "hidden"
    assert (folder / "deep/file").stat().st_mode & 0o777 == 0o400


def test_a_change_replaces_all_files_and_leaves_nothing_behind(tmp_path: Path) -> None:
    known = Known()
    put(known, CONFIG_MAPS, "m", data={"a": "1", "gone": "x"})
    folder = put_up(tmp_path, {"configMap": {"name": "m"}}, known)
    first = os.readlink(folder / "..data")
    put_up(tmp_path, {"configMap": {"name": "m"}}, known)
    assert os.readlink(folder / "..data") == first, "nothing has changed"
    put(known, CONFIG_MAPS, "m", data={"a": "2", "new": "y"})
    put_up(tmp_path, {"configMap": {"name": "m"}}, known)
    assert visible(folder) == {"a": "2", "new": "y"}
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["..data", os.readlink(folder / "..data"), "a", "new"]
    )


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        ({"configMap": {"name": "nope"}}, 'configmap "nope" not found'),
        ({"secret": {"secretName": "ghost"}}, 'secret "ghost" not found'),
        (
            {"configMap": {"name": "m", "items": [{"key": "k", "path": "k"}]}},
            "configmap references non-existent config key: k",
        ),
        (
            {"secret": {"secretName": "s", "items": [{"key": "k", "path": "k"}]}},
            "references non-existent secret key: k",
        ),
        ({"projected": {"sources": [{"secret": {"name": "ghost"}}]}}, 'secret "ghost" not found'),
        (
            {"projected": {"sources": [{"secret": {"name": "a"}}, {"configMap": {"name": "b"}}]}},
            '[secret "a" not found, configmap "b" not found]',
        ),
    ],
)
def test_what_lacks_is_told_in_the_words_of_failed_mount(tmp_path: Path, volume: Object, words: str) -> None:
    known = Known()
    put(known, CONFIG_MAPS, "m", data={})
    put(known, SECRETS, "s", data={})
    assert failure(tmp_path, volume, known) == f'MountVolume.SetUp failed for volume "v" : {words}'


def test_what_is_optional_may_lack(tmp_path: Path) -> None:
    assert visible(put_up(tmp_path, {"configMap": {"name": "nope", "optional": True}})) == {}


def test_a_path_out_of_the_volume_is_refused(tmp_path: Path) -> None:
    known = Known()
    put(known, CONFIG_MAPS, "m", data={"k": "x"})
    items = [{"key": "k", "path": "../../out"}]
    assert "invalid path" in failure(tmp_path, {"configMap": {"name": "m", "items": items}}, known)


def test_a_projected_volume_gathers_its_sources(tmp_path: Path) -> None:
    known = Known()
    put(known, CONFIG_MAPS, "m", data={"ca.crt": "CA"})
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "m"}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    volume: Object = {"projected": {"sources": sources}}
    folder = put_up(tmp_path, volume, known)
    assert visible(folder) == {"token": "token for  3607", "ca.crt": "CA", "namespace": "ns"}
    assert tokens_of(pod_with({"name": "v", **volume})) == {("", 3607)}


def test_the_downward_api_tells_labels_and_resources(tmp_path: Path) -> None:
    items = [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}},
        {"path": "milli", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"}},
    ]
    folder = put_up(tmp_path, {"downwardAPI": {"items": items}})
    assert visible(folder) == {"labels": 'a="1"\nb="2\\""', "cpu": "2", "milli": "1500"}


def test_an_empty_dir_is_open_to_all_and_keeps_what_is_in_it(tmp_path: Path) -> None:
    folder = put_up(tmp_path, {"emptyDir": {}})
    assert folder.stat().st_mode & 0o777 == 0o777
    (folder / "kept").write_text("x")
    assert visible(put_up(tmp_path, {"emptyDir": {}})) == {"kept": "x"}


def test_a_volume_belongs_to_the_pod_s_group(tmp_path: Path) -> None:
    group = os.getgid()
    folder = put_up(tmp_path, {"emptyDir": {}}, security={"fsGroup": group})
    assert folder.stat().st_gid == group
    assert folder.stat().st_mode & 0o7777 == 0o2777


def test_a_host_path_is_the_host_s_own(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    assert put_up(tmp_path / "pod", {"hostPath": {"path": str(there), "type": "Directory"}}) == there
    made = tmp_path / "made"
    assert put_up(tmp_path / "pod", {"hostPath": {"path": str(made), "type": "DirectoryOrCreate"}}) == made
    assert made.is_dir()
    file = tmp_path / "file"
    assert put_up(tmp_path / "pod", {"hostPath": {"path": str(file), "type": "FileOrCreate"}}) == file
    assert file.is_file()
    take_down(tmp_path / "pod")
    assert there.is_dir()
    assert made.is_dir()


@pytest.mark.parametrize(
    ("kind", "noun"),
    [
        ("Directory", "a directory"),
        ("File", "a file"),
        ("Socket", "a socket file"),
        ("CharDevice", "a character device"),
        ("BlockDevice", "a block device"),
    ],
)
def test_a_host_path_of_another_type_is_refused(tmp_path: Path, kind: str, noun: str) -> None:
    missing = tmp_path / "missing"
    said = failure(tmp_path / "pod", {"hostPath": {"path": str(missing), "type": kind}})
    assert said == f'MountVolume.SetUp failed for volume "v" : hostPath type check failed: {missing} is not {noun}'
    assert not missing.exists()


def test_a_host_path_may_be_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The name is relative: a socket's path may have 107 bytes.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        path = tmp_path / "s"
        assert put_up(tmp_path / "pod", {"hostPath": {"path": str(path), "type": "Socket"}}) == path


def test_a_sub_path_stays_below_its_volume(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    volume.mkdir(mode=0o777)
    volume.chmod(0o777)
    place = sub_path(volume, "a/b", tmp_path / "places/0", "it")
    (place / "file").write_text("x")
    assert (volume / "a/b/file").read_text() == "x"
    assert (volume / "a/b").stat().st_mode & 0o777 == 0o777
    (volume / "data").mkdir()
    (volume / "data/key").write_text("secret")
    (volume / "key").symlink_to("data/key")
    assert sub_path(volume, "key", tmp_path / "places/1", "it").read_text() == "secret"
    (volume / "out").symlink_to(tmp_path)
    (volume / "up").symlink_to("..")
    for wrong, said in {
        **dict.fromkeys(("out", "up", "out/x", "data/key/x"), "failed to prepare subPath for it"),
        "../x": "unable to provision SubPath `../x`: must not contain '..'",
        "/etc": "error SubPath `/etc` must not be an absolute path",
    }.items():
        with pytest.raises(VolumeFailure) as raised:
            sub_path(volume, wrong, tmp_path / "places/2", "it")
        assert str(raised.value) == said


@pytest.mark.parametrize(
    ("mount", "said"),
    [
        ({"subPathExpr": "$(B)/$(A)/$(GIVEN)/$(EMPTY)"}, "missing value for A, B, EMPTY"),
        ({"name": "other"}, 'cannot find volume "other" to mount into container "c"'),
        ({"subPath": "file/x"}, 'failed to prepare subPath for volumeMount "v" of container "c"'),
    ],
)
def test_a_mount_that_cannot_be_made(tmp_path: Path, mount: Object, said: str) -> None:
    (tmp_path / "file").touch()
    spec = {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]}
    with pytest.raises(VolumeFailure) as raised:
        container_mounts(spec, {"v": tmp_path}, {}, tmp_path / "pod", 0, {"GIVEN": "x", "EMPTY": ""})
    assert str(raised.value) == said


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_sub_path_is_what_it_was_whatever_a_container_makes_of_it(tmp_path: Path) -> None:
    volume, outside = tmp_path / "v", tmp_path / "outside"
    (volume / "a").mkdir(parents=True)
    (volume / "a/file").write_text("within")
    outside.mkdir()
    (outside / "file").write_text("without")
    place = sub_path(volume, "a", tmp_path / "places/0", "it")
    (volume / "a").rename(volume / "b")
    (volume / "a").symlink_to(outside)
    assert (place / "file").read_text() == "within"
    (volume / "a").unlink()
    (volume / "a").write_text("a file now")
    assert sub_path(volume, "a", tmp_path / "places/0", "it").read_text() == "a file now"


@pytest.mark.parametrize(
    ("limits", "size_limit", "size"),
    [
        ([], None, 8 << 30),
        (["1Gi", "1Gi"], None, 2 << 30),
        (["1Gi", ""], None, 8 << 30),
        (["1Gi"], "64Mi", 64 << 20),
        (["1Gi"], "2Gi", 1 << 30),
        (["9Gi"], None, 8 << 30),
        ([], "0", 8 << 30),
    ],
)
def test_an_empty_dir_in_memory_holds_what_pod_node_and_volume_allow(
    limits: list[str], size_limit: str | None, size: int
) -> None:
    resources = [{"limits": {"memory": limit}} if limit else {} for limit in limits or [""]]
    pod = {"spec": {"containers": [{"name": f"c{i}", "resources": each} for i, each in enumerate(resources)]}}
    spec = {"medium": "Memory", **({"sizeLimit": size_limit} if size_limit else {})}
    assert memory_volume_size(pod, spec, 8 << 30) == size


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_an_empty_dir_in_memory_is_a_bounded_tmpfs_that_goes_with_the_pod(tmp_path: Path) -> None:
    folder = put_up(tmp_path / "pod", {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
    try:
        assert os.path.ismount(folder)
        found = os.statvfs(folder)
        assert found.f_blocks * found.f_frsize == 1 << 20
        (folder / "kept").write_text("x")
        again = put_up(tmp_path / "pod", {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
        assert visible(again) == {"kept": "x"}, "a second look mounts nothing over it"
    finally:
        take_down(tmp_path / "pod")
    assert not (tmp_path / "pod").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_secrets_and_tokens_stay_in_memory(tmp_path: Path) -> None:
    known = Known()
    put(known, SECRETS, "s", data={"key": base64.b64encode(b"secret").decode()})
    for volume in ({"secret": {"secretName": "s"}}, {"projected": {"sources": [{"secret": {"name": "s"}}]}}):
        folder = put_up(tmp_path / "pod", volume, known)
        assert folder.is_mount() and visible(folder) == {"key": "secret"}
        assert put_up(tmp_path / "pod", volume, known) == folder
    assert len(mount_points(tmp_path / "pod")) == 2
    take_down(tmp_path / "pod")
    assert not (tmp_path / "pod").exists()


def test_taking_down_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    take_down(tmp_path / "nothing")


def test_a_block_volume_is_not_left_away_silently(tmp_path: Path) -> None:
    spec = {"name": "c", "volumeDevices": [{"name": "v", "devicePath": "/dev/x"}]}
    with pytest.raises(VolumeFailure, match="block volumes are not supported"):
        container_mounts(spec, {}, {}, tmp_path, 0, {})
