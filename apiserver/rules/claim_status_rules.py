"""What upstream refuses in a claim's status: who uses it, which devices it got, and what is told of these."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apiserver.rules.condition_rules import condition_errors
from apiserver.rules.device_rules import (
    configuration_errors,
    list_errors,
    parameters_errors,
    pool_name_errors,
    reference_errors,
    request_name_errors,
    request_names,
    set_errors,
)
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
from apiserver.rules.immutability import immutable
from apiserver.rules.network.addresses import interface_errors
from apiserver.rules.pods.placement_rules import node_selector_errors
from apiserver.rules.slice_device_rules import binding_errors
from apiserver.rules.storage.storage_source_rules import csi_driver_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_MOST_CONSUMERS, _MOST_RESULTS, _MOST_CONFIGURATIONS, _MOST_CONDITIONS, _MOST_IPS = 256, 32, 64, 8, 16
_LONGEST_INTERFACE, _LONGEST_HARDWARE = 256, 128
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CONSUMERS = "status.reservedFor"
_ADDED = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"


def drop_deallocated(new: Object, old: Object) -> None:
    """What is told of devices goes when the claim no longer has them."""
    status = new.get("status") or {}
    if not status.get("devices"):
        return
    gone = _allocated(old.get("status") or {}) - _allocated(status)
    kept = [device for device in status["devices"] if _identity(device) not in gone]
    if kept:
        status["devices"] = kept
    else:
        del status["devices"]


def claim_status_errors(new: Object, old: Object) -> list[Cause]:
    status, before = new.get("status") or {}, old.get("status") or {}
    consumers, allocation = status.get("reservedFor") or [], status.get("allocation")
    errors = list(set_errors(consumers, _CONSUMERS, _consumer_errors, "uid", _MOST_CONSUMERS))
    errors += _devices_errors(status)
    if consumers and allocation is None:
        errors.append(forbidden(_CONSUMERS, "may not be specified when `allocated` is not set"))
    elif new["metadata"].get("deletionTimestamp") and any(
        consumer not in (before.get("reservedFor") or ()) for consumer in consumers
    ):
        errors.append(forbidden(_CONSUMERS, _ADDED))
    if allocation is None:
        return errors
    if before.get("allocation") is not None:
        return errors + immutable("status.allocation")(new, old)
    return [*errors, *_allocation_errors(allocation, request_names(new.get("spec") or {}))]


def _consumer_errors(consumer: Object, path: str) -> Iterator[Cause]:
    for field in ("resource", "name", "uid"):
        if not consumer.get(field):
            yield required(f"{path}.{field}")


_Identity = tuple[str, ...]


def _identity(device: Object) -> _Identity:
    return tuple(device.get(field) or "" for field in ("driver", "pool", "device", "shareID"))


def _allocated(status: Object) -> set[_Identity]:
    devices = (status.get("allocation") or {}).get("devices") or {}
    return {_identity(result) for result in devices.get("results") or ()}


def _shown(identity: _Identity) -> Object:
    return dict(zip(("Driver", "Pool", "Device", "ShareID"), identity, strict=True))


def _devices_errors(status: Object) -> Iterator[Cause]:
    devices, allocated = status.get("devices") or (), _allocated(status)
    for index, device in enumerate(devices):
        yield from _device_errors(device, f"status.devices[{index}]", allocated)
    seen: set[_Identity] = set()
    for index, device in enumerate(devices):
        identity = _identity(device)
        if identity in seen:
            yield duplicate(f"status.devices[{index}]", _shown(identity))
        seen.add(identity)


def _device_errors(device: Object, path: str, allocated: set[_Identity]) -> Iterator[Cause]:
    conditions, data = device.get("conditions") or [], device.get("data")
    yield from _place_errors(device, path)
    yield from _share_errors(device, path)
    if _identity(device) not in allocated:
        yield invalid_value(path, _shown(_identity(device)), "must be an allocated device in the claim")
    if len(conditions) > _MOST_CONDITIONS:
        yield too_many(f"{path}.conditions", len(conditions), _MOST_CONDITIONS)
    yield from condition_errors(conditions, f"{path}.conditions")
    if data is not None:
        yield from parameters_errors(data, f"{path}.data")
    yield from _network_errors(device.get("networkData") or {}, f"{path}.networkData")


def _place_errors(device: Object, path: str) -> Iterator[Cause]:
    name = device.get("device") or ""
    yield from csi_driver_errors(device.get("driver") or "", f"{path}.driver")
    yield from pool_name_errors(device.get("pool") or "", f"{path}.pool")
    yield from all_of(f"{path}.device", name, names.dns_label(name))


def _share_errors(device: Object, path: str) -> Iterator[Cause]:
    share = device.get("shareID")
    if share is not None and not _UUID.fullmatch(share):
        yield invalid_value(f"{path}.shareID", share, "must be a lowercase UUID in 8-4-4-4-12 format")


def _network_errors(network: Object, path: str) -> Iterator[Cause]:
    for field, longest in (("interfaceName", _LONGEST_INTERFACE), ("hardwareAddress", _LONGEST_HARDWARE)):
        if len((network.get(field) or "").encode()) > longest:
            yield too_long(f"{path}.{field}", longest)
    yield from set_errors(network.get("ips"), f"{path}.ips", interface_errors, most=_MOST_IPS)


def _allocation_errors(allocation: Object, known: set[str]) -> Iterator[Cause]:
    devices, path = allocation.get("devices") or {}, "status.allocation.devices"
    yield from list_errors(
        devices.get("results"), f"{path}.results", lambda each, at: _result_errors(each, at, known), _MOST_RESULTS
    )
    yield from list_errors(
        devices.get("config"),
        f"{path}.config",
        lambda each, at: _configuration_errors(each, at, known),
        _MOST_CONFIGURATIONS,
    )
    if (selector := allocation.get("nodeSelector")) is not None:
        yield from node_selector_errors(selector, "status.allocation.nodeSelector")


def _result_errors(result: Object, path: str, known: set[str]) -> Iterator[Cause]:
    yield from request_name_errors(result.get("request") or "", f"{path}.request", known)
    yield from _place_errors(result, path)
    yield from binding_errors(result, path)
    yield from _share_errors(result, path)


def _configuration_errors(configuration: Object, path: str, known: set[str]) -> Iterator[Cause]:
    yield from choice(f"{path}.source", configuration.get("source"), ("FromClaim", "FromClass"))
    yield from reference_errors(configuration.get("requests"), f"{path}.requests", known)
    yield from configuration_errors(configuration, path)
