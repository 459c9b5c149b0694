"""The IPAddress of each Service's cluster address: how others see what is given (KEP-1880).

The addresses themselves are given by `registry/addresses.py`, which asks the Services alone; so an IPAddress is a
notice that is put up when its Service is there and taken down when it is gone, and one that was spoilt is made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address

from machinery.api.errors import AlreadyExists, Conflict, NotFound, StatusError
from machinery.api.resource import Object
from machinery.api.resources import IP_ADDRESSES, SERVICES
from machinery.client.cache import Cache, Change
from machinery.client.client import Client
from machinery.client.clock import Clock, SystemClock
from machinery.client.work_queue import WorkQueue
from machinery.contain import contain
from machinery.structs import Struct

FAMILY = "ipaddress.kubernetes.io/ip-family"
MANAGED_BY = "ipaddress.kubernetes.io/managed-by"
MANAGER = "ipallocator.k8s.io"

Name = tuple[str, str]


class Repair(Struct, frozen=True):
    """What to do about one address: take the notice down, put one up, or both."""

    delete: Object | None = None
    create: Object | None = None


def repair(address: str, services: Iterable[Name], there: Object | None) -> Repair:
    """`services` have the address; where two do, the one that is told of stays told of."""
    names = sorted(services)
    if not names:
        return Repair(delete=there if there is not None and _is_ours(there) else None)
    told = _parent(there) if there is not None else None
    wanted = notice(address, told if told in names else names[0])
    if there is None:
        return Repair(create=wanted)
    labels = there["metadata"].get("labels") or {}
    if told in names and wanted["metadata"]["labels"].items() <= labels.items():
        return Repair()
    return Repair(delete=there, create=wanted)


def notice(address: str, service: Name) -> Object:
    labels = {FAMILY: f"IPv{ip_address(address).version}", MANAGED_BY: MANAGER}
    parent = {"resource": "services", "namespace": service[0], "name": service[1]}
    return {
        "apiVersion": IP_ADDRESSES.api_version,
        "kind": IP_ADDRESSES.kind,
        "metadata": {"name": address, "labels": labels},
        "spec": {"parentRef": parent},
    }


def _is_ours(there: Object) -> bool:
    return (there["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER


def _parent(there: Object) -> Name | None:
    parent = (there.get("spec") or {}).get("parentRef") or {}
    if (parent.get("group") or "", parent.get("resource")) != ("", "services"):
        return None
    return parent.get("namespace") or "", parent.get("name") or ""


def cluster_addresses(service: Object | None) -> Iterator[str]:
    """In the form in which IPAddresses are named."""
    spec = (service or {}).get("spec") or {}
    for address in spec.get("clusterIPs") or [spec.get("clusterIP") or "None"]:
        with suppress(ValueError):
            yield str(ip_address(address))


class IpAddresses:
    """Keeps the notices right from `run` on."""

    def __init__(self, client: Client, cache: Cache, clock: Clock | None = None) -> None:
        self._client = client
        self._cache = cache
        self._services: dict[str, set[Name]] = {}
        self._queue: WorkQueue[str] = WorkQueue(clock or SystemClock())

    async def run(self) -> None:
        ends = [
            self._cache.subscribe(SERVICES, self._see_service),
            self._cache.subscribe(IP_ADDRESSES, lambda change: self._queue.add(change.object["metadata"]["name"])),
        ]
        try:
            while True:
                address = await self._queue.get()
                is_done = False
                with contain("address", about=address):
                    is_done = await self._repair(address)
                if is_done:
                    self._queue.forget(address)
                else:
                    self._queue.back_off(address)
                self._queue.done(address)
        finally:
            for end in ends:
                end()

    def _see_service(self, change: Change) -> None:
        name = change.object["metadata"]["namespace"], change.object["metadata"]["name"]
        before, after = set(cluster_addresses(change.before)), set(cluster_addresses(change.after))
        for address in before - after:
            self._services.get(address, set()).discard(name)
            if not self._services.get(address):
                self._services.pop(address, None)
        for address in after:
            self._services.setdefault(address, set()).add(name)
        for address in before ^ after:
            self._queue.add(address)

    async def _repair(self, address: str) -> bool:
        """Whether there is nothing left to do."""
        there = self._cache.get(IP_ADDRESSES, "", address)
        wanted = repair(address, self._services.get(address, ()), there)
        try:
            if wanted.delete is not None:
                uid = wanted.delete["metadata"]["uid"]
                with suppress(NotFound, Conflict):
                    await self._client.delete(IP_ADDRESSES, address, uid=uid)
            if wanted.create is not None:
                with suppress(AlreadyExists):
                    await self._client.create(IP_ADDRESSES, wanted.create)
        except StatusError:
            return False
        return True
