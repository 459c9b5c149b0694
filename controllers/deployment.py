"""Deployments: a ReplicaSet for each template, scaled so that availability holds while one replaces another."""

from __future__ import annotations

from datetime import datetime

from controllers.claiming import adopters, claims, controlled, is_selected, orphans, selecting
from controllers.deployment_revision import REVISION, new_replica_set, next_name, revise, revised, sizes
from controllers.deployment_status import (
    FAILED_CREATE,
    NO_DEADLINE,
    created,
    failed_to_create,
    is_complete,
    status_of,
)
from controllers.plan import (
    Action,
    Controller,
    Create,
    Delete,
    Key,
    Plan,
    Record,
    Update,
    UpdateStatus,
    controller_owner,
    itself,
    key_of,
    owner_reference,
    selects_own,
    status_update,
    with_status,
)
from controllers.rollout import DESIRED, next_scales, resized
from controllers.template_hash import same_template
from machinery.api import selectors
from machinery.api.errors import StatusError
from machinery.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from machinery.api.timestamps import parse_time, rfc3339
from machinery.api.views import Deployment, Pod, ReplicaSet, View
from machinery.client.cache import Cache
from machinery.structs import Struct

SELECTING_ALL = "This deployment is selecting all pods. A non-empty selector is required."


class State(Struct, frozen=True):
    """The Deployment, the ReplicaSets that it controls, and with Recreate, which must wait for them, their pods.

    `orphans` are sets that its selector matches and nobody controls; `namesake` has the name that the next set would
    get, whosever it is.
    """

    deployment: Deployment
    sets: tuple[ReplicaSet, ...] = ()
    pods: tuple[Pod, ...] = ()
    orphans: tuple[ReplicaSet, ...] = ()
    namesake: ReplicaSet | None = None

    @property
    def new(self) -> ReplicaSet | None:
        """The oldest set of the current template."""
        fitting = [each for each in self.sets if same_template(each.template, self.deployment.template)]
        return min(fitting, key=lambda each: (each.created, each.name), default=None)


def plan(state: State, now: datetime) -> Plan:
    deployment, new = state.deployment, state.new
    moment = rfc3339(now)
    if not selects_own(selectors.stored_selector(deployment.selector), deployment.template):
        return Plan(
            [Record(deployment.obj, "Warning", "SelectingAll", SELECTING_ALL)] if not deployment.selector else ()
        )
    if deployment.deleted:
        return Plan(_status_update(state, new, moment, is_rolling=False))
    if claims := _claims(state):
        # What they change is decided on once it is seen.
        return Plan(claims)
    old = [each for each in state.sets if new is None or each.uid != new.uid]
    if new is not None and (behind := revise(deployment, new, old)):
        return Plan(behind)
    is_rolling = not deployment.paused and not _is_resized(state)
    if not is_rolling:
        scales = resized(deployment, new, old)
        actions = [action for each, count in scales for action in _scaled(deployment, each, count)]
    elif new is None and not _waits_for_old(state):
        return _create(state, moment)
    else:
        actions = _roll(state, new, old)
    if is_rolling and new is not None and not new.replicas and _concerns(actions, new):
        # An undo: until its set has replicas, counts would tell of a rollout in which nothing is missing.
        return Plan(actions)
    if not actions and (deployment.paused or is_complete(deployment, new, state.sets)):
        actions += _clean_up(deployment, old)
    # Status is told from what was observed, so a change made now shows in the next pass.
    actions += _status_update(state, new, moment, is_rolling=is_rolling)
    return Plan(actions, requeue_after=_look_again(deployment, now))


def _concerns(actions: list[Action], each: ReplicaSet) -> bool:
    return any(isinstance(action, Update) and View(action.obj).uid == each.uid for action in actions)


def _is_resized(state: State) -> bool:
    """Whether `spec.replicas` changed since the sets were scaled."""
    wanted = (None, str(state.deployment.replicas))
    return any(each.annotations.get(DESIRED) not in wanted for each in state.sets if each.replicas)


def _claims(state: State) -> list[Action]:
    """Adopts sets that the selector matches, releases those that it no longer does."""
    reference = owner_reference(DEPLOYMENTS, state.deployment.obj)
    return claims(REPLICA_SETS, reference, state.sets, state.orphans, selecting(state.deployment.obj))


def _waits_for_old(state: State) -> bool:
    """With Recreate nothing new is made while anything old runs."""
    if state.deployment.strategy != "Recreate":
        return False
    return any(each.replicas for each in state.sets) or any(not pod.is_finished for pod in state.pods)


