"""Namespaces: finalizer, phase and the label that selectors know them by."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from machinery.api.resource import Object


def default(namespace: Object) -> None:
    metadata = namespace["metadata"]
    if metadata.get("name"):
        metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}


def prepare_create(namespace: Object) -> None:
    namespace["status"] = {"phase": "Active"}
    finalizers = (namespace.get("spec") or {}).get("finalizers") or []
    if "kubernetes" not in finalizers:
        namespace["spec"] = {"finalizers": [*finalizers, "kubernetes"]}


def prepare_update(new: Object, old: Object) -> None:
    new["spec"], new["status"] = old.get("spec", {}), old.get("status", {})


RULES = Rules(
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    selectable_fields=("status.phase", "name"),
)
