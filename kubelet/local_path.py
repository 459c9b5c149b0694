"""Volumes that are directories of this node: which claims get one, what it says, and when it goes. Pure.

The volume names its node, so that whoever uses it is scheduled there; the directory is this node's to make and remove.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from machinery.api.node_affinity import matches_any
from machinery.api.resource import Object
from machinery.api.volumes import (
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    PersistentVolume,
    PersistentVolumeClaim,
    reference,
)
from machinery.structs import Struct

PROVISIONER = "minikube-py.io/local-path"
FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
"""Keeps a volume that somebody deletes until its directory is gone, or is to stay."""
HOSTNAME = "kubernetes.io/hostname"
_GIVEN_BACK = re.compile(r"/tmp/[^/]+(/[^/]+)*/?")
"""What upstream removes of hostPaths: nothing but what is below /tmp."""


class Node(Struct, frozen=True):
    """`storage` is the directory below which this node makes volumes."""

    name: str
    hostname: str
    storage: Path


@dataclass(frozen=True)
class Refused(Exception):
    """A claim that no directory can serve; the text is the event's."""

    why: str


def is_wanted(claim: PersistentVolumeClaim, storage_class: Object | None, node: Node) -> bool:
    """Whether this node is to make the claim's volume."""
    if claim.volume_name or claim.deleted or claim.phase != "Pending" or storage_class is None:
        return False
    if claim.annotations.get(STORAGE_PROVISIONER) != PROVISIONER or storage_class["provisioner"] != PROVISIONER:
        return False
    selected = claim.annotations.get(SELECTED_NODE)
    if selected:
        return selected == node.name
    return storage_class.get("volumeBindingMode") != "WaitForFirstConsumer"


def volume_of(claim: PersistentVolumeClaim, storage_class: Object, node: Node) -> Object:
    """The volume to make for the claim; raises Refused."""
    if claim.volume_mode != "Filesystem":
        raise Refused("only volumes of mode Filesystem can be made of a directory")
    if claim.selector is not None:
        raise Refused("claim.Spec.Selector is not supported")
    name = f"pvc-{claim.uid}"
    entry = {"key": HOSTNAME, "operator": "In", "values": [node.hostname]}
    spec: Object = {
        "accessModes": claim.access_modes,
        "capacity": {"storage": claim.obj["spec"]["resources"]["requests"]["storage"]},
        "claimRef": reference(claim),
        "local": {"path": str(node.storage / f"{name}_{claim.namespace}_{claim.name}")},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [entry]}]}},
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
        "storageClassName": storage_class["metadata"]["name"],
        "volumeMode": "Filesystem",
    }
    metadata = {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}, "finalizers": [FINALIZER]}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}


def is_ours(volume: PersistentVolume, node: Node) -> bool:
    """Whether the volume was made by this node, or is one of its hostPaths that go with their volume."""
    terms = volume.node_terms
    if terms is not None and not matches_any(terms, {HOSTNAME: node.hostname}, node.name):
        return False
    return directory_of(volume, node) is not None


def is_done_with(volume: PersistentVolume) -> bool:
    """Whether nobody has a claim to it any more, so that it goes by its reclaim policy."""
    if volume.phase in ("Released", "Failed"):
        return volume.reclaim_policy == "Delete" or bool(volume.deleted)
    return bool(volume.deleted) and volume.phase != "Bound"


def directory_of(volume: PersistentVolume, node: Node) -> Path | None:
    """The directory that goes with the volume; None where it is not ours to remove."""
    spec = volume.obj["spec"]
    if volume.annotations.get(PROVISIONED_BY) == PROVISIONER:
        path = Path((spec.get("local") or {}).get("path") or "/")
        return path if path.parent == node.storage and path.name not in ("", ".", "..") else None
    path = (spec.get("hostPath") or {}).get("path", "")
    is_given = PROVISIONED_BY not in volume.annotations and volume.reclaim_policy == "Delete"
    return Path(path) if is_given and _GIVEN_BACK.fullmatch(path) and ".." not in path.split("/") else None
