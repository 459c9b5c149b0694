"""Which ports of this machine its programs have, for the Services that would take them: looked at when one asks."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping

from controllers.service_port_claims import Port
from machinery.client.clock import Clock
from machinery.contain import contain
from machinery.linux.listeners import Listener, holder, listeners

_FRESH = 5.0
_TOGETHER = 0.05
"""Seconds that are waited for others who ask."""


class HostListeners:
    """`taken` answers from what `run` has found a moment ago, as the kernel tells of no change."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked: set[Port] = set()
        self._is_asked = asyncio.Event()
        self._looked: dict[Port, float] = {}
        self._found: dict[Port, list[tuple[Listener, str]]] = {}

    def taken(self, ports: Collection[Port], addresses: Collection[str]) -> Mapping[Port, str] | None:
        """Those that programs have at one of the addresses, each with its program; None until that was looked at."""
        now = self._clock.monotonic()
        if any(now - self._looked.get(port, float("-inf")) > _FRESH for port in ports):
            self._asked.update(ports)
            self._is_asked.set()
            return None
        return held((each for port in ports for each in self._found[port]), ports, addresses)

    async def run(self) -> None:
        """Looks when asked, until cancelled."""
        while True:
            await self._is_asked.wait()
            await self._clock.sleep(_TOGETHER)
            self._is_asked.clear()
            ports, self._asked = self._asked, set()
            with contain("listeners"):
                self._found |= await asyncio.to_thread(_present, ports)
                self._looked |= dict.fromkeys(ports, self._clock.monotonic())


def _present(ports: Collection[Port]) -> dict[Port, list[tuple[Listener, str]]]:
    """Who listens on each of the ports, with his program. Blocks."""
    found: dict[Port, list[tuple[Listener, str]]] = {port: [] for port in ports}
    for each in listeners():
        if _port(each) in found:
            found[_port(each)].append((each, holder(each.inode) or "a program of this machine"))
    return found


def held(found: Iterable[tuple[Listener, str]], ports: Collection[Port], addresses: Collection[str]) -> dict[Port, str]:
    """The ports that are listened on at one of the addresses, or at all."""
    return {
        _port(each): program
        for each, program in found
        if _port(each) in ports and (each.is_everywhere or each.address in addresses)
    }


def _port(each: Listener) -> Port:
    return Port(each.protocol.upper(), each.port)
