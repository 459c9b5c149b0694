"""Deployments: a ReplicaSet for each template, scaled so that availability holds while one replaces another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from controllers.deployment_status import NO_DEADLINE, created, is_complete, status_of
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
    adopt,
    controller_owner,
    itself,
    key_of,
    owner_reference,
    release,
    selects_own,
    with_status,
)
from controllers.rollout import DESIRED, MAXIMUM, bounds, next_scales, proportional
from controllers.template_hash import same_template, template_hash
from machinery.api import selectors
from machinery.api.resource import Object
from machinery.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from machinery.api.timestamps import parse_time, rfc3339
from machinery.api.views import Deployment, Pod, ReplicaSet, View
from machinery.client.cache import Cache, Change

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
SELECTING_ALL = "This deployment is selecting all pods. A non-empty selector is required."
_NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.revision",
        REVISION,
        HISTORY,
        DESIRED,
        MAXIMUM,
    }
)


@dataclass(frozen=True)
class State:
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
    if new is not None and not deployment.paused and (revised := _revise(deployment, new, old)):
        return Plan(revised)
    sized = [each for each in state.sets if each.replicas]
    is_resized = any(each.annotations.get(DESIRED) not in (None, str(deployment.replicas)) for each in sized)
    is_rolling = not deployment.paused and not is_resized
    actions: list[Action] = []
    if is_resized:
        actions += _resize(deployment, sized)
    elif deployment.paused:
        actions += _resize(deployment, _latest(state, new)) if not sized else []
    elif new is None and not _waits_for_old(state):
        return Plan(_create(state, moment))
    else:
        actions += _roll(state, new, old)
    if not actions and is_complete(deployment, new, state.sets):
        actions += _clean_up(deployment, old)
    # Status is told from what was observed, so a change made now shows in the next pass.
    actions += _status_update(state, new, moment, is_rolling=is_rolling)
    return Plan(actions, requeue_after=_look_again(deployment, now))


def _claims(state: State) -> list[Action]:
    """Adopts sets that the selector matches, releases those that it no longer does."""
    reference = owner_reference(DEPLOYMENTS, state.deployment.obj)
    matches = selectors.stored_selector(state.deployment.selector).matches
    return [
        *(adopt(REPLICA_SETS, each, reference) for each in state.orphans),
        *(release(REPLICA_SETS, each, state.deployment.uid) for each in state.sets if not matches(each.labels)),
    ]


def _waits_for_old(state: State) -> bool:
    """With Recreate nothing new is made while anything old runs."""
    if state.deployment.strategy != "Recreate":
        return False
    return any(each.replicas for each in state.sets) or any(not pod.is_finished for pod in state.pods)


def _create(state: State, now: str) -> list[Action]:
    deployment = state.deployment
    if state.namesake is not None:
        # Another template hashes to the same name: count it, so that the next hash differs.
        status = {**(deployment.obj.get("status") or {}), "collisionCount": (deployment.collision_count or 0) + 1}
        return [UpdateStatus(DEPLOYMENTS, with_status(deployment.obj, status))]
    made = new_replica_set(state)
    name, replicas = made["metadata"]["name"], made["spec"]["replicas"]
    actions: list[Action] = [Create(REPLICA_SETS, made)]
    if replicas:
        said = f"Scaled up replica set {name} from 0 to {replicas}"
        actions.append(Record(deployment.obj, "Normal", "ScalingReplicaSet", said))
    status = {**(deployment.obj.get("status") or {}), "conditions": created(deployment, name, now)}
    revised = _revised(deployment, made["metadata"]["annotations"][REVISION])
    return [*actions, UpdateStatus(DEPLOYMENTS, with_status(revised, status))]


def next_name(deployment: Deployment) -> str:
    """The name of the current template's set."""
    return f"{deployment.name}-{template_hash(deployment.template, deployment.collision_count)}"


def new_replica_set(state: State) -> Object:
    """The ReplicaSet of the current template, with as many replicas as there is room for now."""
    deployment = state.deployment
    name = next_name(deployment)
    digest = name.rpartition("-")[2]
    template = deployment.template
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {**(metadata.get("labels") or {}), "pod-template-hash": digest}
    selector = dict(deployment.selector)
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), "pod-template-hash": digest}
    spec: Object = {
        "replicas": _first_scale(state),
        "selector": selector,
        "template": {**template, "metadata": metadata},
    }
    if deployment.min_ready_seconds:
        spec["minReadySeconds"] = deployment.min_ready_seconds
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": deployment.namespace,
            "labels": metadata["labels"],
            "annotations": {**_annotations(deployment), REVISION: str(_next_revision(state.sets))},
            "ownerReferences": [owner_reference(DEPLOYMENTS, deployment.obj)],
        },
        "spec": spec,
    }


def _first_scale(state: State) -> int:
    deployment, total = state.deployment, sum(each.replicas for each in state.sets)
    surge, _ = bounds(deployment)
    return max(min(deployment.replicas + surge - total, deployment.replicas), 0)


def _annotations(deployment: Deployment) -> dict[str, str]:
    surge, _ = bounds(deployment)
    kept = {key: value for key, value in deployment.annotations.items() if key not in _NOT_COPIED}
    return {**kept, DESIRED: str(deployment.replicas), MAXIMUM: str(deployment.replicas + surge)}


def _next_revision(sets: Iterable[ReplicaSet]) -> int:
    return max((each.revision for each in sets), default=0) + 1


