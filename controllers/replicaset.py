"""ReplicaSets and ReplicationControllers: as many active pods as wanted, the least useful deleted first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from controllers.plan import (
    Action,
    Controller,
    Create,
    Delete,
    Key,
    Plan,
    UpdateStatus,
    adopt,
    controller_owner,
    itself,
    key_of,
    owner_reference,
    release,
    selects_own,
    with_status,
)
from controllers.pods import pod_from_template, usefulness
from machinery.api import selectors
from machinery.api.errors import StatusError
from machinery.api.resource import Object, Resource
from machinery.api.resources import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from machinery.api.timestamps import rfc3339
from machinery.api.views import Pod, ReplicaSet
from machinery.client.cache import Cache, Change

Observe = Callable[[Cache, Key], "State | None"]
BURST = 500
FAILURE = "ReplicaFailure"


@dataclass(frozen=True)
class State:
    """The set, its pods, and orphans that its selector matches."""

    resource: Resource
    replica_set: ReplicaSet
    pods: tuple[Pod, ...]
    orphans: tuple[Pod, ...]


def plan(state: State, now: datetime) -> Plan:
    """Adopt what matches, release what no longer does, create missing pods, delete surplus ones."""
    replica_set, moment = state.replica_set, rfc3339(now)
    selector = _selector(state)
    if not selects_own(selector, replica_set.template):
        # The API takes no such set; one that is there would take pods of others, or make pods without end.
        return Plan()
    matches = selector.matches
    mine: list[Pod] = []
    others: list[Pod] = []
    for pod in state.pods:
        (mine if matches(pod.labels) else others).append(pod)
    actions: list[Action] = []
    about = replica_set.obj
    reference = owner_reference(state.resource, about)
    if not replica_set.deleted:
        adopted = [pod for pod in state.orphans if pod.is_active]
        actions += [adopt(PODS, pod, reference) for pod in adopted]
        actions += [release(PODS, pod, replica_set.uid) for pod in others]
        mine += adopted
    active = [pod for pod in mine if pod.is_active]
    if not replica_set.deleted:
        surplus = len(active) - replica_set.replicas
        actions += [
            Create(PODS, pod_from_template(replica_set.template, about, reference), about)
            for _ in range(min(-surplus, BURST))
        ]
        unwanted = sorted(active, key=usefulness)[:surplus] if surplus > 0 else []
        actions += [Delete(PODS, key_of(pod.obj), uid=pod.uid, about=about) for pod in unwanted]
    status = _status(state, active, moment)
    # kubectl rollout status waits for observedGeneration, so it is written also when no count changed.
    if status != (replica_set.obj.get("status") or {}):
        actions.append(UpdateStatus(state.resource, with_status(replica_set.obj, status)))

    def on_failure(action: Action, error: StatusError) -> list[Action]:
        failed = _failed(replica_set, status, action, error, moment)
        if failed == replica_set.obj.get("status"):
            return []
        return [UpdateStatus(state.resource, with_status(replica_set.obj, failed))]

    waits = status.get("readyReplicas", 0) > status.get("availableReplicas", 0)
    return Plan(actions, replica_set.min_ready_seconds if waits else None, on_failure)


def _failed(replica_set: ReplicaSet, status: Object, action: Action, error: StatusError, now: str) -> Object:
    """The status with the condition that tells since when and why pods can't be made or deleted."""
    if not isinstance(action, Create | Delete):
        return status
    said = replica_set.condition(FAILURE) or {
        "type": FAILURE,
        "status": "True",
        "reason": "FailedCreate" if isinstance(action, Create) else "FailedDelete",
        "message": error.message,
        "lastTransitionTime": now,
    }
    return {**status, "conditions": [*status.get("conditions", []), said]}


def _selector(state: State) -> selectors.LabelSelector:
    if state.resource == REPLICATION_CONTROLLERS:
        return selectors.from_labels(state.replica_set.selector)
    return selectors.stored_selector(state.replica_set.selector)


def _status(state: State, active: list[Pod], now: str) -> Object:
    replica_set = state.replica_set
    labels = ((replica_set.template.get("metadata") or {}).get("labels") or {}).items()
    terminating = sum(bool(pod.deleted) and not pod.is_finished for pod in state.pods)
    ready = [pod for pod in active if pod.is_ready]
    counts = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(labels <= pod.labels.items() for pod in active),
        "readyReplicas": len(ready),
        "availableReplicas": sum(pod.is_available(replica_set.min_ready_seconds, now) for pod in ready),
    }
    status: Object = {key: value for key, value in counts.items() if value or key == "replicas"}
    if state.resource == REPLICA_SETS:
        status["terminatingReplicas"] = terminating
    if replica_set.generation:
        status["observedGeneration"] = replica_set.generation
    # A failure is told by the pass that fails; one that gets here has none.
    if conditions := [c for c in replica_set.conditions if c["type"] != FAILURE]:
        status["conditions"] = conditions
    return status


def observer(resource: Resource) -> Observe:
    def observe(cache: Cache, key: Key) -> State | None:
        found = cache.get(resource, key.namespace, key.name)
        if found is None:
            return None
        replica_set = ReplicaSet(found)
        pods = tuple(
            Pod(pod)
            for pod in cache.owned_by(PODS, replica_set.uid)
            if (Pod(pod).controller or {}).get("uid") == replica_set.uid
        )
        state = State(resource, replica_set, pods, ())
        if not replica_set.selector:
            return state
        selector = _selector(state)
        orphans = tuple(
            pod
            for pod in map(Pod, cache.list(PODS, key.namespace))
            if pod.controller is None and not pod.deleted and selector.matches(pod.labels)
        )
        return State(resource, replica_set, pods, orphans)

    return observe


def adopting(resource: Resource) -> Callable[[Cache, Change], Iterable[Key]]:
    """The sets that could adopt a pod that nobody controls."""

    def related(cache: Cache, change: Change) -> Iterable[Key]:
        if change.resource != PODS or change.after is None:
            return
        orphan = Pod(change.after)
        if orphan.controller is not None or orphan.deleted:
            return
        for found in cache.list(resource, orphan.namespace):
            state = State(resource, ReplicaSet(found), (), ())
            if state.replica_set.selector and _selector(state).matches(orphan.labels):
                yield key_of(found)

    return related


def _controller(name: str, resource: Resource) -> Controller:
    return Controller(
        name,
        wakes={resource: itself, PODS: controller_owner(resource.kind)},
        observe=observer(resource),
        plan=plan,
        related=adopting(resource),
    )


REPLICA_SET = _controller("replicaset", REPLICA_SETS)
REPLICATION_CONTROLLER = _controller("replication", REPLICATION_CONTROLLERS)
