"""A Deployment's status: counts, and the conditions Available, Progressing and ReplicaFailure with upstream's words.

kubectl and those who watch compare conditions in their order, so they stand as upstream has them: one that changes its
status or reason moves to the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from controllers.rollout import bounds
from machinery.api.resource import Object
from machinery.api.timestamps import parse_time
from machinery.api.views import Deployment, ReplicaSet

NO_DEADLINE = 2147483647
FAILED_CREATE = "ReplicaSetCreateError"
_COMPLETE, _PAUSED, _OVERDUE = "NewReplicaSetAvailable", "DeploymentPaused", "ProgressDeadlineExceeded"


def status_of(
    deployment: Deployment, new: ReplicaSet | None, sets: Sequence[ReplicaSet], now: str, *, is_rolling: bool
) -> Object:
    """The whole status; `is_rolling` is false where only the size changes, which is no progress of a rollout."""
    counts = _counts(new, sets)
    status: Object = {key: value for key, value in counts.items() if value}
    status["terminatingReplicas"] = sum((each.obj.get("status") or {}).get("terminatingReplicas", 0) for each in sets)
    if deployment.generation:
        status["observedGeneration"] = deployment.generation
    if deployment.collision_count is not None:
        status["collisionCount"] = deployment.collision_count
    conditions = put(deployment.conditions, _available(deployment, counts["availableReplicas"]), now)
    found = _progressing(deployment, new, counts, now, is_rolling=is_rolling)
    if found is not None:
        conditions = put(conditions, found, now, is_news=found["reason"] == "ReplicaSetUpdated")
    if is_rolling and not deployment.paused:
        conditions = _with_failure(conditions, new, sets, now)
    if is_rolling and deployment.progress_deadline >= NO_DEADLINE:
        conditions = [c for c in conditions if c["type"] != "Progressing"]
    status["conditions"] = conditions
    return status


def created(deployment: Deployment, new: str, now: str) -> list[Object]:
    """The conditions once the ReplicaSet `new` was made."""
    if deployment.progress_deadline >= NO_DEADLINE:
        return deployment.conditions
    found = _progress("True", "NewReplicaSetCreated", f'Created new replica set "{new}"')
    return put(deployment.conditions, found, now)


def failed_to_create(deployment: Deployment, message: str, now: str) -> list[Object]:
    """The conditions where the ReplicaSet could not be made."""
    if deployment.progress_deadline >= NO_DEADLINE:
        return deployment.conditions
    return put(deployment.conditions, _progress("False", FAILED_CREATE, message), now)


def put(conditions: Sequence[Object], found: Object, now: str, *, is_news: bool = False) -> list[Object]:
    """The conditions with `found` at the end, unless it says what was known and is no news.

    The transition time changes with the status alone.
    """
    before = next((c for c in conditions if c["type"] == found["type"]), None)
    if before is not None and not is_news and all(before.get(key) == found[key] for key in ("status", "reason")):
        return list(conditions)
    moved = before is None or before["status"] != found["status"]
    since = now if before is None or moved else before["lastTransitionTime"]
    others = [c for c in conditions if c["type"] != found["type"]]
    return [*others, {**found, "lastUpdateTime": now, "lastTransitionTime": since}]


def _counts(new: ReplicaSet | None, sets: Sequence[ReplicaSet]) -> dict[str, int]:
    available = sum(each.available_replicas for each in sets)
    return {
        "replicas": sum(each.current_replicas for each in sets),
        "updatedReplicas": new.current_replicas if new else 0,
        "readyReplicas": sum(each.ready_replicas for each in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(sum(each.replicas for each in sets) - available, 0),
    }


def is_complete(deployment: Deployment, new: ReplicaSet | None, sets: Sequence[ReplicaSet]) -> bool:
    """Whether all replicas are of the current template, available, and none besides."""
    return _has_all(deployment, _counts(new, sets))


def _has_all(deployment: Deployment, counts: dict[str, int]) -> bool:
    return all(counts[name] == deployment.replicas for name in ("updatedReplicas", "replicas", "availableReplicas"))


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
    deployment: Deployment, new: ReplicaSet | None, counts: dict[str, int], now: str, *, is_rolling: bool
) -> Object | None:
    """The condition Progressing where something is to be said."""
    if deployment.progress_deadline >= NO_DEADLINE:
        return None
    before = deployment.condition("Progressing")
    reason = (before or {}).get("reason")
    if deployment.paused:
        # A lack of progress that was told is not hidden by a pause.
        return None if reason == _OVERDUE else _progress("Unknown", _PAUSED, "Deployment is paused")
    if reason == _PAUSED:
        return _progress("Unknown", "DeploymentResumed", "Deployment is resumed")
    if not is_rolling:
        return None
    if before is None and new is not None:
        return _progress("True", "FoundNewReplicaSet", f'Found new replica set "{new.name}"')
    if reason == _COMPLETE and counts["replicas"] == counts["updatedReplicas"]:
        # Pods that come and go after a rollout is through, as by scaling, are no rollout.
        return None
    return _step(deployment, new, counts, now)


def _step(deployment: Deployment, new: ReplicaSet | None, counts: dict[str, int], now: str) -> Object | None:
    name = f'ReplicaSet "{new.name}"' if new else f'Deployment "{deployment.name}"'
    if _has_all(deployment, counts):
        return _progress("True", _COMPLETE, f"{name} has successfully progressed.")
    if _progressed(deployment, counts):
        # Every step forward restarts the clock of the progress deadline.
        return _progress("True", "ReplicaSetUpdated", f"{name} is progressing.")
    if _overdue(deployment, now):
        return _progress("False", _OVERDUE, f"{name} has timed out progressing.")
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


def _overdue(deployment: Deployment, now: str) -> bool:
    before = deployment.condition("Progressing")
    if before is None or before.get("reason") == _COMPLETE:
        return False
    if before.get("reason") == _OVERDUE:
        return True
    since = parse_time(before.get("lastUpdateTime") or now)
    return (parse_time(now) - since).total_seconds() > deployment.progress_deadline


def _with_failure(
    conditions: list[Object], new: ReplicaSet | None, sets: Sequence[ReplicaSet], now: str
) -> list[Object]:
    """ReplicaFailure as a ReplicaSet has it, the new one first; none where none fails."""
    ordered = [*([new] if new else ()), *(each for each in sets if new is None or each.uid != new.uid)]
    failed = next((found for each in ordered if (found := each.condition("ReplicaFailure"))), None)
    if failed is None:
        return [c for c in conditions if c["type"] != "ReplicaFailure"]
    said = {key: failed.get(key, "") for key in ("type", "status", "reason", "message")}
    return put(conditions, said, failed.get("lastTransitionTime") or now)


def _progress(status: str, reason: str, message: str) -> Object:
    return {"type": "Progressing", "status": status, "reason": reason, "message": message}
