"""Claims of a pod: bound, or to be bound where it goes (VolumeBinding, VolumeZone, VolumeRestrictions)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from machinery.api.node_affinity import matches_any
from machinery.api.resource import Object
from machinery.api.views import Pod
from machinery.api.volumes import SELECTED_NODE, PersistentVolume, PersistentVolumeClaim, best, claim_names, not_owned
from machinery.structs import Struct
from scheduler.cluster_events import ClusterEvent, Happened
from scheduler.framework import Hint, Plugin, Refusal, Reservation
from scheduler.node_info import NodeFacts, NodeInfo
from scheduler.pod_info import PodInfo
from scheduler.snapshot import Claim, Snapshot

_NOT_BOUND = "node(s) didn't find available persistent volumes to bind"
_NOT_REACHED = "node(s) didn't match PersistentVolume's node affinity"
_ANOTHER_ZONE = Refusal(("node(s) had no available volume zone",), is_final=True)
_EXCLUSIVE = Refusal(("node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",))
_ZONES = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)


class _Claims(Struct, frozen=True):
    """`waiting` are those that are yet to be bound, the smallest first."""

    bound: tuple[Claim, ...]
    waiting: tuple[Claim, ...]
    volumes: tuple[PersistentVolume, ...]


def _pre_filter(pod: PodInfo, snapshot: Snapshot) -> Any:
    names = claim_names(pod.shape.example)
    if not names:
        return None
    for name, is_ephemeral in names.items():
        if reason := _refuse(name, snapshot.claims.get(name), pod, is_ephemeral=is_ephemeral):
            return Refusal((reason,), is_final=True)
    claims = [snapshot.claims[name] for name in names]
    if not all(claim.is_bound or claim.waits_for_consumer for claim in claims):
        return Refusal(("pod has unbound immediate PersistentVolumeClaims",), is_final=True)
    bound = tuple(claim for claim in claims if claim.is_bound)
    waiting = [claim for claim in claims if not claim.is_bound]
    waiting.sort(key=lambda each: PersistentVolumeClaim(each.obj).requested)
    return _Claims(bound, tuple(waiting), tuple(PersistentVolume(each) for each in snapshot.volumes))


def _refuse(name: str, claim: Claim | None, pod: PodInfo, *, is_ephemeral: bool) -> str:
    if claim is None and is_ephemeral:
        return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    metadata = claim.obj["metadata"]
    if claim.obj.get("status", {}).get("phase") == "Lost":
        volume = claim.obj["spec"].get("volumeName", "")
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
    if metadata.get("deletionTimestamp"):
        return f'persistentvolumeclaim "{name}" is being deleted'
    if is_ephemeral and not any(ref.get("uid") == pod.key.uid for ref in metadata.get("ownerReferences") or ()):
        return not_owned(name, pod.key.namespace, pod.key.name)
    return ""


def _filter(state: _Claims, pod: PodInfo, info: NodeInfo) -> Refusal | None:
    reasons = []
    if not all(_reaches(PersistentVolume(claim.volume), info.node) for claim in state.bound if claim.volume):
        reasons.append(_NOT_REACHED)
    if state.waiting and _plan(state, info.node) is None:
        reasons.append(_NOT_BOUND)
    return Refusal(tuple(reasons), is_final=True) if reasons else None


def _reserve(pod: PodInfo, snapshot: Snapshot, node: NodeInfo) -> Reservation:
    """What is to be done for the claims of a pod that goes to this node, which the filter let pass."""
    state = _pre_filter(pod, snapshot)
    return (_plan(state, node.node) if isinstance(state, _Claims) else None) or Reservation()


def _plan(state: _Claims, node: NodeFacts) -> Reservation | None:
    """None where some claim can't be had on the node. The smallest claim takes the smallest volume that does."""
    bindings: list[tuple[Object, Object]] = []
    provisions = []
    taken: set[str] = set()
    for claim in state.waiting:
        view = PersistentVolumeClaim(claim.obj)
        selected = view.annotations.get(SELECTED_NODE)
        left = (volume for volume in state.volumes if volume.name not in taken)
        volume = None if selected else best(left, view, reaches=partial(_reaches, node=node))
        if volume is not None:
            taken.add(volume.name)
            bindings.append((claim.obj, volume.obj))
        elif _can_be_made(claim, node, selected):
            provisions.append(claim.obj)
        else:
            return None
    return Reservation(tuple(bindings), tuple(provisions))


