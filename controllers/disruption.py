"""PodDisruptionBudgets: how many healthy pods there are and have to be, so how many may be evicted.

The status is written only where nobody was faster: an eviction that was granted meanwhile must not be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from controllers.plan import Action, Controller, Key, Plan, Record, itself, key_of, nobody, status_update
from controllers.rollout import share
from controllers.selection import go_text, selected
from machinery.api.disruption import ALLOWED, SYNC_FAILED, PodDisruptionBudget
from machinery.api.resource import Object, Resource
from machinery.api.resources import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from machinery.api.selectors import stored_selector
from machinery.api.timestamps import parse_time, rfc3339
from machinery.api.views import Pod, View, Workload
from machinery.client.cache import Cache, Change
from machinery.structs import Struct, field

_DELETION_TIMEOUT = timedelta(minutes=2)
_GATHERS_FOR = 0.05
_OWNERS = {row.kind: row for row in (REPLICA_SETS, REPLICATION_CONTROLLERS, STATEFUL_SETS)}
_WITHOUT_SCALE = {row.kind: row for row in (CRON_JOBS, DAEMON_SETS, JOBS)}


class Scale(Struct, frozen=True):
    """What a pod's owner wants: its replicas, or why that can't be known."""

    uid: str
    replicas: int = 0
    problem: str = ""


class State(Struct, frozen=True):
    """`scales` is by the uid of the pod's controller."""

    budget: PodDisruptionBudget
    pods: Sequence[Pod] = ()
    scales: Mapping[str, Scale] = field(default_factory=dict)


class _Uncountable(Exception):
    """How many pods there should be can't be known."""


def plan(state: State, now: datetime) -> Plan:
    budget, actions = state.budget, list[Action]()
    if not state.pods:
        actions.append(Record(budget.obj, "Normal", "NoPods", "No matching pods found"))
    try:
        expected, desired = _expected(state)
    except _Uncountable as error:
        said = f"Failed to calculate the number of expected pods: {error}"
        return Plan(
            [Record(budget.obj, "Warning", "CalculateExpectedPodCountFailed", said), *_failed(budget, str(error), now)]
        )
    if budget.max_unavailable is not None or isinstance(budget.min_available, str):
        actions += _unmanaged(state)
    overdue = [pod for pod in state.pods if _is_overdue(pod, budget, now)]
    # Upstream's words: the namespace twice.
    said = f"Pod was expected by PDB {budget.namespace}/{budget.namespace} to be deleted but it wasn't"
    actions += [Record(pod.obj, "Warning", "NotDeleted", said) for pod in overdue]
    pending = _pending(state, now)
    healthy = sum(pod.is_ready and not pod.deleted and pod.name not in pending for pod in state.pods)
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    status: Object = {
        "observedGeneration": budget.generation,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "conditions": _conditions(budget, allowed, now),
    }
    if pending:
        status["disruptedPods"] = pending
    actions += status_update(POD_DISRUPTION_BUDGETS, budget.obj, status)
    return Plan(actions, requeue_after=_next_look(pending, now))


def _expected(state: State) -> tuple[int, int]:
    """(pods that there should be, healthy pods that there have to be); raises _Uncountable."""
    budget = state.budget
    if budget.max_unavailable is not None:
        expected = _wanted(state)
        return expected, max(expected - share(budget.max_unavailable, expected, up=True), 0)
    if isinstance(budget.min_available, str):
        expected = _wanted(state)
        return expected, share(budget.min_available, expected, up=True)
    return len(state.pods), budget.min_available or 0


def _wanted(state: State) -> int:
    """The replicas of all owners of the pods, each counted once."""
    scales: dict[str, int] = {}
    for pod in state.pods:
        if pod.controller is None:
            continue
        scale = state.scales.get(pod.controller["uid"])
        if scale is None:
            raise _Uncountable(f'found no controllers for pod "{pod.name}"')
        if scale.problem:
            raise _Uncountable(scale.problem)
        scales[scale.uid] = scale.replicas
    return sum(scales.values())


def _unmanaged(state: State) -> Sequence[Action]:
    if all(pod.controller is not None for pod in state.pods):
        return ()
    said = (
        f"Pods selected by this PodDisruptionBudget (selector: {go_text(state.budget.selector)}) were found to be "
        "unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined "
        'behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
    )
    return [Record(state.budget.obj, "Warning", "UnmanagedPods", said)]


