"""ResourceQuotas kept exactly: what is being written counts as if it were there, until the cache has it.

Upstream charges a quota's status before each write and lets the controller repair it; here one process sees all writes,
so what is used is what the cache holds and what is on the way to it. Checking and reserving are one step of the loop,
so no two requests can take the last of a quota.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from machinery.api.errors import Forbidden
from machinery.api.pod_resources import Amounts, largest, minus, plus
from machinery.api.quantity import ZERO, of
from machinery.api.quota import ResourceQuota, covers, names_about, share, text, total, unsaid
from machinery.api.resource import Object, Resource
from machinery.api.resources import PODS, RESOURCE_QUOTAS
from machinery.client.cache import Cache, Change


@dataclass
class _Sum:
    """What all objects of one resource use of one quota, followed change by change."""

    quota: ResourceQuota
    used: Amounts


@dataclass(eq=False)
class _Reservation:
    resource: Resource
    namespace: str
    name: str
    obj: Object
    _shares: dict[str, Amounts] = field(default_factory=dict)

    def share(self, quota: ResourceQuota) -> Amounts:
        """What it uses of the quota; computed once, as crowds are checked against each other."""
        key = f"{quota.uid} {quota.resource_version}"
        found = self._shares.get(key)
        if found is None:
            found = self._shares[key] = share(quota, self.resource, self.obj)
        return found


@dataclass
class Quotas:
    """Holds the quotas of all namespaces against what is written through one API server."""

    cache: Cache
    _sums: dict[Resource, dict[str, _Sum]] = field(default_factory=dict)
    _reserved: dict[tuple[Resource, str], list[_Reservation]] = field(default_factory=dict)

    @contextmanager
    def hold(self, row: Resource, new: Object, old: Object | None = None) -> Iterator[None]:
        """Within, what `new` uses is reserved; raises Forbidden where a quota has not so much left."""
        namespace = new["metadata"].get("namespace") or ""
        quotas = self._about(row, namespace, new) if namespace else ()
        if not quotas:
            yield
            return
        for quota in quotas:
            self._check(quota, row, new, old)
        place = self._reserved.setdefault((row, namespace), [])
        reservation = _Reservation(row, namespace, new["metadata"]["name"], new)
        place.append(reservation)
        try:
            yield
        finally:
            place.remove(reservation)

    def _about(self, row: Resource, namespace: str, obj: Object) -> Sequence[ResourceQuota]:
        """The quotas that the object uses something of, by name."""
        quotas = map(ResourceQuota, self.cache.list(RESOURCE_QUOTAS, namespace))
        found = [quota for quota in quotas if names_about(quota, row) and covers(quota, row, obj)]
        return sorted(found, key=lambda quota: quota.name)

    def _check(self, quota: ResourceQuota, row: Resource, new: Object, old: Object | None) -> None:
        if row == PODS and old is None and (missing := unsaid(quota, new)):
            raise _forbidden(row, new, f"failed quota: {quota.name}: must specify {missing}")
        asked = share(quota, row, new)
        if old is not None:
            asked = minus(asked, share(quota, row, old))
        asked = {name: amount for name, amount in asked.items() if amount > ZERO}
        if not asked:
            return
        used, hard = self._used(quota, row), {name: of(quota.hard[name]) for name in asked}
        over = [name for name in asked if used[name] + asked[name] > hard[name]]
        if over:
            shown = [text({name: each[name] for name in over}) for each in (asked, used, hard)]
            why = f"exceeded quota: {quota.name}, requested: {shown[0]}, used: {shown[1]}, limited: {shown[2]}"
            raise _forbidden(row, new, why)

    def _used(self, quota: ResourceQuota, row: Resource) -> Amounts:
        """What is there, and what of that which is on its way is not there yet."""
        used = self._there(quota, row)
        for each in self._reserved.get((row, quota.namespace), ()):
            there = self.cache.get(row, each.namespace, each.name)
            already = share(quota, row, there) if there is not None else {}
            used = plus(used, minus(largest(each.share(quota), already), already))
        return used

    def _there(self, quota: ResourceQuota, row: Resource) -> Amounts:
        sums = self._sums.get(row)
        if sums is None:
            sums = self._sums[row] = {}
            self.cache.subscribe(row, self._follow)
            if RESOURCE_QUOTAS not in self._sums:
                self._sums[RESOURCE_QUOTAS] = {}
                self.cache.subscribe(RESOURCE_QUOTAS, self._follow)
        found = sums.get(quota.uid)
        if found is None or found.quota.obj["spec"] != quota.obj["spec"]:
            objects = self.cache.list(row, quota.namespace)
            found = sums[quota.uid] = _Sum(quota, total(quota, row, objects))
        return found.used

    def _follow(self, change: Change) -> None:
        namespace = change.object["metadata"].get("namespace", "")
        for each in self._sums[change.resource].values():
            if each.quota.namespace != namespace:
                continue
            if change.before is not None:
                each.used = minus(each.used, share(each.quota, change.resource, change.before))
            if change.after is not None:
                each.used = plus(each.used, share(each.quota, change.resource, change.after))
        if change.resource == RESOURCE_QUOTAS and change.after is None:
            for sums in self._sums.values():
                sums.pop(change.object["metadata"]["uid"], None)


def _forbidden(row: Resource, obj: Object, why: str) -> Forbidden:
    name = obj["metadata"]["name"]
    return Forbidden(f'{row.qualified} "{name}" is forbidden: {why}', kind=row.plural, group=row.group, name=name)
