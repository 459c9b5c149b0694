"""Leases: how long they hold and how often they changed hands are no negative numbers."""

from __future__ import annotations

from apiserver.kinds.field_errors import invalid_value, not_negative
from apiserver.kinds.rules import Rules
from machinery.api.errors import Cause
from machinery.api.resource import Object


def validate(lease: Object) -> list[Cause]:
    spec = lease.get("spec") or {}
    errors: list[Cause] = []
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        errors.append(invalid_value("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    errors += not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))
    return errors


RULES = Rules(validate=validate)
