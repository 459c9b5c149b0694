"""What manifests of the node's folder become, and which mirrors the API is to show of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kubelet import podspec
from kubelet.manifests import Manifests
from kubelet.staticpods import ManifestError, mirror_in, mirror_of, plan_mirrors, static_pod
from machinery.api.resource import Object
from machinery.client.clock import SystemClock

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NODE = {"metadata": {"name": "n", "uid": "node-uid"}}


def manifest(name: str = "web", **spec: Any) -> Object:
    body = {"containers": [{"name": "c", "image": "nginx"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body}


def made(document: Object, path: str = "/m/web.yaml") -> Object:
    return static_pod(document, path, "n", NOW)


def mirror(pod: Object, **metadata: Any) -> Object:
    found = mirror_of(pod, NODE)
    return {**found, "metadata": {"uid": "mirror-uid", **found["metadata"], **metadata}}


def test_a_static_pod_is_named_after_its_node_and_tolerates_its_troubles() -> None:
    pod = made(manifest())
    assert (podspec.key(pod), pod["spec"]["nodeName"], len(podspec.uid(pod))) == ("default/web-n", "n", 32)
    assert pod["spec"]["tolerations"] == [{"operator": "Exists", "effect": "NoExecute"}]
    assert podspec.is_static(pod) and not podspec.is_mirror(pod)
    assert pod["metadata"]["annotations"]["kubernetes.io/config.seen"] == "2026-01-02T03:04:05.000000Z"


def test_the_same_content_is_the_same_pod_and_another_is_another() -> None:
    assert podspec.uid(made(manifest())) == podspec.uid(static_pod(manifest(), "/m/web.yaml", "n", datetime.now(UTC)))
    others = [made(manifest(hostNetwork=True)), made(manifest(), "/m/b.yaml")]
    assert podspec.uid(made(manifest())) not in map(podspec.uid, others)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (None, "not a v1 Pod"),
        ({"apiVersion": "v1", "kind": "ConfigMap"}, "not a v1 Pod"),
        ({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{}]}}, "the pod has no name"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}, "the pod has no containers"),
        (manifest(volumes=[{"name": "v", "secret": {}}]), "static pods can't use a secret volume"),
        (manifest(serviceAccountName="a"), "static pods can't use a service account"),
    ],
)
def test_what_is_no_static_pod(document: Any, why: str) -> None:
    with pytest.raises(ManifestError, match=why):
        made(document)


def test_a_mirror_is_the_node_s_and_names_its_pod() -> None:
    pod = made(manifest())
    found = mirror_of(pod, NODE)
    assert podspec.is_mirror(found) and not podspec.is_static(found) and "uid" not in found["metadata"]
    assert podspec.mirrored_uid(found) == podspec.uid(pod)
    assert found["metadata"]["ownerReferences"][0] | {} == {
        "apiVersion": "v1",
        "kind": "Node",
        "name": "n",
        "uid": "node-uid",
        "controller": True,
    }
    assert mirror_in([made(manifest()), mirror(pod)], pod) is not None
    assert mirror_in([], pod) is None


def test_the_api_shows_exactly_the_static_pods() -> None:
    pod, old = made(manifest()), made(manifest(hostPID=True))
    stranger = {"metadata": {"name": "x", "namespace": "default", "uid": "x"}}
    assert plan_mirrors([pod], []).create == (pod,)
    same = plan_mirrors([pod], [mirror(pod), stranger])
    assert (same.create, same.delete) == ((), ())
    changed = plan_mirrors([pod], [mirror(old)])
    assert (changed.create, [podspec.mirrored_uid(m) for m in changed.delete]) == ((pod,), [podspec.uid(old)])
    gone = plan_mirrors([], [mirror(pod)])
    assert (gone.create, len(gone.delete)) == ((), 1)
    ending = plan_mirrors([pod], [mirror(pod, deletionTimestamp="2026-01-01T00:00:00Z")])
    assert (ending.create, len(ending.delete)) == ((pod,), 1)


def test_a_folder_holds_manifests_and_what_is_none_is_left_out(tmp_path: Path) -> None:
    def ignore(pods: Sequence[Object]) -> None:
        del pods

    folder = tmp_path / "manifests"
    reader = Manifests(folder, "n", SystemClock(), ignore)
    assert reader.pods() == []
    (folder / "a.yaml").write_text("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c}]}}")
    (folder / "b.json").write_text(
        '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"},"spec":{"containers":[{"name":"c"}]}}'
    )
    (folder / "again.yaml").write_text((folder / "a.yaml").read_text())
    (folder / "broken.yaml").write_text("{")
    (folder / "broken.json").write_text("{")
    (folder / ".a.yaml.swp").write_text("x")
    (folder / "folder").mkdir()
    assert sorted(podspec.name(pod) for pod in reader.pods()) == ["a-n", "b-n"]
