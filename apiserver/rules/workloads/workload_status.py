"""What upstream refuses in the status of workloads: negative counts, parts that exceed the whole."""

from __future__ import annotations

from collections.abc import Callable

from apiserver.rules.field_errors import invalid_value, not_negative
from machinery.api.errors import Cause
from machinery.api.resource import Object


def counts(
    *numbers: str, parts: tuple[str, ...] = (), ready: str = "readyReplicas"
) -> Callable[[Object, Object], list[Cause]]:
    """A rule for a status: `numbers` aren't negative, `parts` don't exceed `replicas`, nor the available the ready.

    `ready` is what upstream calls the field with the ready ones where it says so.
    """

    def errors(new: Object, old: Object) -> list[Cause]:
        status, before = new.get("status") or {}, old.get("status") or {}
        found: list[Cause] = []
        for name in numbers:
            found += not_negative(f"status.{name}", status.get(name))
        for name in parts:
            part = status.get(name) or 0
            if part > (status.get("replicas") or 0):
                found.append(invalid_value(f"status.{name}", part, "cannot be greater than status.replicas"))
        available = status.get("availableReplicas") or 0
        if parts and available > (status.get("readyReplicas") or 0):
            found.append(invalid_value("status.availableReplicas", available, f"cannot be greater than {ready}"))
        if (status.get("collisionCount") or 0) < (before.get("collisionCount") or 0):
            collisions = status.get("collisionCount") or 0
            found.append(invalid_value("status.collisionCount", collisions, "cannot be decremented"))
        return found

    return errors


deployment_status_errors = counts(
    "observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas",
    "terminatingReplicas", "collisionCount",
    parts=("updatedReplicas", "readyReplicas", "availableReplicas"),
)  # fmt: skip
replica_set_status_errors = counts(
    "replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "terminatingReplicas",
    "observedGeneration",
    parts=("fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
)  # fmt: skip
controller_status_errors = counts(
    "replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration",
    parts=("fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
)  # fmt: skip
stateful_set_status_errors = counts(
    "replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas", "observedGeneration",
    "collisionCount",
    parts=("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"), ready="status.readyReplicas",
)  # fmt: skip
daemon_set_status_errors = counts(
    "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
    "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount",
)  # fmt: skip
