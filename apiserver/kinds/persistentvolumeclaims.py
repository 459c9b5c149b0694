"""PersistentVolumeClaims: mode and phase, and the two ways to say what a volume is filled with."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values, keep_status
from apiserver.rules.storage.claim_rules import claim_errors, claim_status_errors, claim_update_errors, claim_warnings
from machinery.api.resource import Object

_KNOWN_SOURCES = (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))
_REFERENCE = ("apiGroup", "kind", "name")


def default(claim: Object) -> None:
    default_values(claim.setdefault("spec", {}), volumeMode="Filesystem")
    claim.setdefault("status", {}).setdefault("phase", "Pending")


def prepare_create(claim: Object) -> None:
    claim["status"] = {"phase": "Pending"}
    _settle_sources(claim.get("spec") or {}, {})


def prepare_update(new: Object, old: Object) -> None:
    keep_status(new, old)
    _settle_sources(new.get("spec") or {}, old.get("spec") or {})


def _settle_sources(spec: Object, before: Object) -> None:
    """`dataSource` and `dataSourceRef` say the same (KEP-1495); kinds that only the newer may name are not heard there.

    References into other namespaces are off (`CrossNamespaceVolumeDataSource`).
    """
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if reference is not None and reference.get("namespace") and before.get("dataSourceRef") is None:
        reference = spec.pop("dataSourceRef") and None
    if source is None and reference is None:
        return
    is_used = before.get("dataSource") is not None or before.get("dataSourceRef") is not None
    if reference is None and not is_used and _named(source) not in _KNOWN_SOURCES:
        spec.pop("dataSource")
    elif reference is None:
        spec["dataSourceRef"] = _same(source)
    elif source is None and not reference.get("namespace"):
        spec["dataSource"] = _same(reference)


def _named(source: Object | None) -> tuple[str, str]:
    return (source or {}).get("apiGroup") or "", (source or {}).get("kind") or ""


def _same(reference: Object | None) -> Object:
    return {field: reference[field] for field in _REFERENCE if reference and field in reference}


RULES = Rules(
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=claim_errors,
    validate_update=claim_update_errors,
    validate_status=claim_status_errors,
    warnings=claim_warnings,
    update_warnings=lambda new, old: claim_warnings(new),
)
