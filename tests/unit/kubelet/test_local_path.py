"""Which claims a node makes a directory for, what the volume says, and which directories are its own to remove."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubelet.local_path import PROVISIONER, Node, Refused, directory_of, is_done_with, is_ours, is_wanted, volume_of
from machinery.api.resource import Object
from machinery.api.volumes import PersistentVolume, PersistentVolumeClaim

NODE = Node("n", "h", Path("/data/storage"))
CLASS = {"metadata": {"name": "s"}, "provisioner": PROVISIONER, "volumeBindingMode": "WaitForFirstConsumer"}
AT_ONCE = {**CLASS, "volumeBindingMode": "Immediate"}
ASKED = {"volume.kubernetes.io/storage-provisioner": PROVISIONER}
SELECTED = {**ASKED, "volume.kubernetes.io/selected-node": "n"}


def claim(annotations: Object, *, deleted: str = "", **spec: Any) -> PersistentVolumeClaim:
    metadata = {"name": "c", "namespace": "ns", "uid": "u", "annotations": annotations, "deletionTimestamp": deleted}
    own = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return PersistentVolumeClaim({"metadata": metadata, "spec": own, "status": {"phase": "Pending"}})


@pytest.mark.parametrize(
    ("asked", "storage_class", "expected"),
    [
        (claim(SELECTED), CLASS, True),
        (claim(ASKED), CLASS, False),
        (claim(ASKED), AT_ONCE, True),
        (claim(SELECTED), None, False),
        (claim(SELECTED), {**CLASS, "provisioner": "example.com/p"}, False),
        (claim({**SELECTED, "volume.kubernetes.io/selected-node": "other"}), CLASS, False),
        (claim({"volume.kubernetes.io/selected-node": "n"}), CLASS, False),
        (claim(SELECTED, volumeName="v"), CLASS, False),
        (claim(SELECTED, deleted="2026-01-01T00:00:00Z"), CLASS, False),
    ],
)
def test_a_node_serves_the_claims_that_come_to_it(
    asked: PersistentVolumeClaim, storage_class: Object | None, expected: bool
) -> None:
    assert is_wanted(asked, storage_class, NODE) == expected


def test_the_volume_says_where_it_can_be_used() -> None:
    made = volume_of(claim(SELECTED), {**CLASS, "reclaimPolicy": "Retain"}, NODE)
    spec = made["spec"]
    assert made["metadata"]["name"] == "pvc-u"
    assert spec["local"] == {"path": "/data/storage/pvc-u_ns_c"}
    assert spec["nodeAffinity"]["required"]["nodeSelectorTerms"] == [
        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["h"]}]}
    ]
    assert (spec["persistentVolumeReclaimPolicy"], spec["storageClassName"]) == ("Retain", "s")
    assert (spec["claimRef"]["name"], spec["claimRef"]["uid"]) == ("c", "u")


@pytest.mark.parametrize("spec", [{"volumeMode": "Block"}, {"selector": {}}])
def test_what_a_directory_is_not_is_refused(spec: Object) -> None:
    with pytest.raises(Refused):
        volume_of(claim(SELECTED, **spec), CLASS, NODE)


def volume(path: str, *, phase: str = "Released", deleted: str = "", policy: str = "Delete", **spec: Any) -> Object:
    made = volume_of(claim(SELECTED), {**CLASS, "reclaimPolicy": policy}, NODE)
    metadata = {**made["metadata"], "deletionTimestamp": deleted}
    return {
        **made,
        "metadata": metadata,
        "spec": {**made["spec"], "local": {"path": path}, **spec},
        "status": {"phase": phase},
    }


def hand_made(path: str, policy: str = "Delete") -> Object:
    return {"metadata": {"name": "v"}, "spec": {"hostPath": {"path": path}, "persistentVolumeReclaimPolicy": policy}}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (volume("/data/storage/pvc-u_ns_c"), "/data/storage/pvc-u_ns_c"),
        (volume("/data/storage"), None),
        (volume("/data/storage/a/b"), None),
        (volume("/data/storage/.."), None),
        (volume("/etc"), None),
        (volume("/"), None),
        (hand_made("/tmp/x"), "/tmp/x"),
        (hand_made("/tmp/x/y"), "/tmp/x/y"),
        (hand_made("/tmp/x", "Retain"), None),
        (hand_made("/tmp/../etc"), None),
        (hand_made("/tmp/"), None),
        (hand_made("/data"), None),
    ],
)
def test_nothing_but_its_own_is_removed(obj: Object, expected: str | None) -> None:
    found = directory_of(PersistentVolume(obj), NODE)
    assert (str(found) if found else None) == expected


def test_another_nodes_volume_is_left_to_it() -> None:
    made = volume("/data/storage/pvc-u_ns_c")
    assert is_ours(PersistentVolume(made), NODE)
    assert not is_ours(PersistentVolume(made), Node("other", "other", NODE.storage))


DELETED = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (volume("/x", phase="Released"), True),
        (volume("/x", phase="Failed"), True),
        (volume("/x", phase="Bound"), False),
        (volume("/x", phase="Bound", deleted=DELETED), False),
        (volume("/x", phase="Available"), False),
        (volume("/x", phase="Available", deleted=DELETED), True),
        (volume("/x", phase="Released", policy="Retain"), False),
        (volume("/x", phase="Released", policy="Retain", deleted=DELETED), True),
    ],
)
def test_a_volume_goes_when_nobody_has_a_claim_to_it(obj: Object, expected: bool) -> None:
    assert is_done_with(PersistentVolume(obj)) == expected
