"""What upstream refuses in classes of volumes and what drivers tell of themselves (storage.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import (
    all_of,
    duplicate,
    forbidden,
    invalid_value,
    not_negative,
    not_supported,
    one_of,
    required,
    too_long,
)
from apiserver.rules.immutability import IMMUTABLE, immutable
from apiserver.rules.pods.deprecated_labels import DEPRECATED
from apiserver.rules.storage.storage_source_rules import csi_driver_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_BINDING = ("Immediate", "WaitForFirstConsumer")
_MOST_PARAMETERS, _MOST_PARAMETER_BYTES, _LONGEST_NODE_ID = 512, 256 << 10, 256
_FS_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_LIFECYCLES = ("Persistent", "Ephemeral")
_SHORTEST_TOKEN, _LONGEST_TOKEN, _SHORTEST_PERIOD = 600, 1 << 32, 10


def _provisioner_errors(name: str, path: str) -> list[Cause]:
    return all_of(path, name.lower(), names.qualified_name(name.lower())) if name else [required(path)]


def _parameter_errors(parameters: Object, *, may_lack: bool = True) -> Iterator[Cause]:
    if len(parameters) > _MOST_PARAMETERS:
        yield too_long("parameters", _MOST_PARAMETERS)
        return
    size = 0
    for key, value in parameters.items():
        if not key:
            yield invalid_value("parameters", key, "field can not be empty.")
        size += len(key.encode()) + len((value or "").encode())
    if size > _MOST_PARAMETER_BYTES:
        yield too_long("parameters", _MOST_PARAMETER_BYTES)
    if not parameters and not may_lack:
        yield required("parameters", "must contain at least one key/value pair")


def class_errors(storage_class: Object) -> list[Cause]:
    errors = _provisioner_errors(storage_class.get("provisioner") or "", "provisioner")
    errors += _parameter_errors(storage_class.get("parameters") or {})
    errors += one_of("reclaimPolicy", storage_class.get("reclaimPolicy"), ("Delete", "Retain"))
    mode = storage_class.get("volumeBindingMode")
    if mode not in _BINDING:
        path = "volumeBindingMode"
        errors.append(required(path) if mode is None else not_supported(path, mode, _BINDING))
    return [*errors, *_topology_errors(storage_class.get("allowedTopologies") or [])]


def _topology_errors(terms: list[Object]) -> Iterator[Cause]:
    seen: list[dict[str, set[str]]] = []
    for index, term in enumerate(terms):
        path, found = f"allowedTopologies[{index}].matchLabelExpressions", {}
        for place, entry in enumerate(term.get("matchLabelExpressions") or ()):
            where, key, values = f"{path}[{place}]", entry.get("key") or "", entry.get("values") or []
            if not values:
                yield required(f"{where}.values")
            for at, value in enumerate(values):
                if value in values[:at]:
                    yield duplicate(f"{where}.values[{at}]", value)
            yield from all_of(f"{where}.key", key, names.qualified_name(key))
            if key in found:
                yield duplicate(f"{where}.key", key)
            found[key] = set(values)
        if found in seen:
            yield duplicate(path, "")
        seen.append(found)


def class_update_errors(new: Object, old: Object) -> list[Cause]:
    errors = [
        forbidden(field, f"updates to {field} are forbidden.")
        for field in ("parameters", "provisioner", "reclaimPolicy")
        if (new.get(field) or None) != (old.get(field) or None)
    ]
    return errors + immutable("volumeBindingMode")(new, old)


def class_warnings(storage_class: Object) -> list[str]:
    return [
        f"allowedTopologies[{index}].matchLabelExpressions[{place}].key: {said}"
        for index, term in enumerate(storage_class.get("allowedTopologies") or ())
        for place, entry in enumerate(term.get("matchLabelExpressions") or ())
        if (said := DEPRECATED.get(entry.get("key") or ""))
    ]


def attributes_class_errors(attributes_class: Object) -> list[Cause]:
    errors = _provisioner_errors(attributes_class.get("driverName") or "", "driverName")
    return [*errors, *_parameter_errors(attributes_class.get("parameters") or {}, may_lack=False)]


def attributes_class_update_errors(new: Object, old: Object) -> list[Cause]:
    return [
        forbidden(field, f"updates to {field} are forbidden.")
        for field in ("driverName", "parameters")
        if (new.get(field) or None) != (old.get(field) or None)
    ]


def driver_errors(driver: Object) -> list[Cause]:
    spec = driver.get("spec") or {}
    needed = (("attachRequired", "attachedRequired"), ("podInfoOnMount",) * 2, ("storageCapacity",) * 2)
    errors = [required(f"spec.{path}") for field, path in needed if spec.get(field) is None]
    policy = spec.get("fsGroupPolicy")
    if policy is not None and policy not in _FS_GROUP_POLICIES:
        errors.append(not_supported("spec.fsGroupPolicy", policy, _FS_GROUP_POLICIES))
    errors += _token_errors(spec.get("tokenRequests") or [])
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in _LIFECYCLES:
            errors.append(not_supported("spec.volumeLifecycleModes", mode, _LIFECYCLES))
    if spec.get("seLinuxMount") is None:
        errors.append(required("spec.seLinuxMount"))
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < _SHORTEST_PERIOD:
        path = "spec.nodeAllocatableUpdatePeriodSeconds"
        errors.append(invalid_value(path, period, "must be greater than or equal to 10 seconds"))
    in_secrets = spec.get("serviceAccountTokenInSecrets")
    if in_secrets is not None and not spec.get("tokenRequests"):
        detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        errors.append(invalid_value("spec.serviceAccountTokenInSecrets", in_secrets, detail))
    return errors


def _token_errors(requests: list[Object]) -> Iterator[Cause]:
    audiences: set[str] = set()
    for index, request in enumerate(requests):
        path, audience, seconds = f"spec.tokenRequests[{index}]", request.get("audience") or "", None
        if audience in audiences:
            yield duplicate(f"{path}.audience", audience)
            continue
        audiences.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is not None and seconds < _SHORTEST_TOKEN:
            detail = "may not specify a duration less than 10 minutes"
            yield invalid_value(f"{path}.expirationSeconds", seconds, detail)
        if seconds is not None and seconds > _LONGEST_TOKEN:
            detail = "may not specify a duration larger than 2^32 seconds"
            yield invalid_value(f"{path}.expirationSeconds", seconds, detail)


def driver_update_errors(new: Object, old: Object) -> list[Cause]:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    fixed = (("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes"))
    return [
        invalid_value(f"spec.{path}", spec.get(field), IMMUTABLE)
        for field, path in fixed
        if spec.get(field) != before.get(field)
    ]


def node_errors(node: Object) -> list[Cause]:
    errors: list[Cause] = []
    seen: set[str] = set()
    for index, driver in enumerate((node.get("spec") or {}).get("drivers") or ()):
        path, name = f"spec.drivers[{index}]", driver.get("name") or ""
        errors += csi_driver_errors(name, f"{path}.name")
        errors += _node_driver_errors(driver, path)
        if name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
        errors += _topology_key_errors(driver.get("topologyKeys") or [], path)
    return errors


def _node_driver_errors(driver: Object, path: str) -> Iterator[Cause]:
    identity = driver.get("nodeID") or ""
    if not identity:
        yield required(f"{path}.nodeID")
    if len(identity.encode()) > _LONGEST_NODE_ID:
        yield invalid_value(f"{path}.nodeID", identity, f"must be {_LONGEST_NODE_ID} characters or less")
    yield from not_negative(f"{path}.allocatable.count", (driver.get("allocatable") or {}).get("count"))


def _topology_key_errors(keys: list[str], path: str) -> Iterator[Cause]:
    for index, key in enumerate(keys):
        if not key:
            yield required(path)
        if key in keys[:index]:
            yield duplicate(path, key)
        yield from all_of(path, key, names.qualified_name(key))


def node_update_errors(new: Object, old: Object) -> list[Cause]:
    """Only how many volumes a node takes may change of a driver that stays."""
    before = {driver.get("name"): driver for driver in (old.get("spec") or {}).get("drivers") or ()}
    errors: list[Cause] = []
    for driver in (new.get("spec") or {}).get("drivers") or ():
        was = before.get(driver.get("name"))
        now, then = (
            {key: value for key, value in each.items() if key != "allocatable"} for each in (driver, was or {})
        )
        if was is not None and now != then:
            shown = {
                "Name": driver.get("name") or "",
                "NodeID": driver.get("nodeID") or "",
                "TopologyKeys": driver.get("topologyKeys"),
                "Allocatable": None,
            }
            errors.append(invalid_value("spec.drivers", shown, IMMUTABLE))
    return errors