def _revise(deployment: Deployment, new: ReplicaSet, old: list[ReplicaSet]) -> list[Action]:
    """The new set's annotations and the Deployment's revision, where they are behind (as after an undo)."""
    # The size annotations are written with the scaling itself.
    sizes = {key: new.annotations[key] for key in (DESIRED, MAXIMUM) if key in new.annotations}
    annotations = {**new.annotations, **_annotations(deployment), **sizes}
    if new.revision < _next_revision(old):
        if new.revision:
            history = [part for part in new.annotations.get(HISTORY, "").split(",") if part]
            annotations[HISTORY] = ",".join([*history, str(new.revision)])
        annotations[REVISION] = str(_next_revision(old))
    actions: list[Action] = []
    if annotations != new.annotations or new.min_ready_seconds != deployment.min_ready_seconds:
        metadata = {**new.obj["metadata"], "annotations": annotations}
        spec = {**new.obj["spec"], "minReadySeconds": deployment.min_ready_seconds}
        actions.append(Update(REPLICA_SETS, {**new.obj, "metadata": metadata, "spec": spec}))
    return [*actions, *_note_revision(deployment, annotations[REVISION])]


def _note_revision(deployment: Deployment, revision: str) -> list[Action]:
    if deployment.annotations.get(REVISION) == revision:
        return []
    return [UpdateStatus(DEPLOYMENTS, _revised(deployment, revision))]


def _revised(deployment: Deployment, revision: str) -> Object:
    """To be written as status: an update of the whole would count as a new generation."""
    annotations = {**deployment.annotations, REVISION: revision}
    return {**deployment.obj, "metadata": {**deployment.obj["metadata"], "annotations": annotations}}


def _roll(state: State, new: ReplicaSet | None, old: list[ReplicaSet]) -> list[Action]:
    """The next step of the rollout."""
    uids = {each.uid for each in old}
    running = (pod for pod in state.pods if not pod.is_finished)
    is_old_running = any((pod.controller or {}).get("uid") in uids for pod in running)
    scales = next_scales(state.deployment, new, old, old_pods_running=is_old_running)
    return [action for each, count in scales for action in _scaled(state.deployment, each, count)]


def _latest(state: State, new: ReplicaSet | None) -> list[ReplicaSet]:
    """Whom a paused Deployment that had no replicas gives them to."""
    if new is not None:
        return [new]
    return sorted(state.sets, key=lambda each: each.revision)[-1:]


def _resize(deployment: Deployment, sized: list[ReplicaSet]) -> list[Action]:
    """`spec.replicas` changed: one set takes it all, several share it (a rollout is under way)."""
    if len(sized) == 1:
        targets = {sized[0].name: deployment.replicas}
    elif deployment.strategy == "RollingUpdate":
        targets = {each.name: count for each, count in proportional(deployment, sized)}
    else:
        targets = {}
    return [action for each in sized for action in _scaled(deployment, each, targets.get(each.name, each.replicas))]


def _scaled(deployment: Deployment, each: ReplicaSet, replicas: int) -> list[Action]:
    annotations = {**each.annotations, **{k: _annotations(deployment)[k] for k in (DESIRED, MAXIMUM)}}
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
    """Deletes the oldest empty sets beyond the history limit."""
    empty = [each for each in old if not each.replicas and not each.current_replicas and not each.deleted]
    settled = [each for each in empty if each.observed_generation >= each.generation]
    surplus = len(settled) - deployment.revision_history_limit
    oldest = sorted(settled, key=lambda each: (each.revision, each.created))[: max(surplus, 0)]
    return [Delete(REPLICA_SETS, key_of(each.obj), uid=each.uid) for each in oldest]


def _status_update(state: State, new: ReplicaSet | None, now: str, *, is_rolling: bool) -> list[Action]:
    status = status_of(state.deployment, new, state.sets, now, is_rolling=is_rolling)
    if status == (state.deployment.obj.get("status") or {}):
        return []
    return [UpdateStatus(DEPLOYMENTS, with_status(state.deployment.obj, status))]


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
    sets = tuple(
        ReplicaSet(each)
        for each in cache.owned_by(REPLICA_SETS, deployment.uid)
        if (ReplicaSet(each).controller or {}).get("uid") == deployment.uid
    )
    is_recreating = deployment.strategy == "Recreate"
    pods = tuple(Pod(pod) for each in sets if is_recreating for pod in cache.owned_by(PODS, each.uid))
    matches = selectors.stored_selector(deployment.selector).matches
    orphans = tuple(
        each
        for each in map(ReplicaSet, cache.list(REPLICA_SETS, key.namespace))
        if each.controller is None and not each.deleted and matches(each.labels)
    )
    namesake = cache.get(REPLICA_SETS, key.namespace, next_name(deployment))
    return State(deployment, sets, pods, orphans, ReplicaSet(namesake) if namesake is not None else None)


def _adopting(cache: Cache, change: Change) -> Iterable[Key]:
    """Deployments that could adopt a ReplicaSet that nobody controls."""
    if change.resource != REPLICA_SETS or change.after is None or View(change.after).controller is not None:
        return
    orphan = View(change.after)
    for found in cache.list(DEPLOYMENTS, orphan.namespace):
        deployment = Deployment(found)
        selector = selectors.stored_selector(deployment.selector)
        if selects_own(selector, deployment.template) and selector.matches(orphan.labels):
            yield key_of(found)


DEPLOYMENT = Controller(
    "deployment",
    wakes={DEPLOYMENTS: itself, REPLICA_SETS: controller_owner("Deployment")},
    observe=observe,
    plan=plan,
    related=_adopting,
)