def _can_be_made(claim: Claim, node: NodeFacts, selected: str | None) -> bool:
    if claim.storage_class is None or (selected and selected != node.name):
        return False
    if claim.storage_class.get("provisioner") in (None, "", "kubernetes.io/no-provisioner"):
        return False
    terms = claim.storage_class.get("allowedTopologies") or []
    return not terms or any(
        all(
            node.labels.get(entry["key"]) in (entry.get("values") or [])
            for entry in term.get("matchLabelExpressions") or []
        )
        for term in terms
    )


def _reaches(volume: PersistentVolume, node: NodeFacts) -> bool:
    terms = volume.node_terms
    return terms is None or matches_any(terms, node.labels, node.name)


def _zones(pod: PodInfo, snapshot: Snapshot) -> Any:
    """What labels the volumes of the pod's bound claims want of a node."""
    found: list[tuple[str, frozenset[str]]] = []
    for name in claim_names(pod.shape.example):
        claim = snapshot.claims.get(name)
        labels: Mapping[str, str] = ((claim.volume if claim else None) or {"metadata": {}})["metadata"].get(
            "labels"
        ) or {}
        found += [(key, frozenset(labels[key].split("__"))) for key in _ZONES if key in labels]
    return found or None


def _filter_zone(state: list[tuple[str, frozenset[str]]], pod: PodInfo, info: NodeInfo) -> Refusal | None:
    labels = info.node.labels
    if not any(key in labels for key in _ZONES):
        # A cluster that knows no zones has one.
        return None
    return None if all(labels.get(key) in allowed for key, allowed in state) else _ANOTHER_ZONE


def _exclusive(pod: PodInfo, snapshot: Snapshot) -> Any:
    """Whether another pod uses a claim that only one pod may use."""
    names = {
        name
        for name in claim_names(pod.shape.example)
        if (claim := snapshot.claims.get(name)) and "ReadWriteOncePod" in (claim.obj["spec"].get("accessModes") or ())
    }
    if not names:
        return None
    others = (other for info in snapshot.nodes.values() for other in info.pods.values())
    namespace = pod.key.namespace
    return (
        any(other.key.namespace == namespace and names & claim_names(other.shape.example).keys() for other in others)
        or None
    )


def _filter_exclusive(state: Any, pod: PodInfo, info: NodeInfo) -> Refusal | None:
    return _EXCLUSIVE


def _helps(pod: PodInfo, event: ClusterEvent) -> bool:
    """Of claims only the pod's own matter."""
    metadata = event.object["metadata"]
    is_other = metadata.get("namespace") != pod.key.namespace or metadata["name"] not in claim_names(pod.shape.example)
    return event.happened is not Happened.CLAIM or not is_other


def _frees_claim(pod: PodInfo, event: ClusterEvent) -> bool:
    """A claim of the pod has come, or a pod has gone that used one."""
    if event.happened is Happened.CLAIM:
        return event.before is None and _helps(pod, event)
    gone = Pod(event.object)
    return gone.namespace == pod.key.namespace and bool(claim_names(gone).keys() & claim_names(pod.shape.example))


_HINT = Hint.on(
    Happened.CLAIM,
    Happened.VOLUME,
    Happened.STORAGE_CLASS,
    Happened.NODE_ADDED,
    Happened.NODE_LABELS,
    if_=_helps,
)
_ON_END = Hint.on(Happened.POD_GONE, Happened.CLAIM, if_=_frees_claim)

VOLUME_RESTRICTIONS = Plugin("VolumeRestrictions", pre_filter=_exclusive, filter=_filter_exclusive, hint=_ON_END)
VOLUME_BINDING = Plugin("VolumeBinding", pre_filter=_pre_filter, filter=_filter, reserve=_reserve, hint=_HINT)
VOLUME_ZONE = Plugin("VolumeZone", pre_filter=_zones, filter=_filter_zone, hint=_HINT)
