"""Node selectors and node affinity, required and preferred (NodeAffinity)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from machinery.api.resource import Object
from machinery.api.views import Pod
from scheduler.cluster_events import ClusterEvent, Happened
from scheduler.framework import Hint, OnlyNodes, Plugin, Refusal, default_normalize
from scheduler.node_info import NodeFacts, NodeInfo
from scheduler.pod_info import PodInfo
from scheduler.snapshot import Snapshot

REASON = "node(s) didn't match Pod's node affinity/selector"
_REFUSAL = Refusal((REASON,), is_final=True)


def required_terms(pod: Pod) -> list[Object] | None:
    """The terms of which a node must meet one, None where the pod requires none."""
    required = (pod.affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    return None if required is None else required.get("nodeSelectorTerms") or []


def _preferences(pod: Pod) -> list[Object]:
    found = (pod.affinity.get("nodeAffinity") or {}).get("preferredDuringSchedulingIgnoredDuringExecution")
    return [entry for entry in found or [] if entry.get("weight")]


def fits(pod: Pod, node: NodeFacts) -> bool:
    """Whether the pod's selector and its required affinity take the node."""
    labels = node.labels
    if any(labels.get(key) != value for key, value in pod.node_selector.items()):
        return False
    terms = required_terms(pod)
    return terms is None or matches_any(terms, labels, node.name)


def matches_any(terms: Sequence[Object], labels: Mapping[str, str], name: str) -> bool:
    """Whether a node of these labels and this name meets one of the NodeSelectorTerms."""
    return any(_matches(term, labels, name) for term in terms)


def _matches(term: Object, labels: Mapping[str, str], name: str) -> bool:
    """All of a term's requirements; a term without any matches nothing."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(_holds(entry, labels) for entry in expressions) and all(
        _holds(entry, {"metadata.name": name}) for entry in fields
    )


def _holds(entry: Object, labels: Mapping[str, str]) -> bool:
    key, operator = str(entry["key"]), entry["operator"]
    values: list[str] = entry.get("values") or []
    found = labels.get(key)
    if operator in ("In", "NotIn"):
        return (found in values) is (operator == "In")
    if operator in ("Exists", "DoesNotExist"):
        return (found is not None) is (operator == "Exists")
    try:
        number, bound = int(found or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return number > bound if operator == "Gt" else number < bound


def _pre_filter(pod: PodInfo, snapshot: Snapshot) -> Any:
    """Nothing where the pod wants no special node; the nodes that it names where each of its terms does."""
    terms = required_terms(pod.shape.example)
    if terms is None:
        return True if pod.shape.example.node_selector else None
    named = [_named(term) for term in terms]
    if not terms or any(names is None for names in named):
        return True
    return OnlyNodes(frozenset(name for names in named if names for name in names))


def _named(term: Object) -> frozenset[str] | None:
    """The nodes that a term names by their field, None where it names none."""
    found: frozenset[str] | None = None
    for entry in term.get("matchFields") or []:
        if entry["key"] == "metadata.name" and entry["operator"] == "In":
            names = frozenset(entry.get("values") or [])
            found = names if found is None else found & names
    return found


def _filter(state: Any, pod: PodInfo, info: NodeInfo) -> Refusal | None:
    return None if fits(pod.shape.example, info.node) else _REFUSAL


def _pre_score(pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Any:
    return _preferences(pod.shape.example) or None


def _score(state: list[Object], pod: PodInfo, info: NodeInfo) -> int:
    """The sum of the weights of preferences that the node meets."""
    labels, name = info.node.labels, info.node.name
    return sum(int(entry["weight"]) for entry in state if _matches(entry.get("preference") or {}, labels, name))


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
