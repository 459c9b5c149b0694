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
    Patch,
    Plan,
    UpdateStatus,
    controller_owner,
    itself,
    key_of,
    owner_reference,
    with_status,
)
from machinery.api import selectors
from machinery.api.resource import Object, Resource
from machinery.api.resources import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from machinery.api.timestamps import rfc3339
from machinery.api.views import Pod, ReplicaSet
from machinery.client.cache import Cache

Observe = Callable[[Cache, Key], "State | None"]
Wakes = Callable[[Object], Iterable[Key]]
BURST = 500


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
    matches = _selector(state).matches
    mine = [pod for pod in state.pods if matches(pod.labels)]
    actions: list[Action] = []
    if not replica_set.deleted:
        adopted = [pod for pod in state.orphans if pod.is_active]
        actions += [_adopt(state, pod) for pod in adopted]
        actions += [_release(pod, replica_set.uid) for pod in state.pods if not matches(pod.labels)]
        mine += adopted
    active = [pod for pod in mine if pod.is_active]
    if not replica_set.deleted:
        surplus = len(active) - replica_set.replicas
        about = replica_set.obj
        actions += [Create(PODS, pod_from_template(state), about) for _ in range(min(-surplus, BURST))]
        unwanted = sorted(active, key=usefulness)[: max(surplus, 0)]
        actions += [Delete(PODS, key_of(pod.obj), uid=pod.uid, about=about) for pod in unwanted]
    actions += _status_update(state, active, moment)
    waiting = [pod for pod in active if pod.is_ready and not pod.is_available(replica_set.min_ready_seconds, moment)]
    return Plan(actions, requeue_after=replica_set.min_ready_seconds if waiting else None)


def usefulness(pod: Pod) -> tuple[object, ...]:
    """Sorts the least useful pods first: unbound, pending, unready, cheap, restarted, young."""
    cost = pod.annotations.get("controller.kubernetes.io/pod-deletion-cost", "0")
    return (
        bool(pod.node_name),
        {"Pending": 0, "Unknown": 1, "Running": 2}.get(pod.phase, 1),
        pod.is_ready,
        int(cost) if cost.lstrip("+-").isdigit() else 0,
        -pod.restarts,
        _younger_first(pod.created),
        pod.name,
    )


def _younger_first(created: str) -> tuple[int, ...]:
    return tuple(-ord(char) for char in created)


def pod_from_template(state: State) -> Object:
    template = state.replica_set.template
    metadata = template.get("metadata") or {}
    made: Object = {
        "generateName": f"{state.replica_set.name}-",
        "namespace": state.replica_set.namespace,
        "ownerReferences": [owner_reference(state.resource, state.replica_set.obj)],
    }
    for field in ("labels", "annotations", "finalizers"):
        if metadata.get(field):
            made[field] = metadata[field]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": template.get("spec") or {}}


def _selector(state: State) -> selectors.LabelSelector:
    if state.resource == REPLICATION_CONTROLLERS:
        return selectors.from_labels(state.replica_set.selector)
    return selectors.from_label_selector(state.replica_set.selector)


def _adopt(state: State, pod: Pod) -> Patch:
    refs = [*pod.owner_references, owner_reference(state.resource, state.replica_set.obj)]
    return Patch(PODS, key_of(pod.obj), {"metadata": {"uid": pod.uid, "ownerReferences": refs}})


def _release(pod: Pod, uid: str) -> Patch:
    refs = [ref for ref in pod.owner_references if ref["uid"] != uid]
    return Patch(PODS, key_of(pod.obj), {"metadata": {"uid": pod.uid, "ownerReferences": refs or None}})


def _status_update(state: State, active: list[Pod], now: str) -> list[Action]:
    replica_set = state.replica_set
    labels = ((replica_set.template.get("metadata") or {}).get("labels") or {}).items()
    terminating = sum(bool(pod.deleted) and not pod.is_finished for pod in state.pods)
    counts = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(labels <= pod.labels.items() for pod in active),
        "readyReplicas": sum(pod.is_ready for pod in active),
        "availableReplicas": sum(pod.is_available(replica_set.min_ready_seconds, now) for pod in active),
    }
    status: Object = {key: value for key, value in counts.items() if value or key == "replicas"}
    if state.resource == REPLICA_SETS:
        status["terminatingReplicas"] = terminating
    status["observedGeneration"] = replica_set.generation
    before = replica_set.obj.get("status") or {}
    if before.get("conditions"):
        status["conditions"] = before["conditions"]
    # kubectl rollout status waits for observedGeneration, so it is written also when no count changed.
    return [] if before == status else [UpdateStatus(state.resource, with_status(replica_set.obj, status))]


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


def _pod_wakes(resource: Resource) -> Wakes:
    return controller_owner(resource.kind)


REPLICA_SET = Controller(
    "replicaset",
    wakes={REPLICA_SETS: itself, PODS: _pod_wakes(REPLICA_SETS)},
    observe=observer(REPLICA_SETS),
    plan=plan,
)
REPLICATION_CONTROLLER = Controller(
    "replication",
    wakes={REPLICATION_CONTROLLERS: itself, PODS: _pod_wakes(REPLICATION_CONTROLLERS)},
    observe=observer(REPLICATION_CONTROLLERS),
    plan=plan,
)