def _pending(state: State, now: datetime) -> dict[str, str]:
    """Evictions that were granted and have not begun: those pods no longer count, though they still are healthy."""
    there = {pod.name for pod in state.pods if not pod.deleted}
    return {
        name: since
        for name, since in state.budget.disrupted.items()
        if name in there and parse_time(since) + _DELETION_TIMEOUT >= now
    }


def _is_overdue(pod: Pod, budget: PodDisruptionBudget, now: datetime) -> bool:
    since = budget.disrupted.get(pod.name)
    return since is not None and not pod.deleted and parse_time(since) + _DELETION_TIMEOUT < now


def _next_look(pending: Mapping[str, str], now: datetime) -> float | None:
    ends = [parse_time(since) + _DELETION_TIMEOUT for since in pending.values()]
    return (min(ends) - now).total_seconds() + 1 if ends else None


def _conditions(budget: PodDisruptionBudget, allowed: int, now: datetime) -> list[Object]:
    status, reason = ("True", "SufficientPods") if allowed > 0 else ("False", "InsufficientPods")
    return _with_condition(budget, status, reason, "", budget.generation, now)


def _failed(budget: PodDisruptionBudget, why: str, now: datetime) -> Sequence[Action]:
    """Nothing may be evicted as long as it can't be counted."""
    conditions = _with_condition(budget, "False", SYNC_FAILED, why, budget.observed_generation, now)
    status = {
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
        **(budget.obj.get("status") or {}),
        "disruptionsAllowed": 0,
        "conditions": conditions,
    }
    return status_update(POD_DISRUPTION_BUDGETS, budget.obj, status)


def _with_condition(
    budget: PodDisruptionBudget, status: str, reason: str, message: str, generation: int, now: datetime
) -> list[Object]:
    before = budget.condition(ALLOWED)
    is_same = before is not None and before["status"] == status
    made: Object = {
        "type": ALLOWED,
        "status": status,
        "lastTransitionTime": before["lastTransitionTime"] if before and is_same else rfc3339(now),
        "reason": reason,
        "message": message,
    }
    if generation:
        made["observedGeneration"] = generation
    return [*(each for each in budget.conditions if each["type"] != ALLOWED), made]


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(POD_DISRUPTION_BUDGETS, key.namespace, key.name)
    if found is None:
        return None
    budget = PodDisruptionBudget(found)
    pods = sorted(selected(cache, key.namespace, stored_selector(budget.selector)), key=lambda pod: pod.name)
    references = {pod.controller["uid"]: pod.controller for pod in pods if pod.controller}
    scales = {uid: _scale(cache, key.namespace, reference) for uid, reference in references.items()}
    return State(budget, pods, {uid: scale for uid, scale in scales.items() if scale is not None})


def _scale(cache: Cache, namespace: str, reference: Object) -> Scale | None:
    kind: str = reference["kind"]
    if kind in _WITHOUT_SCALE:
        return Scale(
            reference["uid"], problem=f"{_WITHOUT_SCALE[kind].qualified} does not implement the scale subresource"
        )
    owner = _owner(cache, _OWNERS.get(kind), namespace, reference)
    if owner is None:
        return None
    above = owner.controller
    if kind == "ReplicaSet" and above is not None and above["kind"] == "Deployment":
        deployment = _owner(cache, DEPLOYMENTS, namespace, above)
        return Scale(deployment.uid, deployment.replicas) if deployment else None
    return Scale(owner.uid, owner.replicas)


def _owner(cache: Cache, resource: Resource | None, namespace: str, reference: Object) -> Workload | None:
    found = cache.get(resource, namespace, reference["name"]) if resource else None
    return Workload(found) if found is not None and found["metadata"]["uid"] == reference["uid"] else None


def _covering(cache: Cache, change: Change) -> Iterable[Key]:
    """The budgets that count a pod, as it was or as it is."""
    pods = [View(obj) for obj in (change.before, change.after) if obj is not None and change.resource == PODS]
    if not pods:
        return
    for budget in map(PodDisruptionBudget, cache.list(POD_DISRUPTION_BUDGETS, pods[0].namespace)):
        if any(budget.covers(pod) for pod in pods):
            yield key_of(budget.obj)


def _settles(change: Change) -> float:
    """A rollout changes many pods; who changes a budget waits for its status."""
    return _GATHERS_FOR if change.resource == PODS else 0.0


DISRUPTION = Controller(
    "disruption",
    wakes={POD_DISRUPTION_BUDGETS: itself, PODS: nobody},
    related=_covering,
    settles=_settles,
    observe=observe,
    plan=plan,
    component="controllermanager",
)
