"""ResourceQuotas kept exactly: what is being written counts as if it were there, until the cache has it.

Upstream charges a quota's status before each write and lets the controller repair it; here one process sees all writes,
so what is used is what the cache holds and what is on the way to it. Checking and reserving are one step of the loop,
so no two requests can take the last of a quota.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from machinery.api.errors import forbidden
from machinery.api.pod_resources import Amounts, minus, plus
from machinery.api.quantity import ZERO, of
from machinery.api.quota import ResourceQuota, covers, names_about, share, text, total, unsaid
from machinery.api.resource import Object, Resource
from machinery.api.resources import PODS, RESOURCE_QUOTAS
from machinery.client.cache import Cache, Change
from machinery.structs import Struct, field


class _Sum(Struct):
    """What objects of one resource use of one quota: those that are there, and those that are on their way."""

    quota: ResourceQuota
    there: Amounts
    coming: Amounts = field(default_factory=dict)

    @property
    def used(self) -> Amounts:
        return plus(self.there, self.coming)


class _Reservation(Struct, eq=False):
    """One write. It can only succeed on what it was decided on, so any change of the object ends it."""

    new: Object
    old: Object | None
    asked: dict[str, Amounts] = field(default_factory=dict)
    """By the quota's uid."""


class Quotas(Struct):
    """Holds the quotas of all namespaces against what is written through one API server."""

    cache: Cache
    _sums: dict[Resource, dict[str, _Sum]] = field(default_factory=dict)
    _writes: dict[tuple[Resource, str, str], list[_Reservation]] = field(default_factory=dict)

    @contextmanager
    def hold(self, row: Resource, new: Object, old: Object | None = None) -> Iterator[None]:
        """Within, what `new` uses is reserved; raises Forbidden where a quota has not so much left."""
        namespace, name = new["metadata"].get("namespace") or "", new["metadata"]["name"]
        quotas = self._about(row, namespace, new) if namespace else ()
        if not quotas:
            yield
            return
        reservation = _Reservation(new, old)
        sums = [self._sum(quota, row) for quota in quotas]
        for each in sums:
            reservation.asked[each.quota.uid] = _checked(each, row, reservation)
        for each in sums:
            each.coming = plus(each.coming, reservation.asked[each.quota.uid])
        writes = self._writes.setdefault((row, namespace, name), [])
        writes.append(reservation)
        try:
            yield
        finally:
            if reservation in writes:
                writes.remove(reservation)
                self._end(row, reservation)
            if not writes:
                self._writes.pop((row, namespace, name), None)

    def _end(self, row: Resource, reservation: _Reservation) -> None:
        for uid, asked in reservation.asked.items():
            found = self._sums[row].get(uid)
            if found is not None:
                found.coming = minus(found.coming, asked)

    def _about(self, row: Resource, namespace: str, obj: Object) -> Sequence[ResourceQuota]:
        """The quotas that the object uses something of, by name."""
        quotas = map(ResourceQuota, self.cache.list(RESOURCE_QUOTAS, namespace))
        found = [quota for quota in quotas if names_about(quota, row) and covers(quota, row, obj)]
        return sorted(found, key=lambda quota: quota.name)

    def _sum(self, quota: ResourceQuota, row: Resource) -> _Sum:
        """Made at the first need, then followed; anew where the quota says something else."""
        for each in (row, RESOURCE_QUOTAS):
            if each not in self._sums:
                self._sums[each] = {}
                self.cache.subscribe(each, self._follow)
        found = self._sums[row].get(quota.uid)
        if found is None or found.quota.obj["spec"] != quota.obj["spec"]:
            there = total(quota, row, self.cache.list(row, quota.namespace))
            found = self._sums[row][quota.uid] = _Sum(quota, there)
            for (resource, namespace, _), writes in self._writes.items():
                for write in writes if (resource, namespace) == (row, quota.namespace) else ():
                    write.asked[quota.uid] = _asked(quota, row, write)
                    found.coming = plus(found.coming, write.asked[quota.uid])
        return found

    def _follow(self, change: Change) -> None:
        row, metadata = change.resource, change.object["metadata"]
        namespace = metadata.get("namespace", "")
        for each in self._sums[row].values():
            if each.quota.namespace != namespace:
                continue
            if change.before is not None:
                each.there = minus(each.there, share(each.quota, row, change.before))
            if change.after is not None:
                each.there = plus(each.there, share(each.quota, row, change.after))
        writes = self._writes.get((row, namespace, metadata["name"]), [])
        while writes:
            self._end(row, writes.pop())
        if row == RESOURCE_QUOTAS and change.after is None:
            for sums in self._sums.values():
                sums.pop(metadata["uid"], None)


def _asked(quota: ResourceQuota, row: Resource, write: _Reservation) -> Amounts:
    """What of the quota the write uses more than what it replaces."""
    asked = share(quota, row, write.new)
    if write.old is not None:
        asked = minus(asked, share(quota, row, write.old))
    return {name: amount for name, amount in asked.items() if amount > ZERO}


def _checked(found: _Sum, row: Resource, write: _Reservation) -> Amounts:
    """What the write asks of the quota; raises Forbidden where that is not left."""
    quota, refused = found.quota, write.new["metadata"]["name"]
    if row == PODS and write.old is None and (missing := unsaid(quota, write.new)):
        raise forbidden(row.plural, refused, f"failed quota: {quota.name}: must specify {missing}", row.group)
    asked = _asked(quota, row, write)
    if not asked:
        return asked
    used, hard = found.used, {name: of(quota.hard[name]) for name in asked}
    over = [name for name in asked if used[name] + asked[name] > hard[name]]
    if over:
        shown = [text({name: each[name] for name in over}) for each in (asked, used, hard)]
        why = f"exceeded quota: {quota.name}, requested: {shown[0]}, used: {shown[1]}, limited: {shown[2]}"
        raise forbidden(row.plural, refused, why, row.group)
    return asked
