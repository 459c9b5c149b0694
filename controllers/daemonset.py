"""DaemonSets: a pod on every node that fits, the nodes' own trouble borne, one template after the other rolled out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from controllers.claiming import adopters, claims, controlled, is_selected, orphans, selecting
from controllers.daemonset_nodes import Wants, demand, node_of, pod_for
from controllers.daemonset_pods import Chore, Failures, Tending, age_order, chores
from controllers.daemonset_rollout import allows_surge, next_step, split
from controllers.history import POD_LABEL, History, deletions, made, observe_history, order, renewed
from controllers.plan import (
    Action,
    Controller,
    Create,
    Delete,
    Key,
    Patch,
    Plan,
    Record,
    controller_owner,
    itself,
    key_of,
    nobody,
    owner_reference,
    selects_own,
    status_update,
)
from machinery.api import selectors
from machinery.api.errors import StatusError
from machinery.api.resource import Object
from machinery.api.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from machinery.api.timestamps import rfc3339
from machinery.api.views import ControllerRevision, DaemonSet, Node, Pod, View
from machinery.client.cache import Cache, Change
from machinery.structs import Struct, field

BURST = 250
SELECTING_ALL = "This daemon set is selecting all pods. A non-empty selector is required."


class State(Struct, frozen=True):
    """The DaemonSet, all nodes, its pods and revisions, pods that it could adopt, how often pods failed by node."""

    daemon_set: DaemonSet
    nodes: tuple[Node, ...]
    pods: tuple[Pod, ...] = ()
    orphans: tuple[Pod, ...] = ()
    history: History = field(default_factory=History)
    failures: dict[str, int] = field(default_factory=dict)


def plan(state: State, now: datetime) -> Plan:
    daemon_set, moment = state.daemon_set, rfc3339(now)
    if not selects_own(selectors.stored_selector(daemon_set.selector), daemon_set.template):
        return Plan(
            [Record(daemon_set.obj, "Warning", "SelectingAll", SELECTING_ALL)] if not daemon_set.selector else ()
        )
    if daemon_set.deleted:
        # Its revisions may be gone before its pods, so nothing true could be said of them.
        return Plan()
    if claimed := _claims(state):
        return Plan(claimed)
    present, remembered = _history(state)
    revision_hash = present.labels.get(POD_LABEL) or present.name if present is not None else state.history.hash
    wants = demand(daemon_set)
    wanted = {node.name: wants(node) for node in state.nodes}
    there = _on_nodes(state.pods)
    is_available = partial(Pod.is_available, min_ready_seconds=daemon_set.min_ready_seconds, now=moment)
    tending = Tending(
        daemon_set, revision_hash, allows_surge(daemon_set), state.failures, is_available=is_available, now=now
    )
    todo = _chores(tending, wanted, there)
    steps = _carried_out(tending, todo)
    status = _status(state, wanted, there, revision_hash, moment)
    told = status_update(DAEMON_SETS, daemon_set.obj, status)
    # What is first told of a generation is told with the pods that it made: they bring the next pass.
    is_early = daemon_set.observed_generation < daemon_set.generation and any(isinstance(s, Create) for s in steps)
    actions = [*remembered, *steps, *_forgotten(state, present), *([] if is_early else told)]

    def on_failure(action: Action, error: StatusError) -> Sequence[Action]:
        return told if isinstance(action, Create | Delete) else ()

    return Plan(actions, _look_again(daemon_set, status, todo), on_failure)


def _on_nodes(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    """The pods of each node, without those that are finished and go: with them there is nothing left to do."""
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        if (node := node_of(pod)) and not (pod.deleted and pod.is_finished):
            found.setdefault(node, []).append(pod)
    return found


def _claims(state: State) -> list[Action]:
    """Pods and revisions taken or given up; what they change is decided on once it is seen."""
    owner = state.daemon_set
    reference = owner_reference(DAEMON_SETS, owner.obj)
    fits = selecting(owner.obj)
    return [
        *claims(PODS, reference, state.pods, state.orphans, fits),
        *claims(CONTROLLER_REVISIONS, reference, state.history.revisions, state.history.orphans, fits),
    ]


def _history(state: State) -> tuple[ControllerRevision | None, list[Action]]:
    """The revision of the present template where there is one, and what makes it the one and newest."""
    daemon_set, history = state.daemon_set, state.history
    present = history.present(daemon_set.template)
    if present is None:
        return None, [made(DAEMON_SETS, daemon_set, history, POD_LABEL)]
    doubles = [each for each in history.equals(daemon_set.template) if each.uid != present.uid]
    label = present.labels.get(POD_LABEL) or present.name
    relabelled: list[Action] = [
        Patch(PODS, key_of(pod.obj), {"metadata": {"labels": {POD_LABEL: label}}})
        for pod in state.pods
        if any(pod.labels.get(POD_LABEL) == each.labels.get(POD_LABEL, each.name) for each in doubles)
    ]
    others = [each for each in history.revisions if each.uid != present.uid]
    return present, [*renewed(present, others), *relabelled, *deletions(doubles)]


def _forgotten(state: State, present: ControllerRevision | None) -> list[Action]:
    """The oldest revisions beyond the limit, of which no pod is left."""
    equal = {each.uid for each in state.history.equals(state.daemon_set.template)}
    old = [each for each in state.history.revisions if each.uid not in equal]
    live = {pod.labels.get(POD_LABEL) for pod in state.pods}
    surplus = max(len(old) - state.daemon_set.revision_history_limit, 0)
    return deletions([each for each in sorted(old, key=order) if each.labels.get(POD_LABEL) not in live][:surplus])


def _chores(tending: Tending, wanted: dict[str, Wants], there: dict[str, list[Pod]]) -> list[Chore]:
    """What single nodes need; where they need nothing, the next step of the rollout."""
    todo = [each for node, want in wanted.items() for each in chores(tending, node, want, there.get(node, []))]
    # Pods of nodes that are gone are never bound, so nobody else deletes them.
    todo += [Chore(node, pod) for node in there if node not in wanted for pod in there[node] if not pod.node_name]
    todo = [each for each in todo if each.pod is None or not each.pod.deleted]
    if any(not each.wait for each in todo) or tending.daemon_set.strategy != "RollingUpdate":
        return todo
    concerned = [node for node in wanted if wanted[node] is Wants.A_POD or node in there]
    nodes = [split(node, there.get(node, []), tending.hash, wanted=wanted[node] is Wants.A_POD) for node in concerned]
    step = next_step(tending.daemon_set, nodes, tending.is_available)
    return [*todo, *(Chore(node_of(pod), pod) for pod in step.deleted), *map(Chore, step.nodes)]


def _carried_out(tending: Tending, todo: Iterable[Chore]) -> list[Action]:
    owner = tending.daemon_set.obj
    due = [each for each in todo if not each.wait]
    actions: list[Action] = []
    for pod, told in [(each.pod, each.told) for each in due if each.pod is not None][:BURST]:
        actions += [told] if told is not None else []
        actions.append(Delete(PODS, key_of(pod.obj), uid=pod.uid, about=owner))
    nodes = [each.node for each in due if each.pod is None][:BURST]
    return actions + [Create(PODS, pod_for(tending.daemon_set, node, tending.hash), owner) for node in nodes]


def _status(
    state: State, wanted: dict[str, Wants], there: dict[str, list[Pod]], revision_hash: str, now: str
) -> Object:
    """Of each node the oldest pod counts."""
    daemon_set = state.daemon_set
    desired = [node for node, want in wanted.items() if want is Wants.A_POD]
    oldest = [min(there[node], key=age_order) for node in desired if node in there]
    ready = [pod for pod in oldest if pod.is_ready]
    available = sum(pod.is_available(daemon_set.min_ready_seconds, now) for pod in ready)
    status: Object = {
        "currentNumberScheduled": len(oldest),
        "desiredNumberScheduled": len(desired),
        "numberMisscheduled": sum(node in there for node, want in wanted.items() if want is not Wants.A_POD),
        "numberReady": len(ready),
    }
    counts = {
        "numberAvailable": available,
        "numberUnavailable": len(desired) - available,
        "observedGeneration": daemon_set.generation,
        "updatedNumberScheduled": sum(pod.labels.get(POD_LABEL) == revision_hash for pod in oldest),
    }
    status |= {name: count for name, count in counts.items() if count}
    if (collisions := state.history.counted(daemon_set.template, daemon_set.collision_count)) is not None:
        status["collisionCount"] = collisions
    if daemon_set.conditions:
        status["conditions"] = daemon_set.conditions
    return status


def _look_again(daemon_set: DaemonSet, status: Object, todo: Iterable[Chore]) -> float | None:
    waits = [each.wait for each in todo if each.wait]
    if daemon_set.min_ready_seconds and status["numberReady"] != status.get("numberAvailable", 0):
        waits.append(float(daemon_set.min_ready_seconds))
    return min(waits, default=None)


def _observe(cache: Cache, key: Key, failures: Failures) -> State | None:
    found = cache.get(DAEMON_SETS, key.namespace, key.name)
    if found is None:
        failures.forget({View(each).uid for each in cache.list(DAEMON_SETS)})
        return None
    daemon_set = DaemonSet(found)
    fits = selecting(found)
    pods = tuple(map(Pod, controlled(cache, PODS, daemon_set.uid)))
    failed = {node_of(pod): pod for pod in pods if pod.phase == "Failed"}
    return State(
        daemon_set,
        tuple(map(Node, cache.list(NODES))),
        pods,
        tuple(map(Pod, orphans(cache, PODS, key.namespace, fits))),
        observe_history(cache, daemon_set, fits, daemon_set.collision_count),
        failures.count(daemon_set, failed),
    )


_adopting = adopters(DAEMON_SETS, (PODS, CONTROLLER_REVISIONS), is_selected)


def _related(cache: Cache, change: Change) -> Iterable[Key]:
    """DaemonSets that could adopt an orphan, and those that want something else of a node than before."""
    yield from _adopting(cache, change)
    if change.resource != NODES:
        return
    before, after = (Node(obj) if obj is not None else None for obj in (change.before, change.after))
    if before and after and (before.labels, before.taints) == (after.labels, after.taints):
        return
    for found in cache.list(DAEMON_SETS):
        wants = demand(DaemonSet(found))
        was, is_now = (wants(node) if node is not None else Wants.NO_POD for node in (before, after))
        if was is not is_now:
            yield key_of(found)


def daemon_sets() -> Controller:
    return Controller(
        "daemonset",
        wakes={
            DAEMON_SETS: itself,
            PODS: controller_owner("DaemonSet"),
            CONTROLLER_REVISIONS: controller_owner("DaemonSet"),
            NODES: nobody,
        },
        observe=partial(_observe, failures=Failures()),
        plan=plan,
        identity="daemon-set-controller",
        component="daemonset-controller",
        related=_related,
    )
