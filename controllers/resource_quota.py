"""Tells in each ResourceQuota's status what is used of it. What may be made is admission's to decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from controllers.plan import Controller, Key, Plan, itself, key_of, nobody, status_update
from machinery.api.pod_resources import Amounts
from machinery.api.quota import ResourceQuota, counted, names_about, subject, total
from machinery.api.resource import Object, Resource
from machinery.api.resources import RESOURCE_QUOTAS
from machinery.client.cache import Cache, Change
from machinery.structs import Struct, field

_GATHERS_FOR = 0.05


class State(Struct, frozen=True):
    """`objects` are those of the namespace, of each resource that the quota is about."""

    quota: ResourceQuota
    objects: Mapping[Resource, Sequence[Object]] = field(default_factory=dict)


def plan(state: State, now: datetime) -> Plan:
    quota = state.quota
    used: Amounts = {}
    for row, objects in state.objects.items():
        used |= total(quota, row, objects)
    said = {name: str(used[name]) for name in quota.hard if name in used}
    status = {"hard": quota.hard, **({"used": said} if said else {})}
    return Plan(status_update(RESOURCE_QUOTAS, quota.obj, status))


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(RESOURCE_QUOTAS, key.namespace, key.name)
    if found is None:
        return None
    quota = ResourceQuota(found)
    rows = {row for name in quota.hard if (row := subject(name)) is not None}
    return State(quota, {row: cache.list(row, key.namespace) for row in rows})


def _about(cache: Cache, change: Change) -> Iterable[Key]:
    namespace = change.object["metadata"].get("namespace", "")
    for quota in map(ResourceQuota, cache.list(RESOURCE_QUOTAS, namespace)):
        if names_about(quota, change.resource):
            yield key_of(quota.obj)


def _settles(change: Change) -> float:
    """A rollout changes many pods; who changes a quota waits for its status."""
    return 0.0 if change.resource == RESOURCE_QUOTAS else _GATHERS_FOR


RESOURCE_QUOTA = Controller(
    "resourcequota",
    wakes={**dict.fromkeys(counted(), nobody), RESOURCE_QUOTAS: itself},
    related=_about,
    settles=_settles,
    observe=observe,
    plan=plan,
)
