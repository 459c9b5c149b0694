"""What upstream refuses in what is asked of devices: requests, constraints and configurations (resource.k8s.io/v1).

Expressions are only measured; what they mean is not looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from apiserver.rules.defaulting import default_values
from apiserver.rules.field_errors import (
    all_of,
    choice,
    duplicate,
    invalid_value,
    not_supported,
    required,
    too_long,
    too_many,
)
from apiserver.rules.storage.storage_source_rules import csi_driver_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_MOST, _MOST_ALTERNATIVES, _LONGEST_ID, _LONGEST_EXPRESSION = 32, 8, 32, 10 << 10
_LONGEST_POOL, _MOST_PARAMETERS = 253, 10 << 10
_MODES = ("All", "ExactCount")
EFFECTS = ("NoExecute", "NoSchedule", "None")
_ONE_KIND = "exactly one of `exactly` or `firstAvailable` is required"
_BAD_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
_NO_ATTRIBUTE = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'


def default_claim_spec(spec: Object) -> None:
    for request in (spec.get("devices") or {}).get("requests") or ():
        for asked in [request.get("exactly"), *(request.get("firstAvailable") or ())]:
            if asked is None:
                continue
            asked["allocationMode"] = asked.get("allocationMode") or "ExactCount"
            if asked["allocationMode"] == "ExactCount":
                asked["count"] = asked.get("count") or 1
            for toleration in asked.get("tolerations") or ():
                default_values(toleration, operator="Equal")


def claim_spec_errors(spec: Object, path: str) -> Iterator[Cause]:
    devices, path = spec.get("devices") or {}, f"{path}.devices"
    known = request_names(spec)
    yield from set_errors(devices.get("requests"), f"{path}.requests", _request_errors, "name")
    yield from list_errors(
        devices.get("constraints"), f"{path}.constraints", lambda each, at: _constraint_errors(each, at, known)
    )
    yield from list_errors(
        devices.get("config"), f"{path}.config", lambda each, at: _configuration_errors(each, at, known)
    )


def _configuration_errors(configuration: Object, path: str, known: set[str]) -> Iterator[Cause]:
    yield from reference_errors(configuration.get("requests"), f"{path}.requests", known)
    yield from configuration_errors(configuration, path)


def request_names(spec: Object) -> set[str]:
    """The requests' names, and with each its alternatives'."""
    found: set[str] = set()
    for request in (spec.get("devices") or {}).get("requests") or ():
        name = request.get("name") or ""
        found.add(name)
        found.update(f"{name}/{each.get('name') or ''}" for each in request.get("firstAvailable") or ())
    return found


def list_errors(
    items: Sequence[Any] | None, path: str, errors: Callable[[Any, str], Iterator[Cause]], most: int = _MOST
) -> Iterator[Cause]:
    """Of each of a list; one that is too long is not looked into."""
    items = items or ()
    if 0 <= most < len(items):
        yield too_many(path, len(items), most)
        return
    for index, item in enumerate(items):
        yield from errors(item, f"{path}[{index}]")


def set_errors(
    items: list[Any] | None,
    path: str,
    errors: Callable[[Any, str], Iterator[Cause]],
    key: str = "",
    most: int = _MOST,
) -> Iterator[Cause]:
    """As `list_errors`, of a list of unique things."""
    yield from list_errors(items, path, errors, most)
    items = items or []
    if 0 <= most < len(items):
        return
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = item.get(key) or "" if key else item
        if name in seen:
            yield duplicate(f"{path}[{index}]", name)
        seen.add(name)


def _request_errors(request: Object, path: str) -> Iterator[Cause]:
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable")
    yield from _name_errors(request.get("name"), f"{path}.name")
    if exactly is None and not alternatives:
        yield required(path, _ONE_KIND)
    elif exactly is not None and alternatives:
        yield invalid_value(path, None, f"{_ONE_KIND}, but multiple fields are set")
    elif exactly is not None:
        yield from _asked_errors(exactly, f"{path}.exactly")
    else:
        yield from set_errors(alternatives, f"{path}.firstAvailable", _alternative_errors, "name", _MOST_ALTERNATIVES)


def _alternative_errors(asked: Object, path: str) -> Iterator[Cause]:
    yield from _name_errors(asked.get("name"), f"{path}.name")
    yield from _asked_errors(asked, path)


def _name_errors(name: str | None, path: str) -> Iterator[Cause]:
    yield from all_of(path, name, names.dns_label(name)) if name else [required(path)]


def _asked_errors(asked: Object, path: str) -> Iterator[Cause]:
    name, mode, count = asked.get("deviceClassName"), asked.get("allocationMode") or "", asked.get("count") or 0
    if name:
        yield from all_of(f"{path}.deviceClassName", name, names.dns_subdomain(name))
    else:
        yield required(f"{path}.deviceClassName")
    yield from selectors_errors(asked.get("selectors"), f"{path}.selectors")
    if mode not in _MODES:
        yield not_supported(f"{path}.allocationMode", mode, _MODES)
    elif mode == "All" and count:
        yield invalid_value(f"{path}.count", count, "must not be specified when allocationMode is 'All'")
    elif mode == "ExactCount" and count <= 0:
        yield invalid_value(f"{path}.count", count, "must be greater than zero")
    for index, toleration in enumerate(asked.get("tolerations") or ()):
        yield from _toleration_errors(toleration, f"{path}.tolerations[{index}]")


def _toleration_errors(toleration: Object, path: str) -> Iterator[Cause]:
    operator, effect = toleration.get("operator"), toleration.get("effect")
    key, value = toleration.get("key"), toleration.get("value") or ""
    if key:
        yield from all_of(f"{path}.key", key, names.qualified_name(key))
    yield from choice(f"{path}.operator", operator, ("Equal", "Exists"))
    if operator == "Exists" and value:
        yield invalid_value(f"{path}.value", value, "must be empty for operator `Exists`")
    elif operator == "Equal":
        yield from all_of(f"{path}.value", value, names.label_value(value))
    if effect and effect not in EFFECTS:
        yield not_supported(f"{path}.effect", effect, EFFECTS)


def selectors_errors(selectors: list[Object] | None, path: str) -> Iterator[Cause]:
    yield from list_errors(selectors, path, _selector_errors)


def _selector_errors(selector: Object, path: str) -> Iterator[Cause]:
    if (cel := selector.get("cel")) is None:
        yield required(f"{path}.cel")
    elif not (expression := cel.get("expression")):
        yield required(f"{path}.cel.expression")
    elif len(expression) > _LONGEST_EXPRESSION:
        yield too_long(f"{path}.cel.expression", _LONGEST_EXPRESSION)


def _constraint_errors(constraint: Object, path: str, known: set[str]) -> Iterator[Cause]:
    yield from reference_errors(constraint.get("requests"), f"{path}.requests", known)
    for field in ("matchAttribute", "distinctAttribute"):
        if (name := constraint.get(field)) is not None:
            yield from attribute_name_errors(name, f"{path}.{field}")
            if "/" not in name:
                detail = "a fully qualified name must be a domain and a name separated by a slash"
                yield invalid_value(f"{path}.{field}", name, detail)
            return
    yield required(path, _NO_ATTRIBUTE)


def reference_errors(requests: list[str] | None, path: str, known: set[str]) -> Iterator[Cause]:
    yield from set_errors(requests, path, lambda name, where: request_name_errors(name, where, known))


def request_name_errors(name: str, path: str, known: set[str]) -> Iterator[Cause]:
    """Of a name that is one of the claim's requests, or of its alternatives with the request's name before it."""
    if name.count("/") < 2:
        for part in name.split("/"):
            yield from all_of(path, part, names.dns_label(part))
    if name not in known:
        yield invalid_value(path, name, _BAD_REQUEST)


def pool_name_errors(name: str, path: str) -> Iterator[Cause]:
    if not name:
        yield required(path)
    if len(name) > _LONGEST_POOL:
        yield too_long(path, _LONGEST_POOL)
    for part in name.split("/") if name else ():
        yield from all_of(path, part, names.dns_subdomain(part))


def attribute_name_errors(name: str, path: str) -> Iterator[Cause]:
    domain, slash, tail = name.rpartition("/")
    if "/" in domain:
        yield invalid_value(path, name, "must not contain more than one slash")
        return
    if slash:
        yield from (
            csi_driver_errors(domain, path) if domain else [invalid_value(path, "", "the domain must not be empty")]
        )
    if slash and not tail:
        yield invalid_value(path, "", "the name must not be empty")
        return
    if len(tail) > _LONGEST_ID:
        yield too_long(path, _LONGEST_ID)
    yield from all_of(path, tail, names.c_identifier(tail))


def configuration_errors(configuration: Object, path: str) -> Iterator[Cause]:
    if (opaque := configuration.get("opaque")) is None:
        yield required(f"{path}.opaque")
        return
    yield from csi_driver_errors(opaque.get("driver") or "", f"{path}.opaque.driver")
    yield from parameters_errors(opaque.get("parameters"), f"{path}.opaque.parameters")


def parameters_errors(parameters: Any, path: str) -> Iterator[Cause]:
    """Of what only the driver understands: an object, and not a large one."""
    if parameters is None:
        yield required(path)
    elif len(orjson.dumps(parameters)) > _MOST_PARAMETERS:
        yield too_long(path, _MOST_PARAMETERS)
    elif not isinstance(parameters, dict):
        yield invalid_value(path, "<value omitted>", "must be a valid JSON object")
