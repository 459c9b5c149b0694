"""What the ReplicaSets of a Deployment are called and remember: revision, history, sizes, and who set them up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controllers.plan import Action, Update, UpdateStatus, owner_reference
from controllers.rollout import DESIRED, MAXIMUM, bounds
from controllers.template_hash import template_hash
from machinery.api.resource import Object
from machinery.api.resources import DEPLOYMENTS, REPLICA_SETS
from machinery.api.views import Deployment, ReplicaSet

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
_LONGEST_HISTORY = 2000
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


def next_name(deployment: Deployment) -> str:
    """The name of the current template's set."""
    return f"{deployment.name}-{template_hash(deployment.template, deployment.collision_count)}"


def new_replica_set(deployment: Deployment, sets: Sequence[ReplicaSet]) -> Object:
    """The ReplicaSet of the current template, with as many replicas as there is room for beside `sets`."""
    name = next_name(deployment)
    digest = name.rpartition("-")[2]
    template = deployment.template
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {**(metadata.get("labels") or {}), "pod-template-hash": digest}
    selector = dict(deployment.selector)
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), "pod-template-hash": digest}
    spec: Object = {
        "replicas": _first_scale(deployment, sets),
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
            "annotations": {**_copied(deployment), **sizes(deployment), REVISION: str(_next_revision(sets))},
            "ownerReferences": [owner_reference(DEPLOYMENTS, deployment.obj)],
        },
        "spec": spec,
    }


def _first_scale(deployment: Deployment, sets: Iterable[ReplicaSet]) -> int:
    surge, _ = bounds(deployment)
    room = deployment.replicas + surge - sum(each.replicas for each in sets)
    return max(min(room, deployment.replicas), 0)


def sizes(deployment: Deployment) -> dict[str, str]:
    """The annotations by which a later change of the Deployment's size is seen, and shared out."""
    surge, _ = bounds(deployment)
    return {DESIRED: str(deployment.replicas), MAXIMUM: str(deployment.replicas + surge)}


def _copied(deployment: Deployment) -> dict[str, str]:
    return {key: value for key, value in deployment.annotations.items() if key not in _NOT_COPIED}


def _next_revision(sets: Iterable[ReplicaSet]) -> int:
    return max((each.revision for each in sets), default=0) + 1


def revise(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> list[Action]:
    """The new set's annotations and the Deployment's revision, where they are behind (as after an undo)."""
    # The size annotations are written with the scaling itself.
    annotations = {**new.annotations, **_copied(deployment)}
    revision = _next_revision(old)
    if new.revision < revision:
        if new.revision:
            annotations[HISTORY] = _history(new.annotations.get(HISTORY, ""), str(new.revision))
        annotations[REVISION] = str(revision)
    actions: list[Action] = []
    if annotations != new.annotations or new.min_ready_seconds != deployment.min_ready_seconds:
        metadata = {**new.obj["metadata"], "annotations": annotations}
        spec = {**new.obj["spec"], "minReadySeconds": deployment.min_ready_seconds}
        actions.append(Update(REPLICA_SETS, {**new.obj, "metadata": metadata, "spec": spec}))
    if deployment.annotations.get(REVISION) != annotations[REVISION]:
        actions.append(UpdateStatus(DEPLOYMENTS, revised(deployment, annotations[REVISION])))
    return actions


def _history(before: str, revision: str) -> str:
    """The revisions that a set has been, the oldest forgotten where they grow too many."""
    known = [*(part for part in before.split(",") if part), revision]
    while len(known) > 1 and len(",".join(known)) > _LONGEST_HISTORY:
        known.pop(0)
    return ",".join(known)


def revised(deployment: Deployment, revision: str) -> Object:
    """To be written as status: an update of the whole would count as a new generation."""
    annotations = {**deployment.annotations, REVISION: revision}
    return {**deployment.obj, "metadata": {**deployment.obj["metadata"], "annotations": annotations}}
