"""The binder of volumes and claims. One pass at a time: two could give one volume to two claims."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from controllers import volume_claim, volume_phase
from controllers.plan import Controller, Key, Plan, nobody
from machinery.api.resource import Object
from machinery.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from machinery.api.views import Pod
from machinery.api.volumes import PersistentVolume, PersistentVolumeClaim, claim_names, default_class
from machinery.client.cache import Cache, Change

State = volume_claim.State | volume_phase.State
_WAITED_FOR = 15.0


def plan(state: State, now: datetime) -> Plan:
    if isinstance(state, volume_claim.State):
        return volume_claim.plan(state, now)
    return volume_phase.plan(state, now)


def observe(cache: Cache, key: Key) -> State | None:
    if key.resource == PERSISTENT_VOLUMES:
        return _volume(cache, key)
    found = cache.get(PERSISTENT_VOLUME_CLAIMS, key.namespace, key.name)
    if found is None:
        return None
    claim = PersistentVolumeClaim(found)
    if claim.is_bind_completed or claim.volume_name:
        named = cache.get(PERSISTENT_VOLUMES, "", claim.volume_name) if claim.volume_name else None
        return volume_claim.State(claim, PersistentVolume(named) if named else None)
    default = default_class(cache.list(STORAGE_CLASSES)) if claim.named_class is None else None
    return volume_claim.State(
        claim,
        volumes=[PersistentVolume(obj) for obj in cache.list(PERSISTENT_VOLUMES)],
        storage_class=cache.get(STORAGE_CLASSES, "", claim.storage_class) if claim.storage_class else None,
        default_class=default["metadata"]["name"] if default else "",
        unscheduled=_unscheduled(cache, claim),
    )


def _volume(cache: Cache, key: Key) -> volume_phase.State | None:
    found = cache.get(PERSISTENT_VOLUMES, "", key.name)
    if found is None:
        return None
    volume = PersistentVolume(found)
    kept = volume.claim or {}
    claim = cache.get(PERSISTENT_VOLUME_CLAIMS, kept.get("namespace", ""), kept.get("name", "")) if kept else None
    return volume_phase.State(volume, PersistentVolumeClaim(claim) if claim else None)


def _unscheduled(cache: Cache, claim: PersistentVolumeClaim) -> list[str]:
    pods = (Pod(obj) for obj in cache.on_node(""))
    return sorted(pod.name for pod in pods if pod.namespace == claim.namespace and claim.name in claim_names(pod))


def _of_claim(obj: Object) -> Iterable[Key]:
    claim = PersistentVolumeClaim(obj)
    yield Key(claim.namespace, claim.name, PERSISTENT_VOLUME_CLAIMS)
    if claim.volume_name:
        yield Key("", claim.volume_name, PERSISTENT_VOLUMES)


def _of_volume(obj: Object) -> Iterable[Key]:
    volume = PersistentVolume(obj)
    yield Key("", volume.name, PERSISTENT_VOLUMES)
    if volume.claim:
        yield Key(volume.claim.get("namespace", ""), volume.claim.get("name", ""), PERSISTENT_VOLUME_CLAIMS)


def _of_pod(obj: Object) -> Iterable[Key]:
    """The claims of a pod that has no node yet: they wait with it."""
    pod = Pod(obj)
    if not pod.node_name:
        yield from (Key(pod.namespace, name, PERSISTENT_VOLUME_CLAIMS) for name in claim_names(pod))


def _settles(change: Change) -> float:
    """A pod that is long in getting its node is worth an event, as upstream's resync tells one; others are not."""
    return _WAITED_FOR if change.resource == PODS else 0.0


def _related(cache: Cache, change: Change) -> Iterable[Key]:
    """The claims that a new class or a free volume may serve; the volumes of a claim that is gone."""
    if change.resource == STORAGE_CLASSES:
        name = change.object["metadata"]["name"]
        yield from _unbound(cache, {name, None})
    elif change.resource == PODS:
        return
    elif change.resource == PERSISTENT_VOLUMES:
        volume = PersistentVolume(change.object)
        if change.after is None:
            yield from _naming(cache, volume.name)
        elif not volume.claim and volume.phase == "Available":
            yield from _unbound(cache, {volume.storage_class or None, volume.storage_class})
            yield from _naming(cache, volume.name)
    elif change.after is None:
        gone = PersistentVolumeClaim(change.object)
        for volume in map(PersistentVolume, cache.list(PERSISTENT_VOLUMES)):
            if volume.is_kept_for(gone):
                yield Key("", volume.name, PERSISTENT_VOLUMES)


def _unbound(cache: Cache, classes: set[str | None]) -> Iterable[Key]:
    for claim in map(PersistentVolumeClaim, cache.list(PERSISTENT_VOLUME_CLAIMS)):
        if not claim.volume_name and claim.named_class in classes:
            yield Key(claim.namespace, claim.name, PERSISTENT_VOLUME_CLAIMS)


def _naming(cache: Cache, volume: str) -> Iterable[Key]:
    for claim in map(PersistentVolumeClaim, cache.list(PERSISTENT_VOLUME_CLAIMS)):
        if claim.volume_name == volume:
            yield Key(claim.namespace, claim.name, PERSISTENT_VOLUME_CLAIMS)


VOLUME_BINDER = Controller(
    "persistentvolume-binder",
    wakes={
        PERSISTENT_VOLUME_CLAIMS: _of_claim,
        PERSISTENT_VOLUMES: _of_volume,
        STORAGE_CLASSES: nobody,
        PODS: _of_pod,
    },
    related=_related,
    settles=_settles,
    observe=observe,
    plan=plan,
    identity="persistent-volume-binder",
    component="persistentvolume-controller",
    concurrency=1,
)
