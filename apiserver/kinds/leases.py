"""Leases: how long they hold and how often they changed hands are no negative numbers."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.field_errors import invalid_value, not_negative
from machinery.api.errors import Cause
from machinery.api.resource import Object

_COORDINATED = ("strategy", "preferredHolder")


def _drop_coordinated(lease: Object, old: Object | None = None) -> None:
    """Coordinated election is off: what it would need is not kept."""
    spec, before = lease.get("spec") or {}, (old or {}).get("spec") or {}
    for field in _COORDINATED:
        if field in spec and before.get(field) is None:
            del spec[field]


def _errors(lease: Object) -> list[Cause]:
    spec = lease.get("spec") or {}
    errors: list[Cause] = []
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        errors.append(invalid_value("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    errors += not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))
    return errors


RULES = Rules(prepare_create=_drop_coordinated, prepare_update=_drop_coordinated, validate=_errors)
