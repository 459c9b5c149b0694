"""StatefulSets: pods with a name and claims that stay theirs, made, replaced and taken away in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

from controllers.claiming import adopters, claims, controlled, is_selected, orphans, selecting
from controllers.history import History, deletions, made, observe_history, renewed, template_of
from controllers.plan import (
    Action,
    Controller,
    Create,
    Delete,
    Key,
    Plan,
    Record,
    Update,
    controller_owner,
    itself,
    key_of,
    nobody,
    owner_reference,
    selects_own,
    status_update,
)
from controllers.statefulset_pods import claim_name, ordinal_of
from controllers.statefulset_replicas import Look, retire, roll, tend
from controllers.statefulset_rollout import Replica
from controllers.statefulset_status import status_of
from machinery.api import selectors
from machinery.api.errors import AlreadyExists, StatusError
from machinery.api.resource import Object
from machinery.api.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from machinery.api.timestamps import rfc3339
from machinery.api.views import Pod, StatefulSet, View
from machinery.client.cache import Cache, Change
from machinery.structs import Struct, field

HASH_LABEL = "controller.kubernetes.io/hash"


class State(Struct, frozen=True):
    """The StatefulSet, its pods, pods that it could adopt, its revisions, and the claims of its pods by their names."""

    stateful_set: StatefulSet
    pods: tuple[Pod, ...] = ()
    orphans: tuple[Pod, ...] = ()
    history: History = field(default_factory=History)
    claims: Mapping[str, Object] = field(default_factory=dict)


def plan(state: State, now: datetime, *, several_unavailable: bool = False) -> Plan:
    """`several_unavailable`: the feature MaxUnavailableStatefulSet, without which pods are updated one by one."""
    owner = state.stateful_set
    if not selects_own(selectors.stored_selector(owner.selector), owner.template):
        return Plan()
    if not owner.deleted and (claimed := _claims(state)):
        # What they change is decided on once it is seen.
        return Plan(claimed)
    look = _look(state, now)
    actions: list[Action] = []
    going: list[Pod] = []
    if not owner.deleted:
        actions, is_settled = _steps(look)
        going = roll(look, several_unavailable=several_unavailable) if is_settled else []
        actions = [*_remembered(state), *actions, *look.deletes(going), *_forgotten(state, look)]
    status = _status(state, look, len(going))
    told = status_update(STATEFUL_SETS, owner.obj, status)

    def on_failure(action: Action, error: StatusError) -> Sequence[Action]:
        return [*_told_failure(owner, action, error), *told]

    waits = owner.min_ready_seconds and status.get("readyReplicas", 0) > status["availableReplicas"]
    return Plan([*actions, *told], owner.min_ready_seconds if waits else None, on_failure)


def _claims(state: State) -> list[Action]:
    """Pods and revisions taken or given up."""
    owner, history = state.stateful_set, state.history
    reference = owner_reference(STATEFUL_SETS, owner.obj)
    return [
        *claims(PODS, reference, state.pods, state.orphans, _members(owner)),
        *claims(CONTROLLER_REVISIONS, reference, history.revisions, history.orphans, selecting(owner.obj)),
    ]


def _look(state: State, now: datetime) -> Look:
    owner, history = state.stateful_set, state.history
    present = history.present(owner.template)
    update = present.name if present is not None else history.name
    templates = {update: owner.template}
    current = next((each for each in history.revisions if each.name == owner.current_revision), None)
    if current is not None and current.name != update:
        templates[current.name] = template_of(current)
    numbered = {ordinal: pod for pod in state.pods if (ordinal := ordinal_of(owner, pod.name)) is not None}
    wanted = range(owner.start, owner.start + owner.replicas)
    return Look(
        owner,
        tuple(Replica.of(ordinal, numbered.get(ordinal)) for ordinal in wanted),
        tuple((ordinal, numbered[ordinal]) for ordinal in sorted(numbered, reverse=True) if ordinal not in wanted),
        state.claims,
        current.name if current is not None else update,
        update,
        templates,
        partial(Pod.is_available, min_ready_seconds=owner.min_ready_seconds, now=rfc3339(now)),
    )


def _steps(look: Look) -> tuple[list[Action], bool]:
    """What replicas and those beyond them need; whether a rollout may go on."""
    tended, is_up = tend(look)
    if not is_up:
        return tended, False
    retired, is_done = retire(look)
    return [*tended, *retired], is_done


def _remembered(state: State) -> list[Action]:
    """Makes the present template's revision the newest."""
    owner, history = state.stateful_set, state.history
    present = history.present(owner.template)
    if present is None:
        return [made(STATEFUL_SETS, owner, history, HASH_LABEL)]
    return renewed(present, [each for each in history.revisions if each.uid != present.uid])


