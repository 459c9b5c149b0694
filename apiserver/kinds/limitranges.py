"""LimitRanges: a container's defaults follow from its limits, and no value may leave what the others allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from apiserver.kinds.rules import Rules
from apiserver.rules.field_errors import duplicate, forbidden, invalid_value, required
from apiserver.rules.pods.resource_rules import container_resource_name, resource_name_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.quantity import of
from machinery.api.resource import Object

_TIERS = ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio")
_STANDARD = ("Container", "Pod", "PersistentVolumeClaim")


def default(limit_range: Object) -> None:
    """Limits default to the maximum; requests to the limits, else to the minimum."""
    for item in (limit_range.get("spec") or {}).get("limits") or []:
        if item.get("type") != "Container":
            continue
        limits = {**(item.get("max") or {}), **(item.get("default") or {})}
        requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
        for field, values in (("default", limits), ("defaultRequest", requests)):
            if values:
                item[field] = values


def validate(limit_range: Object) -> list[Cause]:
    errors: list[Cause] = []
    types: set[str] = set()
    for index, item in enumerate((limit_range.get("spec") or {}).get("limits") or []):
        path, kind = f"spec.limits[{index}]", item.get("type") or ""
        errors += _type_errors(kind, f"{path}.type")
        if kind in types:
            errors.append(duplicate(f"{path}.type", kind))
        types.add(kind)
        errors += _name_errors(item, kind, path)
        errors += _item_errors(item, kind, path)
    return errors


def _type_errors(kind: str, path: str) -> Iterator[Cause]:
    complaints = names.qualified_name(kind)
    yield from (invalid_value(path, kind, complaint) for complaint in complaints)
    if not complaints and "/" not in kind and kind not in _STANDARD:
        yield invalid_value(path, kind, "must be a standard limit type or fully qualified")


def _name_errors(item: Object, kind: str, path: str) -> Iterator[Cause]:
    """Pods and containers have resources of compute alone, everything else others as well."""
    check = container_resource_name if kind in ("Pod", "Container") else resource_name_errors
    for tier in _TIERS:
        if kind == "Pod" and tier in ("default", "defaultRequest"):
            continue
        for name in item.get(tier) or ():
            yield from check(name, f"{path}.{tier}[{name}]")


def _item_errors(item: Object, kind: str, path: str) -> Iterator[Cause]:
    tiers = {tier: item.get(tier) or {} for tier in _TIERS}
    if kind == "Pod":
        for tier in ("default", "defaultRequest"):
            if tiers[tier]:
                yield forbidden(f"{path}.{tier}", "may not be specified when `type` is 'Pod'")
    if kind == "PersistentVolumeClaim" and "storage" not in tiers["min"] and "storage" not in tiers["max"]:
        yield required(
            f"{path}.limits", "either minimum or maximum storage value is required, but neither was provided"
        )
    # Upstream goes through a set of the names, in no order; theirs makes the answer the same twice.
    for name in sorted({name for values in tiers.values() for name in values}):
        yield from _resource_errors({tier: values.get(name) for tier, values in tiers.items()}, name, path)


_OVER_LIMIT = "default request value {0} is greater than default limit value {1}"
_ORDERED = (
    ("min", "max", "min", "min", "min value {0} is greater than max value {1}"),
    ("min", "defaultRequest", *("defaultRequest",) * 2, "min value {0} is greater than default request value {1}"),
    ("defaultRequest", "max", *("defaultRequest",) * 2, "default request value {0} is greater than max value {1}"),
    ("defaultRequest", "default", *("defaultRequest",) * 2, _OVER_LIMIT),
    ("min", "default", "default", "min", "min value {0} is greater than default value {1}"),
    ("default", "max", "default", "max", "default value {0} is greater than max value {1}"),
)
"""Of each pair the first is at most the second; then the field that is blamed, and the one whose value is shown."""


def _resource_errors(given: Mapping[str, str | None], name: str, path: str) -> Iterator[Cause]:
    for small, great, blamed, shown, words in _ORDERED:
        low, high = given[small], given[great]
        if low is not None and high is not None and of(low) > of(high):
            yield invalid_value(f"{path}.{blamed}[{name}]", given[shown], words.format(low, high))
    yield from _ratio_errors(given, f"{path}.maxLimitRequestRatio[{name}]")
    limit, request = given["default"], given["defaultRequest"]
    may_differ = "/" not in name.replace("kubernetes.io/", "") and not name.startswith("hugepages-")
    if not may_differ and limit is not None and request is not None and of(limit) != of(request):
        detail = f"default value {limit} must equal to defaultRequest value {request} in {name}"
        yield invalid_value(f"{path}.defaultRequest[{name}]", request, detail)


def _ratio_errors(given: Mapping[str, str | None], path: str) -> Iterator[Cause]:
    ratio, low, high = given["maxLimitRequestRatio"], given["min"], given["max"]
    if ratio is None:
        return
    if of(ratio) < of("1"):
        yield invalid_value(path, ratio, f"ratio {ratio} is less than 1")
    if low is None or high is None or of(low).milli == 0:
        return
    largest = of(high).milli / of(low).milli
    if of(ratio).milli / 1000 > largest:
        yield invalid_value(path, ratio, f"ratio {ratio} is greater than max/min = {largest:f}")


RULES = Rules(default=default, validate=validate)