def _create(state: State, now: str) -> Plan:
    deployment = state.deployment
    if state.namesake is not None:
        # Another template hashes to the same name: count it, so that the next hash differs.
        status = {**(deployment.obj.get("status") or {}), "collisionCount": (deployment.collision_count or 0) + 1}
        return Plan([UpdateStatus(DEPLOYMENTS, with_status(deployment.obj, status))])
    made = new_replica_set(deployment, state.sets)
    name, replicas = made["metadata"]["name"], made["spec"]["replicas"]
    actions: list[Action] = [Create(REPLICA_SETS, made)]
    if replicas:
        said = f"Scaled up replica set {name} from 0 to {replicas}"
        actions.append(Record(deployment.obj, "Normal", "ScalingReplicaSet", said))
    status = {**(deployment.obj.get("status") or {}), "conditions": created(deployment, name, now)}
    told = with_status(revised(deployment, made["metadata"]["annotations"][REVISION]), status)

    def on_failure(action: Action, error: StatusError) -> list[Action]:
        return _not_created(deployment, name, error, now) if isinstance(action, Create) else []

    return Plan([*actions, UpdateStatus(DEPLOYMENTS, told)], on_failure=on_failure)


def _not_created(deployment: Deployment, name: str, error: StatusError, now: str) -> list[Action]:
    """Why there is no new set, once in the status and each time as an Event."""
    if error.is_of_a_namespace_that_ends:
        return []
    said = f'Failed to create new replica set "{name}": {error.message}'
    status = {**(deployment.obj.get("status") or {}), "conditions": failed_to_create(deployment, said, now)}
    event = Record(deployment.obj, "Warning", FAILED_CREATE, said)
    return [event, *status_update(DEPLOYMENTS, deployment.obj, status)]


def _roll(state: State, new: ReplicaSet | None, old: list[ReplicaSet]) -> list[Action]:
    """The next step of the rollout."""
    uids = {each.uid for each in old}
    running = (pod for pod in state.pods if not pod.is_finished)
    is_old_running = any((pod.controller or {}).get("uid") in uids for pod in running)
    scales = next_scales(state.deployment, new, old, old_pods_running=is_old_running)
    return [action for each, count in scales for action in _scaled(state.deployment, each, count)]


def _scaled(deployment: Deployment, each: ReplicaSet, replicas: int) -> list[Action]:
    annotations = {**each.annotations, **sizes(deployment)}
    if replicas == each.replicas and annotations == each.annotations:
        return []
    metadata = {**each.obj["metadata"], "annotations": annotations}
    changed = {**each.obj, "metadata": metadata, "spec": {**each.obj["spec"], "replicas": replicas}}
    actions: list[Action] = [Update(REPLICA_SETS, changed)]
    if replicas != each.replicas:
        way = "up" if replicas > each.replicas else "down"
        said = f"Scaled {way} replica set {each.name} from {each.replicas} to {replicas}"
        actions.append(Record(deployment.obj, "Normal", "ScalingReplicaSet", said))
    return actions


def _clean_up(deployment: Deployment, old: list[ReplicaSet]) -> list[Action]:
    """Deletes those of the oldest sets beyond the history limit that are empty and known to be."""
    kept = sorted((each for each in old if not each.deleted), key=lambda each: (each.revision, each.created))
    surplus = kept[: max(len(kept) - deployment.revision_history_limit, 0)]
    empty = [each for each in surplus if not each.replicas and not each.current_replicas]
    settled = [each for each in empty if each.observed_generation >= each.generation]
    return [Delete(REPLICA_SETS, key_of(each.obj), uid=each.uid) for each in settled]


def _status_update(state: State, new: ReplicaSet | None, now: str, *, is_rolling: bool) -> list[Action]:
    status = status_of(state.deployment, new, state.sets, now, is_rolling=is_rolling)
    return status_update(DEPLOYMENTS, state.deployment.obj, status)


def _look_again(deployment: Deployment, now: datetime) -> float | None:
    """When the progress deadline will have passed, in seconds."""
    progressing = deployment.condition("Progressing")
    if progressing is None or deployment.paused or deployment.progress_deadline >= NO_DEADLINE:
        return None
    if progressing.get("reason") in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded"):
        return None
    since = parse_time(progressing.get("lastUpdateTime") or rfc3339(now))
    return max(deployment.progress_deadline - (now - since).total_seconds(), 0.0) + 1.0


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(DEPLOYMENTS, key.namespace, key.name)
    if found is None:
        return None
    deployment = Deployment(found)
    sets = tuple(map(ReplicaSet, controlled(cache, REPLICA_SETS, deployment.uid)))
    is_recreating = deployment.strategy == "Recreate"
    pods = tuple(Pod(pod) for each in sets if is_recreating for pod in cache.owned_by(PODS, each.uid))
    free = tuple(map(ReplicaSet, orphans(cache, REPLICA_SETS, key.namespace, selecting(found))))
    namesake = cache.get(REPLICA_SETS, key.namespace, next_name(deployment))
    return State(deployment, sets, pods, free, ReplicaSet(namesake) if namesake is not None else None)


DEPLOYMENT = Controller(
    "deployment",
    wakes={DEPLOYMENTS: itself, REPLICA_SETS: controller_owner("Deployment")},
    observe=observe,
    plan=plan,
    related=adopters(DEPLOYMENTS, (REPLICA_SETS,), is_selected),
)