def _forgotten(state: State, look: Look) -> list[Action]:
    """The oldest revisions beyond the limit, of which no pod is left; a limit below 0 keeps all."""
    limit = state.stateful_set.revision_history_limit
    live = {look.current, look.update, *(Replica.of(0, pod).revision for pod in state.pods)}
    old = [each for each in state.history.revisions if each.name not in live]
    return deletions(old[: max(len(old) - limit, 0)]) if limit >= 0 else []


def _status(state: State, look: Look, going: int) -> Object:
    owner = state.stateful_set
    collisions = state.history.counted(owner.template, owner.collision_count)
    return status_of(
        owner,
        state.pods,
        current=look.current,
        update=look.update,
        collisions=collisions or 0,
        going=going,
        is_available=look.is_available,
    )


def _told_failure(owner: StatefulSet, action: Action, error: StatusError) -> list[Action]:
    """An Event, but where the name is taken: that is seen next time."""
    verb = {Create: "Create", Update: "Update", Delete: "Delete"}.get(type(action), "")
    if not isinstance(action, Create | Update | Delete) or isinstance(error, AlreadyExists):
        return []
    name = action.key.name if isinstance(action, Delete) else action.obj["metadata"]["name"]
    if action.resource == PERSISTENT_VOLUME_CLAIMS and isinstance(action, Create):
        pod = f"{owner.name}-{name.rpartition('-')[2]}"
        where = f"Pod {pod} in StatefulSet {owner.name} failed error: "
        return [
            Record(owner.obj, "Warning", "FailedCreate", f"Create Claim {name} for {where}{error.message}"),
            Record(owner.obj, "Warning", "FailedCreate", f"Create {where}failed to create PVC {name}: {error.message}"),
        ]
    if action.resource != PODS:
        return []
    said = f"{verb} Pod {name} in StatefulSet {owner.name} failed error: {error.message}"
    return [Record(owner.obj, "Warning", f"Failed{verb}", said)]


def _members(owner: StatefulSet) -> Callable[[View], bool]:
    """Whether a pod may be the set's: it is selected and named as one of the set's."""
    selects = selecting(owner.obj)
    return lambda pod: ordinal_of(owner, pod.name) is not None and selects(pod)


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(STATEFUL_SETS, key.namespace, key.name)
    if found is None:
        return None
    owner = StatefulSet(found)
    pods = tuple(map(Pod, controlled(cache, PODS, owner.uid)))
    ordinals = {*range(owner.start, owner.start + owner.replicas), *(ordinal_of(owner, pod.name) for pod in pods)}
    names = [
        claim_name(owner, template, ordinal)
        for template in owner.claim_templates
        for ordinal in ordinals
        if ordinal is not None
    ]
    there = ((name, cache.get(PERSISTENT_VOLUME_CLAIMS, key.namespace, name)) for name in names)
    return State(
        owner,
        pods,
        tuple(map(Pod, orphans(cache, PODS, key.namespace, _members(owner)))),
        observe_history(cache, owner, selecting(found), owner.collision_count or 0),
        {name: claim for name, claim in there if claim is not None},
    )


def _fits(stateful_set: Object, child: View) -> bool:
    if child.obj.get("kind") == CONTROLLER_REVISIONS.kind:
        return is_selected(stateful_set, child)
    return _members(StatefulSet(stateful_set))(child)


_adopting = adopters(STATEFUL_SETS, (PODS, CONTROLLER_REVISIONS), _fits)


def _related(cache: Cache, change: Change) -> Iterable[Key]:
    """Sets that could adopt an orphan, and those that wait for a claim to be gone before they make its pod."""
    yield from _adopting(cache, change)
    if change.resource != PERSISTENT_VOLUME_CLAIMS or change.after is not None:
        return
    claim = View(change.object)
    for found in cache.list(STATEFUL_SETS, claim.namespace):
        owner = StatefulSet(found)
        prefixes = tuple(f"{template['metadata']['name']}-{owner.name}-" for template in owner.claim_templates)
        if claim.name.startswith(prefixes):
            yield key_of(found)


def stateful_sets(*, several_unavailable: bool) -> Controller:
    """`several_unavailable`: whether `maxUnavailable` is heeded (the feature MaxUnavailableStatefulSet)."""
    return Controller(
        "statefulset",
        wakes={
            STATEFUL_SETS: itself,
            PODS: controller_owner("StatefulSet"),
            CONTROLLER_REVISIONS: controller_owner("StatefulSet"),
            PERSISTENT_VOLUME_CLAIMS: nobody,
        },
        observe=observe,
        plan=partial(plan, several_unavailable=several_unavailable),
        related=_related,
    )
