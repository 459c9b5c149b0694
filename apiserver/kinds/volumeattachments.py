"""VolumeAttachments: one volume, one node, for good; the status is written through its sub-resource."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import drop_status, keep_status
from apiserver.rules.field_errors import all_of, forbidden, in_range, invalid_value, required, too_long
from apiserver.rules.immutability import IMMUTABLE
from apiserver.rules.storage.persistent_volume_rules import inline_errors
from apiserver.rules.storage.storage_source_rules import csi_driver_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_ONE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
_MOST_METADATA_BYTES, _LONGEST_MESSAGE, _MOST_CODE = 256 << 10, 1024, (1 << 31) - 1


def validate(attachment: Object) -> list[Cause]:
    spec = attachment.get("spec") or {}
    attacher, node = spec.get("attacher") or "", spec.get("nodeName") or ""
    errors = list(csi_driver_errors(attacher, "spec.attacher"))
    errors += _source_errors(spec.get("source") or {}, "spec.source")
    return [*errors, *all_of("spec.nodeName", node, names.dns_subdomain(node)), *validate_status(attachment, {})]


def _source_errors(source: Object, path: str) -> Iterator[Cause]:
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    if inline is None and name is None:
        yield required(path, _ONE)
    elif inline is not None and name is not None:
        yield forbidden(path, _ONE)
    elif inline is not None:
        yield from inline_errors(inline, f"{path}.inlineVolumeSpec")
    elif not name:
        yield required(f"{path}.persistentVolumeName", "must specify non empty persistentVolumeName")
    if name is not None:
        yield from all_of(f"{path}.persistentVolumeName", name, names.dns_subdomain(name))


def validate_status(new: Object, old: Object) -> list[Cause]:
    status = new.get("status") or {}
    metadata = status.get("attachmentMetadata") or {}
    errors: list[Cause] = []
    if sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items()) > _MOST_METADATA_BYTES:
        errors.append(too_long("status.attachmentMetadata", _MOST_METADATA_BYTES))
    for field in ("attachError", "detachError"):
        error = status.get(field) or {}
        if len((error.get("message") or "").encode()) > _LONGEST_MESSAGE:
            errors.append(too_long(f"status.{field}.message", _MOST_METADATA_BYTES))
        if error.get("errorCode") is not None:
            errors += in_range(f"status.{field}.errorCode", error["errorCode"], 0, _MOST_CODE)
    return errors


def validate_update(new: Object, old: Object) -> list[Cause]:
    spec = new.get("spec") or {}
    if spec == (old.get("spec") or {}):
        return []
    source = spec.get("source") or {}
    shown = {
        "Attacher": spec.get("attacher") or "",
        "Source": {
            "PersistentVolumeName": source.get("persistentVolumeName"),
            "InlineVolumeSpec": source.get("inlineVolumeSpec"),
        },
        "NodeName": spec.get("nodeName") or "",
    }
    return [invalid_value("spec", shown, IMMUTABLE)]


RULES = Rules(
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
)
