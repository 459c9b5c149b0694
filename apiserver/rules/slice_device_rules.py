"""What upstream refuses in a ResourceSlice's devices: attributes, capacities, counters, taints and where they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from apiserver.rules.device_rules import EFFECTS, attribute_name_errors, list_errors, set_errors
from apiserver.rules.field_errors import (
    all_of,
    choice,
    duplicate,
    forbidden,
    invalid_value,
    required,
    too_long,
    too_many,
)
from apiserver.rules.pods.placement_rules import node_selector_errors
from apiserver.rules.request_policy_rules import request_policy_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_MOST_ATTRIBUTES, _MOST_TAINTS, _MOST_CONSUMPTIONS, _MOST_COUNTERS, _MOST_BOUND = 32, 16, 2, 32, 4
_LONGEST_VALUE = 64
_NUMBER, _WORD = r"(0|[1-9]\d*)", r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_WORD}(\.{_WORD})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?", re.ASCII
)
_ON_ONE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true"
    " in the ResourceSlice spec"
)
_PLACES = ("nodeName", "nodeSelector", "allNodes")
_PLACELESS = (
    "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the"
    " ResourceSlice spec"
)


def slice_device_errors(device: Object, path: str, *, has_own_place: bool) -> Iterator[Cause]:
    name = device.get("name") or ""
    yield from all_of(f"{path}.name", name, names.dns_label(name))
    yield from _property_errors(device, path)
    yield from list_errors(device.get("taints"), f"{path}.taints", _taint_errors, _MOST_TAINTS)
    consumed, where = device.get("consumesCounters"), f"{path}.consumesCounters"
    yield from set_errors(consumed, where, _consumption_errors, "counterSet", _MOST_CONSUMPTIONS)
    if has_own_place:
        yield from _place_errors(device, path)
    elif any(device.get(field) is not None for field in _PLACES):
        yield invalid_value(path, None, _PLACELESS)
    yield from binding_errors(device, path)


def _property_errors(device: Object, path: str) -> Iterator[Cause]:
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    if (count := len(attributes) + len(capacity)) > _MOST_ATTRIBUTES:
        detail = f"the total number of attributes and capacities must not exceed {_MOST_ATTRIBUTES}"
        yield invalid_value(path, count, detail)
    for key, value in attributes.items():
        yield from attribute_name_errors(key, f"{path}.attributes[{key}]")
        yield from _attribute_errors(value, f"{path}.attributes[{key}]")
    for key, value in capacity.items():
        where = f"{path}.capacity[{key}]"
        yield from attribute_name_errors(key, where)
        if (policy := value.get("requestPolicy")) is None:
            continue
        if device.get("allowMultipleAllocations"):
            yield from request_policy_errors(value.get("value") or "0", policy, f"{where}.requestPolicy")
        else:
            yield forbidden(f"{where}.requestPolicy", "allowMultipleAllocations must be true")


def _attribute_errors(attribute: Object, path: str) -> Iterator[Cause]:
    version = attribute.get("version")
    if len((attribute.get("string") or "").encode()) > _LONGEST_VALUE:
        yield too_long(f"{path}.string", _LONGEST_VALUE)
    if version is not None and not _VERSION.fullmatch(version):
        yield invalid_value(f"{path}.version", version, "must be a string compatible with semver.org spec 2.0.0")
    if len((version or "").encode()) > _LONGEST_VALUE:
        yield too_long(f"{path}.version", _LONGEST_VALUE)
    if len(attribute) != 1:
        yield invalid_value(path, attribute or "", "exactly one value must be specified")


def _taint_errors(taint: Object, path: str) -> Iterator[Cause]:
    key, value = taint.get("key") or "", taint.get("value") or ""
    yield from all_of(f"{path}.key", key, names.qualified_name(key))
    if value:
        yield from all_of(f"{path}.value", value, names.label_value(value))
    yield from choice(f"{path}.effect", taint.get("effect"), EFFECTS)


def counters_errors(counters: Object, path: str) -> Iterator[Cause]:
    """Of a set of counters that devices share."""
    return _named_counters_errors(counters, "name", path)


def _consumption_errors(consumption: Object, path: str) -> Iterator[Cause]:
    return _named_counters_errors(consumption, "counterSet", path)


def _named_counters_errors(named: Object, field: str, path: str) -> Iterator[Cause]:
    counters = named.get("counters") or {}
    yield from (
        all_of(f"{path}.{field}", named[field], names.dns_label(named[field]))
        if named.get(field)
        else [required(f"{path}.{field}")]
    )
    if not counters:
        yield required(f"{path}.counters")
    if len(counters) > _MOST_COUNTERS:
        yield too_many(f"{path}.counters", len(counters), _MOST_COUNTERS)
        return
    for key in counters:
        yield from all_of(f"{path}.counters[{key}]", key, names.dns_label(key))


def _place_errors(device: Object, path: str) -> Iterator[Cause]:
    name, selector, everywhere = (device.get(field) for field in _PLACES)
    if name:
        yield from all_of(f"{path}.nodeName", name, names.dns_subdomain(name))
    elif name is not None:
        yield invalid_value(f"{path}.nodeName", name, "must not be empty")
    if selector is not None:
        yield from node_selector_errors(selector, f"{path}.nodeSelector")
    if everywhere is False:
        yield invalid_value(f"{path}.allNodes", value=False, detail="must be either unset or set to true")
    is_given = (bool(name), selector is not None, bool(everywhere))
    given = [f"`{field}`" for field, is_one in zip(_PLACES, is_given, strict=True) if is_one]
    if not given:
        yield required(path, _ON_ONE)
    elif len(given) > 1:
        yield invalid_value(path, f"{{{', '.join(given)}}}", _ON_ONE)


def binding_errors(device: Object, path: str) -> Iterator[Cause]:
    """Of the conditions that a pod waits for, and of those at which it waits no longer."""
    waits, fails = device.get("bindingConditions") or [], device.get("bindingFailureConditions") or []
    for field, conditions in (("bindingConditions", waits), ("bindingFailureConditions", fails)):
        yield from _labels_errors(conditions, f"{path}.{field}")
    yield from _repeated(waits, f"{path}.bindingConditions", ())
    yield from _repeated(fails, f"{path}.bindingFailureConditions", waits)
    if fails and not waits:
        yield _unpaired(path, "bindingConditions", "bindingFailureConditions")
    if waits and not fails:
        yield _unpaired(path, "bindingFailureConditions", "bindingConditions")


def _repeated(conditions: list[str], path: str, others: Iterable[str]) -> Iterator[Cause]:
    for index, condition in enumerate(conditions):
        if condition in conditions[:index]:
            yield duplicate(f"{path}[{index}]", condition)
        if condition in others:
            detail = "bindingFailureConditions must not overlap with bindingConditions"
            yield invalid_value(f"{path}[{index}]", condition, detail)


def _unpaired(path: str, lacking: str, given: str) -> Cause:
    return invalid_value(f"{path}.{lacking}", None, f"{lacking} are required to use {given}")


def _labels_errors(keys: list[str], path: str) -> Iterator[Cause]:
    if len(keys) > _MOST_BOUND:
        yield too_many(path, len(keys), _MOST_BOUND)
        return
    for index, key in enumerate(keys):
        yield from all_of(f"{path}[{index}]", key, names.qualified_name(key))
