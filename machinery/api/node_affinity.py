"""Which nodes a pod's selector and its required node affinity take: the scheduler, DaemonSets and volumes ask alike.

A NodeSelectorTerm's requirements all hold, of several terms one does (core/v1 NodeSelector).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from machinery.api.resource import Object
from machinery.api.views import Pod


def takes(pod: Pod, labels: Mapping[str, str], name: str) -> bool:
    """Whether the pod may be on a node of these labels and this name."""
    if any(labels.get(key) != value for key, value in pod.node_selector.items()):
        return False
    terms = required_terms(pod)
    return terms is None or matches_any(terms, labels, name)


def required_terms(pod: Pod) -> list[Object] | None:
    """The terms of which a node must meet one, None where the pod requires none."""
    required = (pod.affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    return None if required is None else required.get("nodeSelectorTerms") or []


def matches_any(terms: Sequence[Object], labels: Mapping[str, str], name: str) -> bool:
    """Whether a node of these labels and this name meets one of the NodeSelectorTerms."""
    return any(matches(term, labels, name) for term in terms)


def matches(term: Object, labels: Mapping[str, str], name: str) -> bool:
    """All of a term's requirements; a term without any matches nothing."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(_holds(entry, labels) for entry in expressions) and all(
        _holds(entry, {"metadata.name": name}) for entry in fields
    )


def named(term: Object) -> frozenset[str] | None:
    """The nodes that a term names by their field, None where it names none."""
    found: frozenset[str] | None = None
    for entry in term.get("matchFields") or []:
        if entry["key"] == "metadata.name" and entry["operator"] == "In":
            names = frozenset(entry.get("values") or [])
            found = names if found is None else found & names
    return found


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
