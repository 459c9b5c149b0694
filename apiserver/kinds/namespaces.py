"""Namespaces: finalizer, phase and the label that selectors know them by."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.field_errors import all_of, invalid_value
from apiserver.rules.name_rules import plain_finalizer_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object


def default(namespace: Object) -> None:
    metadata = namespace["metadata"]
    if metadata.get("name"):
        metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}


def prepare_create(namespace: Object) -> None:
    # A generated name was not there when the defaults were.
    default(namespace)
    namespace["status"] = {"phase": "Active"}
    finalizers = (namespace.get("spec") or {}).get("finalizers") or []
    if "kubernetes" not in finalizers:
        namespace["spec"] = {"finalizers": [*finalizers, "kubernetes"]}


def prepare_update(new: Object, old: Object) -> None:
    new["spec"], new["status"] = old.get("spec", {}), old.get("status", {})


def validate(namespace: Object) -> list[Cause]:
    path, errors = "spec.finalizers", []
    for name in (namespace.get("spec") or {}).get("finalizers") or ():
        errors += all_of(path, name, names.qualified_name(name))
        errors += plain_finalizer_errors(name, path)
    return errors


def validate_finalize(new: Object, old: Object) -> list[Cause]:
    errors = []
    for at, name in enumerate((new.get("spec") or {}).get("finalizers") or ()):
        path = f"spec.finalizers[{at}]"
        errors += all_of(path, name, names.qualified_name(name))
        errors += plain_finalizer_errors(name, path)
    return errors


def validate_status(new: Object, old: Object) -> list[Cause]:
    """A namespace ends when it is deleted, and not otherwise."""
    phase, ends = (new.get("status") or {}).get("phase") or "", bool(new["metadata"].get("deletionTimestamp"))
    if phase == ("Terminating" if ends else "Active"):
        return []
    detail = (
        "may only be 'Terminating' if `deletionTimestamp` is not empty"
        if ends
        else "may only be 'Active' if `deletionTimestamp` is empty"
    )
    return [invalid_value("status.Phase", phase, detail)]


RULES = Rules(
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    rechecked="never",
    validate_status=validate_status,
    validate_parts={"finalize": validate_finalize},
    selectable_fields=("status.phase",),
)
