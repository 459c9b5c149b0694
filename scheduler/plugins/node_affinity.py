"""Node selectors and node affinity, required and preferred (NodeAffinity)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from machinery.api.node_affinity import matches, named, required_terms, takes
from machinery.api.resource import Object
from machinery.api.views import Pod
from scheduler.cluster_events import ClusterEvent, Happened
from scheduler.framework import Hint, OnlyNodes, Plugin, Refusal, default_normalize
from scheduler.node_info import NodeFacts, NodeInfo
from scheduler.pod_info import PodInfo
from scheduler.snapshot import Snapshot

REASON = "node(s) didn't match Pod's node affinity/selector"
_REFUSAL = Refusal((REASON,), is_final=True)
_CONFLICT = Refusal(("pod affinity terms conflict",), is_final=True)


def _preferences(pod: Pod) -> list[Object]:
    found = (pod.affinity.get("nodeAffinity") or {}).get("preferredDuringSchedulingIgnoredDuringExecution")
    return [entry for entry in found or [] if entry.get("weight")]


def fits(pod: Pod, node: NodeFacts) -> bool:
    """Whether the pod's selector and its required affinity take the node."""
    return takes(pod, node.labels, node.name)


def _pre_filter(pod: PodInfo, snapshot: Snapshot) -> Any:
    """Nothing where the pod wants no special node; the nodes that it names where each of its terms does."""
    terms = required_terms(pod.shape.example)
    if terms is None:
        return True if pod.shape.example.node_selector else None
    by_term = [named(term) for term in terms]
    if not terms or any(names is None for names in by_term):
        return True
    found = frozenset(name for names in by_term if names for name in names)
    return OnlyNodes(found) if found else _CONFLICT


def _filter(state: Any, pod: PodInfo, info: NodeInfo) -> Refusal | None:
    return None if fits(pod.shape.example, info.node) else _REFUSAL


def _pre_score(pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Any:
    return _preferences(pod.shape.example) or None


def _score(state: list[Object], pod: PodInfo, info: NodeInfo) -> int:
    """The sum of the weights of preferences that the node meets."""
    labels, name = info.node.labels, info.node.name
    return sum(int(entry["weight"]) for entry in state if matches(entry.get("preference") or {}, labels, name))


def _normalize(state: Any, found: Sequence[int]) -> Sequence[int]:
    return default_normalize(found)


def _helps(pod: PodInfo, event: ClusterEvent) -> bool:
    return fits(pod.shape.example, NodeFacts(event.object))


NODE_AFFINITY = Plugin(
    "NodeAffinity",
    pre_filter=_pre_filter,
    filter=_filter,
    pre_score=_pre_score,
    score=_score,
    normalize=_normalize,
    is_local=True,
    hint=Hint.on(Happened.NODE_ADDED, Happened.NODE_LABELS, if_=_helps),
)
