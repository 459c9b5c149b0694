"""ResourceSlices: devices of a pool, and on which nodes they are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from apiserver.kinds.rules import Rules
from apiserver.rules.device_rules import pool_name_errors, set_errors
from apiserver.rules.field_errors import all_of, invalid_value, required
from apiserver.rules.immutability import immutable
from apiserver.rules.pods.placement_rules import node_selector_errors
from apiserver.rules.slice_device_rules import counters_errors, slice_device_errors
from apiserver.rules.storage.storage_source_rules import csi_driver_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_MOST_DEVICES, _MOST_ADVANCED, _MOST_SETS = 128, 64, 8
_ON_ONE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_FIXED = immutable("spec.pool.name", "spec.driver", "spec.nodeName")


def _errors(resource_slice: Object) -> list[Cause]:
    spec = resource_slice.get("spec") or {}
    errors = list(csi_driver_errors(spec.get("driver") or "", "spec.driver"))
    errors += _pool_errors(spec.get("pool") or {})
    errors += _node_errors(spec)
    devices, sets = spec.get("devices"), spec.get("sharedCounters")
    if devices is not None and sets is not None:
        errors.append(invalid_value("spec", "", "only one of `sharedCounters` or `devices` is allowed"))
    is_advanced = any(device.get("taints") or device.get("consumesCounters") for device in devices or ())
    most = _MOST_ADVANCED if is_advanced else _MOST_DEVICES
    device_errors = partial(slice_device_errors, has_own_place=bool(spec.get("perDeviceNodeSelection")))
    errors += set_errors(devices, "spec.devices", device_errors, "name", most)
    return [*errors, *set_errors(sets, "spec.sharedCounters", counters_errors, "name", _MOST_SETS)]


def _pool_errors(pool: Object) -> Iterator[Cause]:
    name, count, generation = pool.get("name") or "", pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    yield from pool_name_errors(name, "spec.pool.name")
    if count <= 0:
        yield invalid_value("spec.pool.resourceSliceCount", count, "must be greater than zero")
    if generation < 0:
        yield invalid_value("spec.pool.generation", generation, "must be greater than or equal to zero")


def _node_errors(spec: Object) -> Iterator[Cause]:
    name, selector, given = spec.get("nodeName"), spec.get("nodeSelector"), []
    if name:
        given.append("`nodeName`")
        yield from all_of("spec.nodeName", name, names.dns_subdomain(name))
    elif name is not None:
        yield invalid_value("spec.nodeName", name, "must be either unset or set to a non-empty string")
    if selector is not None:
        given.append("`nodeSelector`")
        yield from node_selector_errors(selector, "spec.nodeSelector")
        if len(terms := selector.get("nodeSelectorTerms") or []) != 1:
            detail = "must have exactly one node selector term"
            yield invalid_value("spec.nodeSelector.nodeSelectorTerms", terms, detail)
    for field in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(field):
            given.append(f"`{field}`")
        elif spec.get(field) is not None:
            yield invalid_value(f"spec.{field}", value=False, detail="must be either unset or set to true")
    if not given:
        yield required("spec", _ON_ONE)
    elif len(given) > 1:
        yield invalid_value("spec", f"{{{', '.join(given)}}}", f"{_ON_ONE}, but multiple fields are set")


RULES = Rules(
    validate=_errors,
    validate_update=_FIXED,
    has_generation=True,
    selectable_fields=("spec.nodeName", "spec.driver"),
)
