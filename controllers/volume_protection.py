"""Claims and volumes in use are not taken away: a finalizer holds them until the last user is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from controllers.plan import Controller, Key, Plan, Update, itself
from machinery.api.resource import Object, Resource
from machinery.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from machinery.api.views import Pod, View
from machinery.api.volumes import PersistentVolume, claim_names
from machinery.client.cache import Cache
from machinery.structs import Struct


class State(Struct, frozen=True):
    obj: View
    is_used: bool


def plan_of(resource: Resource, finalizer: str) -> Callable[[State, datetime], Plan]:
    """The plan that lets the finalizer stand on what lives or is used, and go with the rest."""

    def plan(state: State, now: datetime) -> Plan:
        there = state.obj.finalizers
        if not state.obj.deleted:
            wanted = there if finalizer in there else [*there, finalizer]
        else:
            wanted = there if state.is_used else [each for each in there if each != finalizer]
        if wanted == there:
            return Plan()
        metadata = {**state.obj.obj["metadata"], "finalizers": wanted}
        return Plan([Update(resource, {**state.obj.obj, "metadata": metadata})])

    return plan


def _observe_claim(cache: Cache, key: Key) -> State | None:
    found = cache.get(PERSISTENT_VOLUME_CLAIMS, key.namespace, key.name)
    if found is None:
        return None
    claim = View(found)
    return State(claim, bool(claim.deleted) and _is_mounted(cache, key))


def _is_mounted(cache: Cache, key: Key) -> bool:
    """Whether a pod that has a node names it; one without can't start any more, as the claim is being deleted."""
    pods = (Pod(obj) for obj in cache.list(PODS, key.namespace))
    return any(pod.node_name and key.name in claim_names(pod) for pod in pods)


def _of_pod(obj: Object) -> Iterable[Key]:
    pod = Pod(obj)
    return [Key(pod.namespace, name) for name in claim_names(pod)]


def _observe_volume(cache: Cache, key: Key) -> State | None:
    found = cache.get(PERSISTENT_VOLUMES, "", key.name)
    if found is None:
        return None
    volume = PersistentVolume(found)
    return State(volume, volume.phase == "Bound")


CLAIM_PROTECTION = Controller(
    "persistentvolumeclaim-protection",
    wakes={PERSISTENT_VOLUME_CLAIMS: itself, PODS: _of_pod},
    observe=_observe_claim,
    plan=plan_of(PERSISTENT_VOLUME_CLAIMS, "kubernetes.io/pvc-protection"),
    identity="pvc-protection-controller",
)
VOLUME_PROTECTION = Controller(
    "persistentvolume-protection",
    wakes={PERSISTENT_VOLUMES: itself},
    observe=_observe_volume,
    plan=plan_of(PERSISTENT_VOLUMES, "kubernetes.io/pv-protection"),
    identity="pv-protection-controller",
)
