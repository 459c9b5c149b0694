"""Taints and tolerations, and nodes that are marked unschedulable (TaintToleration, NodeUnschedulable)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from machinery.api.resource import Object
from machinery.api.taints import tolerates
from scheduler.cluster_events import ClusterEvent, Happened
from scheduler.framework import Hint, Plugin, Refusal, default_normalize
from scheduler.node_info import NodeFacts, NodeInfo
from scheduler.pod_info import PodInfo
from scheduler.snapshot import Snapshot

UNSCHEDULABLE = "node(s) were unschedulable"
_UNSCHEDULABLE = Refusal((UNSCHEDULABLE,), is_final=True)
# What a node is tainted with is not for everyone who sees the pod (kubernetes#134740).
_UNTOLERATED = Refusal(("node(s) had untolerated taint(s)",), is_final=True)
_UNSCHEDULABLE_TAINT: Object = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_SEEN_BY = (Happened.NODE_ADDED, Happened.NODE_TAINTS)


def untolerated(pod: PodInfo, node: NodeFacts) -> Object | None:
    """The first taint that forbids the pod to be put on the node."""
    taints = node.taints
    return (
        next((taint for taint in taints if not tolerates(pod.shape.example.tolerations, taint)), None)
        if taints
        else None
    )


def _filter_unschedulable(state: Any, pod: PodInfo, info: NodeInfo) -> Refusal | None:
    if info.node.unschedulable and not tolerates(pod.shape.example.tolerations, _UNSCHEDULABLE_TAINT):
        return _UNSCHEDULABLE
    return None


def _filter_taints(state: Any, pod: PodInfo, info: NodeInfo) -> Refusal | None:
    return _UNTOLERATED if untolerated(pod, info.node) is not None else None


def _pre_score(pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Any:
    """The tolerations that can be about preferences; nothing where no node has such a taint."""
    if not snapshot.marks.soft_tainted:
        return None
    return [each for each in pod.shape.example.tolerations if each.get("effect") in (None, "", "PreferNoSchedule")]


def _score(state: list[Object], pod: PodInfo, info: NodeInfo) -> int:
    """How many PreferNoSchedule taints the pod does not tolerate."""
    return sum(not tolerates(state, taint) for taint in info.node.soft_taints)


def _normalize(state: Any, found: Sequence[int]) -> Sequence[int]:
    return default_normalize(found, reverse=True)


def _unschedulable_helps(pod: PodInfo, event: ClusterEvent) -> bool:
    return not NodeFacts(event.object).unschedulable


def _taints_help(pod: PodInfo, event: ClusterEvent) -> bool:
    return untolerated(pod, NodeFacts(event.object)) is None


NODE_UNSCHEDULABLE = Plugin(
    "NodeUnschedulable", filter=_filter_unschedulable, is_local=True, hint=Hint.on(*_SEEN_BY, if_=_unschedulable_helps)
)
TAINT_TOLERATION = Plugin(
    "TaintToleration",
    filter=_filter_taints,
    pre_score=_pre_score,
    score=_score,
    normalize=_normalize,
    is_local=True,
    hint=Hint.on(*_SEEN_BY, if_=_taints_help),
)
