"""Programs of the machine whose ports a Service takes: nobody would find out by himself why they get no packets.

The program has bound its port and is none the wiser, as packets are led away before they reach it. An event of the
Service says so. What `shadows` decides is pure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from kubelet.following import follow
from kubelet.proxy.services import ServicePort, service_ports
from machinery.api.resource import Object
from machinery.api.resources import SERVICES
from machinery.client.cache import Cache, Change
from machinery.client.clock import Clock
from machinery.contain import contain
from machinery.linux import netlink
from machinery.linux.listeners import Listener, holder, listeners
from machinery.structs import Struct

_LOOKS_EVERY = 30.0
Tell = Callable[[Object, str, str, str], None]


class Shadow(Struct, frozen=True):
    """`what` is the port as the Service has it."""

    namespace: str
    service: str
    what: str
    listener: Listener

    def said(self, program: str) -> str:
        where = "all addresses" if self.listener.is_everywhere else self.listener.address
        who = program or "a program"
        return (
            f"{self.what} is also listened on by {who} of this machine, at {where}: "
            "connections reach the Service, not the program"
        )


def shadows(
    ports: Iterable[ServicePort], found: Collection[Listener], addresses: Collection[str]
) -> Iterator[Shadow]:  # fmt: skip
    """The listeners that the ports keep from their packets; `addresses` are the machine's own."""
    for port in ports:
        for each in found:
            if each.protocol != port.protocol:
                continue
            if port.node_port == each.port:
                what = f"node port {port.node_port}/{port.protocol}"
                yield Shadow(port.namespace, port.service, what, each)
            for address in port.addresses if each.port == port.port else ():
                if each.address == address or (each.is_everywhere and address in addresses):
                    what = f"port {port.port}/{port.protocol} of {address}"
                    yield Shadow(port.namespace, port.service, what, each)


def claimed(services: Iterable[Object]) -> list[ServicePort]:
    """The ports that are the machine's and not a Service's own address alone."""
    return [port for port in service_ports(services, (), "") if port.node_port or port.addresses]


class ShadowWatch:
    """Tells each shadow once, as long as it lasts."""

    def __init__(self, cache: Cache, clock: Clock, tell: Tell) -> None:
        self._cache, self._clock, self._tell = cache, clock, tell
        self._told: set[Shadow] = set()
        self._claimed: dict[tuple[str, str], list[ServicePort]] = {}

    async def run(self) -> None:
        """Looks when Services change and every half a minute, where one has a port of the machine."""
        async with asyncio.TaskGroup() as group:
            group.create_task(follow("shadows", self._cache, (SERVICES,), self._clock, self._look, self._note))
            while True:
                await self._clock.sleep(_LOOKS_EVERY)
                with contain("shadows"):
                    await self._look()

    def _note(self, change: Change) -> bool:
        """Most Services have no port of the machine."""
        metadata = change.object["metadata"]
        key = metadata["namespace"], metadata["name"]
        ports = claimed([change.after]) if change.after is not None else []
        if not ports:
            return self._claimed.pop(key, None) is not None
        self._claimed[key] = ports
        return True

    async def _look(self) -> None:
        ports = [port for claims in self._claimed.values() for port in claims]
        found = await asyncio.to_thread(present, ports) if ports else {}
        for shadow in found.keys() - self._told:
            service = self._cache.get(SERVICES, shadow.namespace, shadow.service)
            if service is not None:
                self._tell(service, "Warning", "PortShadowed", shadow.said(found[shadow]))
        self._told = set(found)


def present(ports: Collection[ServicePort]) -> dict[Shadow, str]:
    """The shadows that there are now, each with its program. Blocks."""
    return {each: holder(each.listener.inode) for each in shadows(ports, listeners(), machine_addresses())}


def machine_addresses() -> set[str]:
    """This machine's own addresses. Blocks."""

    def read(route: Any) -> set[str]:
        return {dict(entry["attrs"]).get("IFA_ADDRESS", "") for entry in route.get_addr()}

    return netlink.here(read)
