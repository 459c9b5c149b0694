"""A Deployment's status: counts, and the conditions Available and Progressing with upstream's reasons and words."""

from __future__ import annotations

from collections.abc import Sequence

from controllers.rollout import bounds
from machinery.api.resource import Object
from machinery.api.timestamps import parse_time
from machinery.api.views import Deployment, Pod, ReplicaSet


def status_of(
    deployment: Deployment, new: ReplicaSet | None, sets: Sequence[ReplicaSet], pods: Sequence[Pod], now: str
) -> Object:
    total = sum(each.current_replicas for each in sets)
    available = sum(each.available_replicas for each in sets)
    ready = sum(each.ready_replicas for each in sets)
    counts = {
        "replicas": total,
        "updatedReplicas": new.current_replicas if new else 0,
        "readyReplicas": ready,
        "availableReplicas": available,
        "unavailableReplicas": max(sum(each.replicas for each in sets) - available, 0),
    }
    status: Object = {key: value for key, value in counts.items() if value}
    status["terminatingReplicas"] = sum((each.obj.get("status") or {}).get("terminatingReplicas", 0) for each in sets)
    status["observedGeneration"] = deployment.generation
    if deployment.collision_count is not None:
        status["collisionCount"] = deployment.collision_count
    conditions = list(deployment.conditions)
    _set(conditions, _progressing(deployment, new, sets, counts, now), now)
    _set(conditions, _available(deployment, available), now)
    status["conditions"] = conditions
    return status


def _available(deployment: Deployment, available: int) -> Object:
    _, unavailable = bounds(deployment)
    if available >= deployment.replicas - unavailable:
        return {
            "type": "Available",
            "status": "True",
            "reason": "MinimumReplicasAvailable",
            "message": "Deployment has minimum availability.",
        }
    return {
        "type": "Available",
        "status": "False",
        "reason": "MinimumReplicasUnavailable",
        "message": "Deployment does not have minimum availability.",
    }


def _progressing(
    deployment: Deployment, new: ReplicaSet | None, sets: Sequence[ReplicaSet], counts: dict[str, int], now: str
) -> Object | None:
    if deployment.progress_deadline >= 2147483647:
        return None
    before = deployment.condition("Progressing")
    if deployment.paused:
        if before is not None and before.get("reason") == "DeploymentPaused":
            return None
        return _condition("Unknown", "DeploymentPaused", "Deployment is paused")
    if before is not None and before.get("reason") == "DeploymentPaused":
        return _condition("Unknown", "DeploymentResumed", "Deployment is resumed")
    name = f'ReplicaSet "{new.name}"' if new else f'Deployment "{deployment.name}"'
    wanted = deployment.replicas
    complete = (
        counts["updatedReplicas"] == wanted
        and counts["replicas"] == wanted
        and counts["availableReplicas"] == wanted
        and deployment.observed_generation >= deployment.generation
    )
    if complete:
        if before is not None and before.get("reason") == "NewReplicaSetAvailable" and name in before["message"]:
            return None
        return _condition("True", "NewReplicaSetAvailable", f"{name} has successfully progressed.")
    if before is None:
        quoted = f'"{new.name}"' if new else ""
        return _condition("True", "NewReplicaSetCreated", f"Created new replica set {quoted}")
    if _progressed(deployment, counts):
        # Every step forward restarts the clock of the progress deadline.
        return {**_condition("True", "ReplicaSetUpdated", f"{name} is progressing."), "lastUpdateTime": now}
    if _overdue(deployment, before, now):
        return _condition("False", "ProgressDeadlineExceeded", f"{name} has timed out progressing.")
    return None


def _progressed(deployment: Deployment, counts: dict[str, int]) -> bool:
    status: Object = deployment.obj.get("status") or {}
    old_before = status.get("replicas", 0) - status.get("updatedReplicas", 0)
    old_now = counts["replicas"] - counts["updatedReplicas"]
    return bool(
        counts["updatedReplicas"] > status.get("updatedReplicas", 0)
        or old_now < old_before
        or counts["readyReplicas"] > status.get("readyReplicas", 0)
        or counts["availableReplicas"] > status.get("availableReplicas", 0)
    )


def _overdue(deployment: Deployment, before: Object, now: str) -> bool:
    if before.get("reason") == "NewReplicaSetAvailable":
        return False
    since = parse_time(before.get("lastUpdateTime") or now)
    return (parse_time(now) - since).total_seconds() > deployment.progress_deadline


def _condition(status: str, reason: str, message: str) -> Object:
    return {"type": "Progressing", "status": status, "reason": reason, "message": message}


def _set(conditions: list[Object], found: Object | None, now: str) -> None:
    """Puts the condition in; the transition time changes with the status alone."""
    if found is None:
        return
    at = next((i for i, c in enumerate(conditions) if c["type"] == found["type"]), None)
    before = conditions[at] if at is not None else None
    same = before is not None and all(before.get(k) == found[k] for k in ("status", "reason", "message"))
    if same and "lastUpdateTime" not in found:
        return
    moved = before is None or before["status"] != found["status"]
    assert moved or before is not None
    filled = {
        **found,
        "lastUpdateTime": now,
        "lastTransitionTime": now if moved or before is None else before["lastTransitionTime"],
    }
    if at is None:
        conditions.append(filled)
    else:
        conditions[at] = filled
