"""Node selectors and node affinity, required and preferred (NodeAffinity)."""

from __future__ import annotations

from collections.abc import Mapping

from machinery.api.resource import Object
from machinery.api.views import Pod
from scheduler.snapshot import NodeInfo

REASON = "node(s) didn't match Pod's node affinity/selector"


def filter_affinity(pod: Pod, info: NodeInfo) -> list[str]:
    labels = info.node.labels
    if any(labels.get(key) != value for key, value in pod.node_selector.items()):
        return [REASON]
    required = (pod.affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is not None and not matches_any(required.get("nodeSelectorTerms") or [], info):
        return [REASON]
    return []


def score_affinity(pod: Pod, info: NodeInfo) -> int:
    """The sum of the weights of preferences that the node meets."""
    preferred = (pod.affinity.get("nodeAffinity") or {}).get("preferredDuringSchedulingIgnoredDuringExecution") or []
    return sum(int(entry["weight"]) for entry in preferred if matches_any([entry.get("preference") or {}], info))


def matches_any(terms: list[Object], info: NodeInfo) -> bool:
    return any(_matches(term, info) for term in terms)


def _matches(term: Object, info: NodeInfo) -> bool:
    """All of a term's requirements; a term without any matches nothing."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(_holds(entry, info.node.labels) for entry in expressions) and all(
        _holds(entry, {"metadata.name": info.node.name}) for entry in fields
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
