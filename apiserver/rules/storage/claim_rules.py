"""What upstream refuses in PersistentVolumeClaims, on their own and as templates (core/v1 validation), and warns of."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.defaulting import take_field
from apiserver.rules.field_errors import all_of, forbidden, invalid_value, not_supported, required
from apiserver.rules.immutability import IMMUTABLE
from apiserver.rules.label_rules import label_selector_errors
from apiserver.rules.pods.internal_types import internal
from apiserver.rules.pods.resource_rules import is_native
from apiserver.rules.spec_diff import unified
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.quantity import ZERO, of
from machinery.api.resource import Object
from machinery.api.volumes import BETA_CLASS

MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
OLD_CLASS_WARNING = (
    f'metadata.annotations[{BETA_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'
)
_FIXED = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
_RESIZE_STATES = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible",
    "NodeResizePending",
)  # fmt: skip


def claim_errors(claim: Object) -> list[Cause]:
    return list(claim_spec_errors(claim.get("spec") or {}, "spec"))


def claim_spec_errors(spec: Object, path: str) -> Iterator[Cause]:
    if not spec.get("accessModes"):
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    if spec.get("selector"):
        yield from label_selector_errors(spec["selector"], f"{path}.selector")
    yield from access_mode_errors(spec.get("accessModes") or [], f"{path}.accessModes")
    yield from _storage_errors(requested(spec), f"{path}.resources[storage]")
    if name := spec.get("storageClassName"):
        yield from all_of(f"{path}.storageClassName", name, names.dns_subdomain(name))
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in VOLUME_MODES:
        yield not_supported(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    if spec.get("dataSource") is not None or spec.get("dataSourceRef") is not None:
        yield from _data_source_errors(spec, path)
    if name := spec.get("volumeAttributesClassName"):
        yield from all_of(f"{path}.volumeAttributesClassName", name, names.dns_subdomain(name))


def access_mode_errors(modes: list[str], path: str) -> Iterator[Cause]:
    """One pod's volume is no other's, so that mode stands alone."""
    for mode in modes:
        if mode not in MODES:
            yield not_supported(path, mode, MODES)
    if "ReadWriteOncePod" in modes and any(mode in MODES and mode != "ReadWriteOncePod" for mode in modes):
        yield forbidden(path, "may not use ReadWriteOncePod with other access modes")


def _storage_errors(storage: str | None, path: str) -> Iterator[Cause]:
    if storage is None:
        yield required(path)
    elif of(storage) <= ZERO:
        yield invalid_value(path, str(of(storage)), "must be greater than zero")


def requested(spec: Object) -> str | None:
    storage: str | None = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    return storage


def _data_source_errors(spec: Object, path: str) -> Iterator[Cause]:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    for value, where in ((source, f"{path}.dataSource"), (reference, f"{path}.dataSourceRef")):
        if value is not None:
            yield from _reference_errors(value, where)
    if source is None or reference is None:
        return
    # What upstream shows here is a field's path, of which nothing is written.
    if reference.get("namespace"):
        yield invalid_value(path, {}, "may not be specified when dataSourceRef.namespace is specified")
    elif any(source.get(field) != reference.get(field) for field in ("apiGroup", "kind", "name")):
        yield invalid_value(path, {}, "must match dataSourceRef")


def _reference_errors(reference: Object, path: str) -> Iterator[Cause]:
    group, kind = reference.get("apiGroup") or "", reference.get("kind") or ""
    for field in ("name", "kind"):
        if not reference.get(field):
            yield required(f"{path}.{field}")
    if group:
        yield from all_of(f"{path}.apiGroup", group, names.dns_subdomain(group))
    elif kind != "PersistentVolumeClaim":
        yield invalid_value(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
    if namespace := reference.get("namespace"):
        yield from all_of(f"{path}.namespace", namespace, names.dns_label(namespace))


def claim_update_errors(new: Object, old: Object) -> list[Cause]:
    """A bound claim may grow, or change its attributes' class; an unbound one may get a volume or its first class."""
    spec, before, status = new.get("spec") or {}, old.get("spec") or {}, old.get("status") or {}
    errors = list(_class_annotation_errors(new, old))
    was, wanted = _compared(new, old)
    if wanted != was:
        difference = unified(*(internal("PersistentVolumeClaimSpec", each) for each in (was, wanted)))
        errors.append(forbidden("spec", f"{_FIXED}\n{difference}"))
    errors += _size_errors(requested(spec), requested(before), (status.get("capacity") or {}).get("storage"))
    if spec.get("volumeMode") != before.get("volumeMode"):
        errors.append(invalid_value("volumeMode", spec.get("volumeMode"), IMMUTABLE))
    attributes, had = spec.get("volumeAttributesClassName"), before.get("volumeAttributesClassName")
    path = "spec.volumeAttributesClassName"
    if had is not None and attributes is None:
        errors.append(forbidden(path, "update from non-nil value to nil is forbidden"))
    elif had and attributes == "":
        errors.append(forbidden(path, "update from non-nil value to an empty string is forbidden"))
    return errors


