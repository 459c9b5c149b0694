"""What happened in the cluster, in the words in which plugins say whether it may help a pod that they refused."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

from machinery.api.resource import Object
from machinery.api.resources import (
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    STORAGE_CLASSES,
)
from machinery.client.cache import Change
from machinery.structs import Struct


class Happened(Enum):
    NODE_ADDED = auto()
    NODE_ALLOCATABLE = auto()
    NODE_LABELS = auto()
    NODE_TAINTS = auto()
    """Taints, or being unschedulable."""
    POD_PLACED = auto()
    POD_LABELS = auto()
    """Of a pod that has a node."""
    POD_SHRUNK = auto()
    """A pod that has a node asks for, or has, something else than before."""
    POD_GONE = auto()
    """A pod that had a node has ended, or takes nothing there any more."""
    CLAIM = auto()
    VOLUME = auto()
    STORAGE_CLASS = auto()


class ClusterEvent(Struct, frozen=True):
    """`before` is None where the object is new."""

    happened: Happened
    before: Object | None
    object: Object


_STORAGE = {
    PERSISTENT_VOLUME_CLAIMS: Happened.CLAIM,
    PERSISTENT_VOLUMES: Happened.VOLUME,
    STORAGE_CLASSES: Happened.STORAGE_CLASS,
}


def events_of(change: Change) -> Iterator[ClusterEvent]:
    """The events that a change is; none where no plugin could care, as with a heartbeat."""
    if change.resource == NODES:
        happened = list(_of_node(change))
    elif change.resource == PODS:
        happened = list(_of_pod(change))
    else:
        found = _STORAGE.get(change.resource)
        happened = [found] if found and change.after is not None else []
    for each in happened:
        yield ClusterEvent(each, change.before, change.object)


def _of_node(change: Change) -> Iterator[Happened]:
    before, after = change.before, change.after
    if after is None:
        return
    if before is None:
        yield Happened.NODE_ADDED
        return
    if _allocatable(before) != _allocatable(after):
        yield Happened.NODE_ALLOCATABLE
    if before["metadata"].get("labels") != after["metadata"].get("labels"):
        yield Happened.NODE_LABELS
    if before.get("spec") != after.get("spec"):
        yield Happened.NODE_TAINTS


def _allocatable(node: Object) -> object:
    return (node.get("status") or {}).get("allocatable")


def _of_pod(change: Change) -> Iterator[Happened]:
    before, after = change.before, change.after
    if not _has_place(after):
        if _has_place(before):
            yield Happened.POD_GONE
        return
    assert after is not None
    if before is None or not _has_place(before):
        yield Happened.POD_PLACED
        return
    if before["metadata"].get("labels") != after["metadata"].get("labels"):
        yield Happened.POD_LABELS
    if before["spec"] != after["spec"] or _given(before) != _given(after):
        yield Happened.POD_SHRUNK


def _given(pod: Object) -> list[tuple[object, object]]:
    """What its containers were given and have: a resize ends there (KEP-1287)."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return [(each.get("allocatedResources"), each.get("resources")) for each in statuses]


def _has_place(pod: Object | None) -> bool:
    if pod is None or not pod["spec"].get("nodeName"):
        return False
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
