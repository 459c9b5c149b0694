"""A StatefulSet's status: how many pods it has, of which revision, and when a rollout is through."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controllers.history import POD_LABEL
from controllers.statefulset_rollout import is_running
from machinery.api.resource import Object
from machinery.api.views import Pod, StatefulSet


def status_of(
    stateful_set: StatefulSet,
    pods: Sequence[Pod],
    *,
    current: str,
    update: str,
    collisions: int,
    going: int,
    is_available: Callable[[Pod], bool],
) -> Object:
    """The whole status of what was observed; `going` pods are deleted now for a new template."""
    ready = [pod for pod in pods if is_running(pod)]
    revisions = [pod.labels.get(POD_LABEL) for pod in pods if not pod.deleted]
    counts = {
        "replicas": len(pods),
        "readyReplicas": len(ready),
        "currentReplicas": max(revisions.count(current) - going, 0),
        "updatedReplicas": revisions.count(update),
    }
    if stateful_set.strategy == "RollingUpdate" and _is_through(stateful_set, counts):
        current, counts["currentReplicas"] = update, counts["updatedReplicas"]
    return {
        **{name: count for name, count in counts.items() if count or name == "replicas"},
        "availableReplicas": sum(map(is_available, ready)),
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": collisions,
        "observedGeneration": stateful_set.generation,
    }


def _is_through(stateful_set: StatefulSet, counts: dict[str, int]) -> bool:
    return all(counts[name] == stateful_set.replicas for name in ("replicas", "readyReplicas", "updatedReplicas"))
