"""PersistentVolumeClaims: mode and phase, what a claim must ask for, and what of it may change."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.kinds.defaulting import default_values, keep_status
from apiserver.kinds.field_errors import all_of, forbidden, invalid_value, not_supported, required
from apiserver.kinds.rules import Rules
from apiserver.kinds.spec_diff import internal_claim_spec, unified
from apiserver.kinds.workload_rules import immutable, selector_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.quantity import ZERO, of
from machinery.api.resource import Object

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_VOLUME_MODES = ("Block", "Filesystem")
_FIXED = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def default(claim: Object) -> None:
    default_values(claim.setdefault("spec", {}), volumeMode="Filesystem")
    claim.setdefault("status", {}).setdefault("phase", "Pending")


def prepare_create(claim: Object) -> None:
    claim["status"] = {"phase": "Pending"}


def validate(claim: Object) -> list[Cause]:
    return list(claim_spec_errors(claim.get("spec") or {}, "spec"))


def claim_spec_errors(spec: Object, path: str) -> Iterator[Cause]:
    modes = spec.get("accessModes") or []
    if not modes:
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    if spec.get("selector") is not None:
        yield from selector_errors(spec["selector"], f"{path}.selector")
    for mode in modes:
        if mode not in _MODES:
            yield not_supported(f"{path}.accessModes", mode, _MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield forbidden(f"{path}.accessModes", "may not use ReadWriteOncePod with other access modes")
    yield from _storage_errors(_requested(spec), f"{path}.resources[storage]")
    for field in ("storageClassName", "volumeAttributesClassName"):
        if spec.get(field):
            yield from all_of(f"{path}.{field}", spec[field], names.dns_subdomain(spec[field]))
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in _VOLUME_MODES:
        yield not_supported(f"{path}.volumeMode", spec["volumeMode"], _VOLUME_MODES)


def _storage_errors(storage: str | None, path: str) -> Iterator[Cause]:
    if storage is None:
        yield required(path)
        return
    if of(storage) < ZERO:
        yield invalid_value(path, storage, "must be greater than or equal to 0")
    if of(storage) <= ZERO:
        yield invalid_value(path, storage, "must be greater than zero")


def _requested(spec: Object) -> str | None:
    storage: str | None = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    return storage


def validate_update(new: Object, old: Object) -> list[Cause]:
    """A bound claim may grow, or change its attributes' class; an unbound one may get a volume or its first class."""
    spec, before = dict(new.get("spec") or {}), old.get("spec") or {}
    status = old.get("status") or {}
    errors: list[Cause] = []
    if not before.get("volumeName"):
        _restore(spec, before, "volumeName")
    if before.get("storageClassName") is None:
        _restore(spec, before, "storageClassName")
    if status.get("phase") == "Bound":
        errors += _size_errors(_requested(spec), _requested(before), (status.get("capacity") or {}).get("storage"))
        _restore(spec, before, "volumeAttributesClassName")
        if _requested(before) is not None:
            resources = spec.get("resources") or {}
            spec["resources"] = {
                **resources,
                "requests": {**(resources.get("requests") or {}), "storage": _requested(before)},
            }
    if spec != before:
        shown = unified(internal_claim_spec(before), internal_claim_spec(spec))
        errors.append(forbidden("spec", f"{_FIXED}\n{shown}"))
    return errors + immutable("spec.volumeMode")(new, old)


def _size_errors(new: str | None, old: str | None, capacity: str | None) -> list[Cause]:
    """A claim shrinks only where a growth was asked for that has not come to be, and not below what is there."""
    if new is None or old is None or of(new) >= of(old):
        return []
    if capacity is not None and of(new) > of(capacity):
        return []
    detail = "field can not be less than status.capacity"
    return [forbidden("spec.resources.requests.storage", detail)]


def _restore(spec: Object, before: Object, field: str) -> None:
    spec.pop(field, None)
    if field in before:
        spec[field] = before[field]


RULES = Rules(
    default=default,
    prepare_create=prepare_create,
    prepare_update=keep_status,
    validate=validate,
    validate_update=validate_update,
    selectable_fields=("name",),
)
