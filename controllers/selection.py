"""What a label selector selects: pods, found without looking at all of their namespace; and how upstream prints it."""

from __future__ import annotations

from machinery.api.resource import Object
from machinery.api.resources import PODS
from machinery.api.selectors import LabelSelector
from machinery.api.views import Pod
from machinery.client.cache import Cache


def selected(cache: Cache, namespace: str, selector: LabelSelector) -> tuple[Pod, ...]:
    """The pods of the namespace that the selector matches, in no order."""
    if selector.nothing:
        return ()
    exact = [each for each in selector.requirements if each.operator in ("in", "=", "==") and len(each.values) == 1]
    if exact:
        found = min((cache.labelled(PODS, namespace, each.key, each.values[0]) for each in exact), key=len)
    else:
        found = cache.list(PODS, namespace)
    return tuple(pod for pod in map(Pod, found) if selector.matches(pod.labels))


def go_text(selector: Object | None) -> str:
    """A LabelSelector as Go prints it by `%+v`."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    terms = "".join(map(_go_term, selector.get("matchExpressions") or ()))
    expressions = f"MatchExpressions:[]LabelSelectorRequirement{{{terms}}}"
    return f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},{expressions},}}"


def _go_term(term: Object) -> str:
    values = " ".join(term.get("values") or ())
    return f"LabelSelectorRequirement{{Key:{term['key']},Operator:{term['operator']},Values:[{values}],}},"
