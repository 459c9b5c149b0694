"""ReplicaSets and ReplicationControllers: as many active pods as wanted, the least useful deleted first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from controllers.claiming import adopters, claims, controlled, orphans
from controllers.plan import (
    Action,
    Controller,
    Create,
    Delete,
    Key,
    Plan,
    controller_owner,
    itself,
    key_of,
    owner_reference,
    selects_own,
    status_update,
)
from controllers.pods import pod_from_template
from controllers.scale_down import missed_least
from machinery.api import selectors
from machinery.api.errors import StatusError
from machinery.api.resource import Object, Resource
from machinery.api.resources import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from machinery.api.timestamps import rfc3339
from machinery.api.views import Pod, ReplicaSet, View
from machinery.client.cache import Cache
from machinery.structs import Struct

Observe = Callable[[Cache, Key], "State | None"]
BURST = 500
FAILURE = "ReplicaFailure"


class State(Struct, frozen=True):
    """The set, its pods, and orphans that its selector matches.

    `related` are the pods of all sets of the same owner, where some of its own are to go.
    """

    resource: Resource
    replica_set: ReplicaSet
    pods: tuple[Pod, ...] = ()
    orphans: tuple[Pod, ...] = ()
    related: tuple[Pod, ...] = ()


def plan(state: State, now: datetime) -> Plan:
    """Adopt what matches, release what no longer does, create missing pods, delete surplus ones."""
    replica_set, moment = state.replica_set, rfc3339(now)
    selector = _selector(state)
    if not selects_own(selector, replica_set.template):
        # The API takes no such set; one that is there would take pods of others, or make pods without end.
        return Plan()
    mine = [pod for pod in state.pods if selector.matches(pod.labels)]
    actions: list[Action] = []
    about = replica_set.obj
    reference = owner_reference(state.resource, about)
    if not replica_set.deleted:
        adopted = [pod for pod in state.orphans if pod.is_active]
        actions += claims(PODS, reference, state.pods, adopted, lambda pod: selector.matches(pod.labels))
        mine += adopted
    active = [pod for pod in mine if pod.is_active]
    if not replica_set.deleted:
        surplus = len(active) - replica_set.replicas
        actions += [
            Create(PODS, pod_from_template(replica_set.template, about, reference), about)
            for _ in range(min(-surplus, BURST))
        ]
        unwanted = missed_least(active, state.related or active, min(surplus, BURST), now) if surplus > 0 else []
        actions += [Delete(PODS, key_of(pod.obj), uid=pod.uid, about=about) for pod in unwanted]
    status = _status(state, active, moment)
    # kubectl rollout status waits for observedGeneration, so it is written also when no count changed.
    actions += status_update(state.resource, about, status)

    def on_failure(action: Action, error: StatusError) -> list[Action]:
        return status_update(state.resource, about, _failed(replica_set, status, action, error, moment))

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
    return _selector_of(state.resource, state.replica_set)


def _selector_of(resource: Resource, replica_set: ReplicaSet) -> selectors.LabelSelector:
    if resource == REPLICATION_CONTROLLERS:
        return selectors.from_labels(replica_set.selector)
    return selectors.stored_selector(replica_set.selector)


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
        pods = tuple(map(Pod, controlled(cache, PODS, replica_set.uid)))
        if not replica_set.selector:
            return State(resource, replica_set, pods)
        selector = _selector_of(resource, replica_set)
        free = orphans(cache, PODS, key.namespace, lambda pod: selector.matches(pod.labels))
        has_surplus = len(pods) + len(free) > replica_set.replicas
        related = tuple(_related(cache, resource, replica_set)) if has_surplus else ()
        return State(resource, replica_set, pods, tuple(map(Pod, free)), related)

    return observe


def _related(cache: Cache, resource: Resource, replica_set: ReplicaSet) -> Iterator[Pod]:
    """The pods of the set and of its siblings: a rollout takes pods from where most of either are."""
    owner = replica_set.controller
    siblings = controlled(cache, resource, owner["uid"]) if owner is not None else [replica_set.obj]
    return (Pod(pod) for sibling in siblings for pod in controlled(cache, PODS, View(sibling).uid))


def _fits(resource: Resource, replica_set: Object, pod: View) -> bool:
    view = ReplicaSet(replica_set)
    return bool(view.selector) and _selector_of(resource, view).matches(pod.labels)


def _controller(name: str, resource: Resource) -> Controller:
    return Controller(
        name,
        wakes={resource: itself, PODS: controller_owner(resource.kind)},
        observe=observer(resource),
        plan=plan,
        related=adopters(resource, (PODS,), partial(_fits, resource)),
    )


REPLICA_SET = _controller("replicaset", REPLICA_SETS)
REPLICATION_CONTROLLER = _controller("replication", REPLICATION_CONTROLLERS)
