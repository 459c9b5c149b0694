"""Claims that were let grow: nobody here can make a volume larger, so the claim says for whom it waits."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from controllers.plan import Controller, Key, Plan, Record, key_of
from machinery.api.quantity import of
from machinery.api.resource import Object
from machinery.api.resources import PERSISTENT_VOLUME_CLAIMS
from machinery.api.volumes import PersistentVolumeClaim
from machinery.client.cache import Cache
from machinery.structs import Struct

_WAITING = "waiting for an external controller to expand this PVC"


class State(Struct, frozen=True):
    claim: PersistentVolumeClaim


def plan(state: State, now: datetime) -> Plan:
    return Plan([Record(state.claim.obj, "Normal", "ExternalExpanding", _WAITING)] if _wants_more(state.claim) else ())


def _wants_more(claim: PersistentVolumeClaim) -> bool:
    has = ((claim.obj.get("status") or {}).get("capacity") or {}).get("storage")
    return claim.phase == "Bound" and has is not None and claim.requested > of(has).integer


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(PERSISTENT_VOLUME_CLAIMS, key.namespace, key.name)
    return State(PersistentVolumeClaim(found)) if found is not None else None


def _growing(obj: Object) -> Iterable[Key]:
    if _wants_more(PersistentVolumeClaim(obj)):
        yield key_of(obj)


VOLUME_EXPANSION = Controller(
    "expand",
    wakes={PERSISTENT_VOLUME_CLAIMS: _growing},
    observe=observe,
    plan=plan,
    identity="expand-controller",
    component="volume_expand",
)
