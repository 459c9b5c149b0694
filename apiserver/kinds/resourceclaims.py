"""ResourceClaims: what they ask for stays, and what they got is written as their status."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import drop_status, keep_status
from apiserver.rules.device_rules import claim_spec_errors, default_claim_spec, set_errors
from apiserver.rules.field_errors import forbidden, required
from apiserver.rules.immutability import immutable
from machinery.api.errors import Cause
from machinery.api.resource import Object

_MOST_CONSUMERS = 256
_PATH = "status.reservedFor"


def _status_errors(new: Object, old: Object) -> list[Cause]:
    status, before = new.get("status") or {}, old.get("status") or {}
    consumers = status.get("reservedFor") or []
    errors = list(set_errors(consumers, _PATH, _consumer_errors, "uid", _MOST_CONSUMERS))
    if consumers and status.get("allocation") is None:
        errors.append(forbidden(_PATH, "may not be specified when `allocated` is not set"))
    elif new["metadata"].get("deletionTimestamp") and any(
        consumer not in (before.get("reservedFor") or ()) for consumer in consumers
    ):
        detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        errors.append(forbidden(_PATH, detail))
    if before.get("allocation") is not None and status.get("allocation") is not None:
        errors += immutable("status.allocation")(new, old)
    return errors


def _consumer_errors(consumer: Object, path: str) -> Iterator[Cause]:
    for field in ("resource", "name", "uid"):
        if not consumer.get(field):
            yield required(f"{path}.{field}")


RULES = Rules(
    default=lambda claim: default_claim_spec(claim.get("spec") or {}),
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=lambda claim: list(claim_spec_errors(claim.get("spec") or {}, "spec")),
    validate_update=immutable("spec"),
    validate_status=_status_errors,
    rechecked="never",
)
