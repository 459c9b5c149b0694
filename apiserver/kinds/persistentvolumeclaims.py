"""PersistentVolumeClaims: mode and phase."""

from __future__ import annotations

from apiserver.kinds.defaulting import default_values, keep_status
from apiserver.kinds.rules import Rules
from machinery.api.resource import Object


def default(claim: Object) -> None:
    default_values(claim.setdefault("spec", {}), volumeMode="Filesystem")
    claim.setdefault("status", {}).setdefault("phase", "Pending")


def prepare_create(claim: Object) -> None:
    claim["status"] = {"phase": "Pending"}


RULES = Rules(default=default, prepare_create=prepare_create, prepare_update=keep_status, selectable_fields=("name",))
