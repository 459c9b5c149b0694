"""What upstream refuses in PersistentVolumes and StorageClasses (core/v1 and storage.k8s.io/v1 validation)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.kinds.field_errors import all_of, forbidden, invalid_value, not_supported, one_of, required
from apiserver.kinds.immutability import immutable
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.quantity import ZERO, of
from machinery.api.resource import Object

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_RECLAIM = ("Delete", "Recycle", "Retain")
_BINDING = ("Immediate", "WaitForFirstConsumer")
_NOT_SOURCES = frozenset({
    "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
    "storageClassName", "volumeAttributesClassName", "volumeMode",
})  # fmt: skip


def volume_errors(volume: Object) -> list[Cause]:
    spec = volume.get("spec") or {}
    errors: list[Cause] = []
    if not spec.get("accessModes"):
        errors.append(required("spec.accessModes"))
    for mode in spec.get("accessModes") or []:
        if mode not in _MODES:
            errors.append(not_supported("spec.accessModes", mode, _MODES))
    errors += _capacity_errors(spec.get("capacity") or {}, "spec.capacity")
    policy = spec.get("persistentVolumeReclaimPolicy")
    errors += one_of("spec.persistentVolumeReclaimPolicy", policy, _RECLAIM)
    errors += _source_errors(spec, policy)
    if spec.get("storageClassName"):
        errors += all_of(
            "spec.storageClassName", spec["storageClassName"], names.dns_subdomain(spec["storageClassName"])
        )
    return errors + one_of("spec.volumeMode", spec.get("volumeMode"), ("Block", "Filesystem"))


def _capacity_errors(capacity: Object, path: str) -> Iterator[Cause]:
    if not capacity:
        yield required(path)
        return
    if "storage" not in capacity or len(capacity) > 1:
        yield not_supported(path, capacity, ("storage",))
    for name, amount in capacity.items():
        if of(amount) < ZERO:
            yield invalid_value(f"{path}[{name}]", amount, "must be greater than or equal to 0")
        if of(amount) <= ZERO:
            yield invalid_value(f"{path}[{name}]", amount, "must be greater than zero")


def _source_errors(spec: Object, policy: str | None) -> Iterator[Cause]:
    sources = [field for field, value in spec.items() if field not in _NOT_SOURCES and value is not None]
    for extra in sources[1:]:
        yield forbidden(f"spec.{extra}", "may not specify more than 1 volume type")
    if not sources:
        yield required("spec", "must specify a volume type")
    host = spec.get("hostPath")
    if host is not None and not host.get("path"):
        yield required("spec.hostPath.path")
    if host is not None and host.get("path") == "/" and policy == "Recycle":
        yield forbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'")
    local = spec.get("local")
    if local is not None and not local.get("path"):
        yield required("spec.local.path")
    if local is not None and not spec.get("nodeAffinity"):
        yield required("metadata.annotations", "Local volume requires node affinity")


def class_errors(storage_class: Object) -> list[Cause]:
    provisioner = storage_class.get("provisioner") or ""
    errors: list[Cause] = []
    if not provisioner:
        errors.append(required("provisioner", provisioner))
    else:
        errors += all_of("provisioner", provisioner, names.qualified_name(provisioner.lower()))
    for key in storage_class.get("parameters") or {}:
        if not key:
            errors.append(invalid_value("parameters", key, "field can not be empty."))
    errors += one_of("reclaimPolicy", storage_class.get("reclaimPolicy"), ("Delete", "Retain"))
    return errors + one_of("volumeBindingMode", storage_class.get("volumeBindingMode"), _BINDING)


def class_update_errors(new: Object, old: Object) -> list[Cause]:
    errors = [
        forbidden(field, f"updates to {field} are forbidden.")
        for field in ("parameters", "provisioner", "reclaimPolicy")
        if (new.get(field) or None) != (old.get(field) or None)
    ]
    return errors + immutable("volumeBindingMode")(new, old)
