"""What upstream refuses in where a pod may run: affinity, tolerations, spreading, gates (core/v1)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import (
    all_of,
    duplicate,
    forbidden,
    invalid_value,
    not_supported,
    required,
)
from apiserver.rules.label_rules import BAD_OPERATOR, OPERATORS, label_selector_errors, value_count_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
_POLICIES = ("Honor", "Ignore")


def affinity_errors(affinity: Object, path: str) -> Iterator[Cause]:
    if (node := affinity.get("nodeAffinity")) is not None:
        if (wanted := node.get(_REQUIRED)) is not None:
            yield from node_selector_errors(wanted, f"{path}.nodeAffinity.{_REQUIRED}")
        for index, preferred in enumerate(node.get(_PREFERRED) or ()):
            where = f"{path}.nodeAffinity.{_PREFERRED}[{index}]"
            yield from _weight_errors(preferred, where)
            # Whatever is only preferred may name a label value that no node can have.
            yield from _term_errors(preferred.get("preference") or {}, f"{where}.preference", has_checked_values=False)
    for kind in ("podAffinity", "podAntiAffinity"):
        if affinity.get(kind) is not None:
            yield from _pod_affinity_errors(affinity[kind], f"{path}.{kind}")


def node_selector_errors(selector: Object, path: str) -> Iterator[Cause]:
    """What is wrong with a NodeSelector, of pods as well as of volumes."""
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        yield required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        yield from _term_errors(term, f"{path}.nodeSelectorTerms[{index}]", has_checked_values=True)


def _weight_errors(weighted: Object, path: str) -> Iterator[Cause]:
    weight = weighted.get("weight") or 0
    if not 1 <= weight <= 100:
        yield invalid_value(f"{path}.weight", weight, "must be in the range 1-100")


def _term_errors(term: Object, path: str, *, has_checked_values: bool) -> Iterator[Cause]:
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        yield from _node_expression_errors(expression, where, has_checked_values=has_checked_values)
    for index, expression in enumerate(term.get("matchFields") or ()):
        yield from _node_field_errors(expression, f"{path}.matchFields[{index}]")


def _node_expression_errors(expression: Object, path: str, *, has_checked_values: bool) -> Iterator[Cause]:
    operator, values = expression.get("operator") or "", expression.get("values") or []
    if operator in OPERATORS:
        yield from value_count_errors(operator, values, path)
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            yield required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield invalid_value(f"{path}.operator", operator, BAD_OPERATOR)
    key = expression.get("key") or ""
    yield from all_of(f"{path}.key", key, names.qualified_name(key))
    for index, value in enumerate(values if has_checked_values else ()):
        yield from all_of(f"{path}.values[{index}]", value, names.label_value(value))


def _node_field_errors(expression: Object, path: str) -> Iterator[Cause]:
    operator, values, key = expression.get("operator") or "", expression.get("values") or [], expression.get("key")
    if operator not in ("In", "NotIn"):
        yield invalid_value(f"{path}.operator", operator, BAD_OPERATOR)
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield required(f"{path}.values", detail)
    if key != "metadata.name":
        yield invalid_value(f"{path}.key", key or "", "not a valid field selector key")
        return
    for index, value in enumerate(values):
        yield from all_of(f"{path}.values[{index}]", value, names.dns_subdomain(value))


def _pod_affinity_errors(affinity: Object, path: str) -> Iterator[Cause]:
    for index, term in enumerate(affinity.get(_REQUIRED) or ()):
        yield from _pod_term_errors(term, f"{path}.{_REQUIRED}[{index}]")
    for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        where = f"{path}.{_PREFERRED}[{index}]"
        yield from _weight_errors(weighted, where)
        yield from _pod_term_errors(weighted.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm")


def _pod_term_errors(term: Object, path: str) -> Iterator[Cause]:
    for field in ("labelSelector", "namespaceSelector"):
        yield from label_selector_errors(term.get(field), f"{path}.{field}")
    for namespace in term.get("namespaces") or ():
        yield from all_of(f"{path}.namespace", namespace, names.dns_label(namespace))
    yield from _label_key_errors(term, path)
    key = term.get("topologyKey") or ""
    if not key:
        yield required(f"{path}.topologyKey", "can not be empty")
    yield from all_of(f"{path}.topologyKey", key, names.qualified_name(key))


def _label_key_errors(term: Object, path: str) -> Iterator[Cause]:
    """Of the keys whose values each pod brings along, which are merged into the selector."""
    matched, mismatched = term.get("matchLabelKeys") or [], term.get("mismatchLabelKeys") or []
    if not matched and not mismatched:
        return
    selector = term.get("labelSelector")
    for field, keys in (("matchLabelKeys", matched), ("mismatchLabelKeys", mismatched)):
        if keys and selector is None:
            yield forbidden(f"{path}.{field}", "must not be specified when labelSelector is not set")
        for index, key in enumerate(keys if selector is not None else ()):
            yield from all_of(f"{path}.{field}[{index}]", key, names.qualified_name(key))
    yield from _selected_twice(matched, selector or {}, path)
    for index, key in enumerate(matched):
        if key in mismatched:
            detail = "exists in both matchLabelKeys and mismatchLabelKeys"
            yield invalid_value(f"{path}.matchLabelKeys[{index}]", key, detail)


def _selected_twice(matched: list[str], selector: Object, path: str) -> Iterator[Cause]:
    """A key that the user's selector has, too: a new pod's own was merged in before, so it is there twice."""
    places = {key: index for index, key in enumerate(matched)}
    seen = set(selector.get("matchLabels") or ())
    for expression in selector.get("matchExpressions") or ():
        key = expression.get("key") or ""
        if key in places and key in seen:
            yield invalid_value(f"{path}[{places[key]}]", key, "exists in both matchLabelKeys and labelSelector")
        seen.add(key)


def toleration_errors(tolerations: list[Object], path: str) -> Iterator[Cause]:
    for index, toleration in enumerate(tolerations):
        yield from _one_toleration_errors(toleration, f"{path}[{index}]")


def _one_toleration_errors(toleration: Object, path: str) -> Iterator[Cause]:
    key, operator, value = (toleration.get(field) or "" for field in ("key", "operator", "value"))
    effect = toleration.get("effect") or ""
    if key:
        yield from all_of(f"{path}.key", key, names.qualified_name(key))
    elif operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid_value(f"{path}.operator", operator, detail)
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield invalid_value(f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
    if operator in ("", "Equal"):
        if complaints := names.label_value(value):
            yield invalid_value(f"{path}.operator", value, ";".join(complaints))
    elif operator == "Exists":
        if value:
            yield invalid_value(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'")
    else:
        # The numeric ones are known, but stand behind a gate that is off.
        known = ("Equal", "Exists", "Lt", "Gt") if operator in ("Lt", "Gt") else ("Equal", "Exists")
        yield not_supported(f"{path}.operator", operator, known)
    if effect and effect not in _EFFECTS:
        yield not_supported(f"{path}.effect", effect, _EFFECTS)


def spread_errors(constraints: list[Object], path: str) -> Iterator[Cause]:
    kinds = [(each.get("topologyKey") or "", each.get("whenUnsatisfiable") or "") for each in constraints]
    for index, (constraint, (key, action)) in enumerate(zip(constraints, kinds, strict=True)):
        where, skew = f"{path}[{index}]", constraint.get("maxSkew") or 0
        if skew <= 0:
            yield invalid_value(f"{where}.maxSkew", skew, "must be greater than zero")
        if not key:
            yield required(f"{where}.topologyKey", "can not be empty")
        if action not in _ACTIONS:
            yield not_supported(f"{where}.whenUnsatisfiable", action, _ACTIONS)
        if (key, action) in kinds[index + 1 :]:
            yield duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
        yield from _domain_errors(constraint.get("minDomains"), action, f"{where}.minDomains")
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if constraint.get(field) is not None and constraint[field] not in _POLICIES:
                yield not_supported(f"{where}.{field}", constraint[field], _POLICIES)
        yield from _label_key_errors(constraint, where)
        yield from label_selector_errors(constraint.get("labelSelector"), f"{where}.labelSelector")


def _domain_errors(least: int | None, action: str, path: str) -> Iterator[Cause]:
    if least is None:
        return
    if least <= 0:
        yield invalid_value(path, least, "must be greater than zero")
    if action != "DoNotSchedule":
        detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        yield invalid_value(path, least, detail)


def readiness_gate_errors(gates: list[Object], path: str) -> Iterator[Cause]:
    for index, gate in enumerate(gates):
        condition = gate.get("conditionType") or ""
        yield from all_of(f"{path}[{index}].conditionType", condition, names.qualified_name(condition))


def scheduling_gate_errors(gates: list[Object], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name") or ""
        yield from all_of(f"{path}[{index}]", name, names.qualified_name(name))
        if name in seen:
            yield duplicate(f"{path}[{index}]", name)
        seen.add(name)
