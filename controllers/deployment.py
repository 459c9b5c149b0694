"""Deployments: a ReplicaSet for each template, scaled so that availability holds while one replaces another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from controllers.deployment_status import status_of
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
    with_status,
)
from controllers.rollout import DESIRED, MAXIMUM, bounds, next_scales, proportional
from controllers.template_hash import same_template, template_hash
from machinery.api.resource import Object
from machinery.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from machinery.api.timestamps import parse_time, rfc3339
from machinery.api.views import Deployment, Pod, ReplicaSet
from machinery.client.cache import Cache

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
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
    """The Deployment, the ReplicaSets that it controls, and the pods of those."""

    deployment: Deployment
    sets: tuple[ReplicaSet, ...]
    pods: tuple[Pod, ...]

    @property
    def new(self) -> ReplicaSet | None:
        """The oldest set of the current template."""
        fitting = [each for each in self.sets if same_template(each.template, self.deployment.template)]
        return min(fitting, key=lambda each: each.created, default=None)


def plan(state: State, now: datetime) -> Plan:
    deployment, new = state.deployment, state.new
    moment = rfc3339(now)
    if deployment.deleted:
        return Plan(_status_update(state, new, moment))
    if new is None and not deployment.paused:
        return Plan(_create(state, moment))
    old = [each for each in state.sets if new is None or each.uid != new.uid]
    actions: list[Action] = []
    if new is not None and not deployment.paused:
        actions += _revise(state, new, old, moment)
        if actions:
            return Plan(actions)
    actions += _scale(state, new, old)
    if not actions and new is not None and not deployment.paused:
        actions += _clean_up(deployment, new, old)
    # Status is told from what is, so on the pass after a change rather than with it.
    status = _status_update(state, new, moment)
    return Plan([*actions, *status], requeue_after=_look_again(state, now))


def _create(state: State, now: str) -> list[Action]:
    deployment = state.deployment
    made = new_replica_set(state)
    key = Key(deployment.namespace, made["metadata"]["name"])
    taken = next((each for each in state.sets if each.name == key.name), None)
    if taken is not None:
        # Another template hashes to the same name: count it, so that the next hash differs.
        status = {**(deployment.obj.get("status") or {}), "collisionCount": (deployment.collision_count or 0) + 1}
        return [UpdateStatus(DEPLOYMENTS, with_status(deployment.obj, status))]
    replicas = made["spec"]["replicas"]
    actions: list[Action] = [Create(REPLICA_SETS, made)]
    if replicas:
        said = f"Scaled up replica set {key.name} from 0 to {replicas}"
        actions.append(Record(deployment.obj, "Normal", "ScalingReplicaSet", said))
    return [*actions, *_note_revision(deployment, made["metadata"]["annotations"][REVISION])]


def new_replica_set(state: State) -> Object:
    """The ReplicaSet of the current template, with as many replicas as there is room for now."""
    deployment = state.deployment
    digest = template_hash(deployment.template, deployment.collision_count)
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
            "name": f"{deployment.name}-{digest}",
            "namespace": deployment.namespace,
            "labels": metadata["labels"],
            "annotations": {**_annotations(deployment), REVISION: str(_next_revision(state.sets))},
            "ownerReferences": [owner_reference(DEPLOYMENTS, deployment.obj)],
        },
        "spec": spec,
    }


def _first_scale(state: State) -> int:
    deployment, total = state.deployment, sum(each.replicas for each in state.sets)
    if deployment.strategy == "Recreate":
        running = any(not pod.is_finished for pod in state.pods)
        return 0 if total or running else deployment.replicas
    surge, _ = bounds(deployment)
    return max(min(deployment.replicas + surge - total, deployment.replicas), 0)


def _annotations(deployment: Deployment) -> dict[str, str]:
    surge, _ = bounds(deployment)
    kept = {key: value for key, value in deployment.annotations.items() if key not in _NOT_COPIED}
    return {**kept, DESIRED: str(deployment.replicas), MAXIMUM: str(deployment.replicas + surge)}


def _next_revision(sets: Iterable[ReplicaSet]) -> int:
    return max((each.revision for each in sets), default=0) + 1


def _revise(state: State, new: ReplicaSet, old: list[ReplicaSet], now: str) -> list[Action]:
    """The new set's annotations and the Deployment's revision, where they are behind (as after an undo)."""
    annotations = {**new.annotations, **{k: v for k, v in _annotations(state.deployment).items() if k != MAXIMUM}}
    annotations.setdefault(MAXIMUM, _annotations(state.deployment)[MAXIMUM])
    if new.revision < _next_revision(old):
        if new.revision:
            history = [part for part in new.annotations.get(HISTORY, "").split(",") if part]
            annotations[HISTORY] = ",".join([*history, str(new.revision)])
        annotations[REVISION] = str(_next_revision(old))
    # The size annotations are written with the scaling itself.
    annotations[DESIRED] = new.annotations.get(DESIRED, annotations[DESIRED])
    actions: list[Action] = []
    if annotations != new.annotations or new.min_ready_seconds != state.deployment.min_ready_seconds:
        metadata = {**new.obj["metadata"], "annotations": annotations}
        spec = {**new.obj["spec"], "minReadySeconds": state.deployment.min_ready_seconds}
        actions.append(Update(REPLICA_SETS, {**new.obj, "metadata": metadata, "spec": spec}))
    return [*actions, *_note_revision(state.deployment, annotations[REVISION])]


def _note_revision(deployment: Deployment, revision: str) -> list[Action]:
    if deployment.annotations.get(REVISION) == revision:
        return []
    metadata = {**deployment.obj["metadata"], "annotations": {**deployment.annotations, REVISION: revision}}
    return [Update(DEPLOYMENTS, {**deployment.obj, "metadata": metadata})]


def _scale(state: State, new: ReplicaSet | None, old: list[ReplicaSet]) -> list[Action]:
    deployment = state.deployment
    sized = [each for each in state.sets if each.replicas]
    if any(each.annotations.get(DESIRED) not in (None, str(deployment.replicas)) for each in sized):
        return _resize(deployment, new, sized)
    if deployment.paused or new is None:
        return []
    uids = {each.uid for each in old}
    running = any(not pod.is_finished and (pod.controller or {}).get("uid") in uids for pod in state.pods)
    scales = next_scales(deployment, new, old, old_pods_running=running)
    return [action for each, count in scales for action in _scaled(deployment, each, count)]


def _resize(deployment: Deployment, new: ReplicaSet | None, sized: list[ReplicaSet]) -> list[Action]:
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


def _clean_up(deployment: Deployment, new: ReplicaSet, old: list[ReplicaSet]) -> list[Action]:
    """Deletes the oldest empty sets beyond the history limit, once the rollout is complete."""
    if new.available_replicas < deployment.replicas or any(each.current_replicas for each in old):
        return []
    empty = [each for each in old if not each.replicas and not each.deleted]
    surplus = len(empty) - deployment.revision_history_limit
    oldest = sorted(empty, key=lambda each: each.revision)[: max(surplus, 0)]
    return [Delete(REPLICA_SETS, key_of(each.obj), uid=each.uid) for each in oldest]


def _status_update(state: State, new: ReplicaSet | None, now: str) -> list[Action]:
    status = status_of(state.deployment, new, state.sets, state.pods, now)
    if status == (state.deployment.obj.get("status") or {}):
        return []
    return [UpdateStatus(DEPLOYMENTS, with_status(state.deployment.obj, status))]


def _look_again(state: State, now: datetime) -> float | None:
    """When the progress deadline will have passed, in seconds."""
    progressing = state.deployment.condition("Progressing")
    if progressing is None or progressing.get("reason") in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded"):
        return None
    since = parse_time(progressing.get("lastUpdateTime") or rfc3339(now))
    return max(state.deployment.progress_deadline - (now - since).total_seconds(), 0.0) + 1.0


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
    pods = tuple(Pod(pod) for each in sets for pod in cache.owned_by(PODS, each.uid))
    return State(deployment, sets, pods)


DEPLOYMENT = Controller(
    "deployment",
    wakes={DEPLOYMENTS: itself, REPLICA_SETS: controller_owner("Deployment")},
    observe=observe,
    plan=plan,
)