def _compared(new: Object, old: Object) -> tuple[Object, Object]:
    """The two specs without what may differ."""
    before, spec = dict(old.get("spec") or {}), dict(new.get("spec") or {})
    if not before.get("volumeName"):
        take_field(before, spec, "volumeName")
    name, told = spec.get("storageClassName"), _annotation(old)
    if before.get("storageClassName") is None and name is not None and told in (None, name):
        spec.pop("storageClassName")
    if (old.get("status") or {}).get("phase") == "Bound":
        resources = spec.get("resources") or {}
        if resources.get("requests") is not None:
            amounts = {**resources["requests"], "storage": requested(before)}
            spec["resources"] = {**resources, "requests": amounts}
        if spec.get("volumeAttributesClassName") is not None:
            take_field(spec, before, "volumeAttributesClassName")
    return before, spec


def _annotation(claim: Object) -> str | None:
    text: str | None = (claim["metadata"].get("annotations") or {}).get(BETA_CLASS)
    return text


def _class_annotation_errors(new: Object, old: Object) -> Iterator[Cause]:
    now, then, name = _annotation(new), _annotation(old), (new.get("spec") or {}).get("storageClassName")
    is_moved = then is not None and name == then and (old.get("spec") or {}).get("storageClassName") is None
    if (now or "") != (then or "") and not (is_moved and now is None):
        yield invalid_value(f"metadata.annotations[{BETA_CLASS}]", now or "", IMMUTABLE)


def _size_errors(new: str | None, old: str | None, capacity: str | None) -> Iterator[Cause]:
    """A claim shrinks only where a growth was asked for that has not come to be, and not below what is there."""
    now, then, there = of(new or "0"), of(old or "0"), of(capacity or "0")
    if now < then and now <= there:
        yield forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")


def claim_status_errors(new: Object, old: Object) -> list[Cause]:
    status = new.get("status") or {}
    errors = list(_capacity_errors(status.get("capacity") or {}, "status.capacity"))
    path = "status.allocatedResourceStatus"
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        errors += _resource_key_errors(name, path)
        if state not in _RESIZE_STATES:
            errors.append(not_supported(path, name, sorted(_RESIZE_STATES)))
    for name, amount in (status.get("allocatedResources") or {}).items():
        wrong = _resource_key_errors(name, "status.allocatedResources")
        errors += wrong or _capacity_errors({name: amount}, "status.allocatedResources")
    return errors


def _capacity_errors(amounts: Object, path: str) -> Iterator[Cause]:
    for name, amount in amounts.items():
        if of(amount) < ZERO:
            yield invalid_value(f"{path}[{name}]", of(amount).integer, "must be a valid resource quantity")


def _resource_key_errors(name: str, path: str) -> list[Cause]:
    if complaints := names.qualified_name(name):
        return all_of(path, name, complaints)
    return [not_supported(path, name, ("storage",))] if is_native(name) and name != "storage" else []


def claim_warnings(claim: Object) -> list[str]:
    warnings = [OLD_CLASS_WARNING] if _annotation(claim) is not None else []
    return [*warnings, *claim_spec_warnings(claim.get("spec") or {}, "spec")]


def claim_spec_warnings(spec: Object, path: str) -> Iterator[str]:
    resources = spec.get("resources") or {}
    for tier in ("requests", "limits"):
        storage = (resources.get(tier) or {}).get("storage")
        if storage is not None and of(storage).milli % 1000:
            where = f"{path}.resources.{tier}[storage]"
            yield f'{where}: fractional byte value "{of(storage)}" is invalid, must be an integer'
