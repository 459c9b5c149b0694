"""What upstream refuses in ResourceQuotas: names, amounts, and scopes that don't fit them (core/v1 validation)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from apiserver.rules.field_errors import invalid_value, required
from apiserver.rules.immutability import IMMUTABLE
from apiserver.rules.label_rules import BAD_OPERATOR
from apiserver.rules.pods.resource_rules import is_counted, is_standard, resource_name_errors
from machinery.api.errors import Cause
from machinery.api.quantity import ZERO, of
from machinery.api.resource import Object

_OF_PODS = frozenset({
    "pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory",
})  # fmt: skip
_SCOPED: Mapping[str, frozenset[str]] = {
    "Terminating": _OF_PODS,
    "NotTerminating": _OF_PODS,
    "BestEffort": frozenset({"pods"}),
    "NotBestEffort": _OF_PODS,
    "PriorityClass": _OF_PODS,
    "CrossNamespacePodAffinity": _OF_PODS,
    "VolumeAttributesClass": frozenset({"persistentvolumeclaims", "requests.storage"}),
}
"""Each scope with the resources that it can count."""
_ONLY_THERE = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
"""Scopes that a pod is in or isn't."""
_EXCLUSIVE = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_UNFIT = "unsupported scope applied to resource"


def quota_errors(quota: Object) -> list[Cause]:
    spec = quota.get("spec") or {}
    hard = spec.get("hard") or {}
    errors = list(_amount_errors(hard, "spec.hard"))
    if spec.get("scopes"):
        errors += _scope_errors(spec["scopes"], hard)
    if spec.get("scopeSelector") is not None:
        errors += _selector_errors(spec, hard)
    return errors


def _amount_errors(amounts: Object, path: str) -> Iterator[Cause]:
    for name, text in amounts.items():
        where, amount = f"{path}[{name}]", of(text)
        yield from resource_name_errors(name, where)
        if "/" not in name and not _is_standard(name):
            yield invalid_value(where, name, "must be a standard resource for quota")
        if amount < ZERO:
            yield invalid_value(where, str(amount), "must be greater than or equal to 0")
        if amount.milli % 1000 and is_counted(name):
            yield invalid_value(where, str(amount), "must be an integer")


def _is_standard(name: str) -> bool:
    # A volume has storage; what claims ask for of it has a name of its own.
    return is_standard(name) and name != "storage"


def _misfits(scope: str, hard: Object) -> int:
    known = _SCOPED.get(scope)
    return 0 if known is None else sum(_is_standard(name) and name not in known for name in hard)


def _scope_errors(scopes: list[str], hard: Object) -> Iterator[Cause]:
    for scope in scopes:
        if scope not in _SCOPED:
            yield invalid_value("spec.scopes", scopes, "unsupported scope")
        for _ in range(_misfits(scope, hard)):
            yield invalid_value("spec.scopes", scopes, _UNFIT)
    yield from _conflict_errors(scopes, "spec.scopes", scopes)


def _conflict_errors(scopes: Sequence[str], path: str, shown: list[str] | None) -> Iterator[Cause]:
    for one, other in _EXCLUSIVE:
        if one in scopes and other in scopes:
            yield invalid_value(path, shown, "conflicting scopes")


def _selector_errors(spec: Object, hard: Object) -> Iterator[Cause]:
    path, expressions = "spec.scopeSelector.matchExpressions", spec["scopeSelector"].get("matchExpressions") or []
    for entry in expressions:
        scope, operator, values = entry.get("scopeName") or "", entry.get("operator") or "", entry.get("values") or []
        if scope not in _SCOPED:
            yield invalid_value(f"{path}.scopeName", scope, "unsupported scope")
        for _ in range(_misfits(scope, hard)):
            yield invalid_value(path, _internal_selector(expressions), _UNFIT)
        if scope in _ONLY_THERE and operator != "Exists":
            detail = (
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating,"
                " ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or"
                " ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            yield invalid_value(f"{path}.operator", operator, detail)
        yield from _operator_errors(operator, values, path)
    yield from _conflict_errors([entry.get("scopeName") or "" for entry in expressions], path, spec.get("scopes"))


def _operator_errors(operator: str, values: list[str], path: str) -> Iterator[Cause]:
    if operator in ("In", "NotIn"):
        if not values:
            detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            yield required(f"{path}.values", detail)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            yield invalid_value(f"{path}.values", values, detail)
    else:
        yield invalid_value(f"{path}.operator", operator, BAD_OPERATOR)


def _internal_selector(expressions: list[Object]) -> Object:
    return {
        "MatchExpressions": [
            {
                "ScopeName": entry.get("scopeName") or "",
                "Operator": entry.get("operator") or "",
                "Values": entry.get("values"),
            }
            for entry in expressions
        ]
    }


def quota_update_errors(new: Object, old: Object) -> list[Cause]:
    scopes, before = ((obj.get("spec") or {}).get("scopes") or [] for obj in (new, old))
    return [] if set(scopes) == set(before) else [invalid_value("spec.scopes", scopes or None, IMMUTABLE)]


def quota_status_errors(new: Object, old: Object) -> list[Cause]:
    status = new.get("status") or {}
    return [
        *_amount_errors(status.get("hard") or {}, "status.hard"),
        *_amount_errors(status.get("used") or {}, "status.used"),
    ]
