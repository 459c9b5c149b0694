"""The service proxy: follows Services and EndpointSlices, and keeps its nftables tables, one a family, as they ask.

Many changes at once become one transaction, which costs what has changed. Made anew at each start, so what another
process left does not matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kubelet.following import follow
from kubelet.nftables import Ruleset, changed
from kubelet.proxy import conntrack, route
from kubelet.proxy.composition import Composition, Key
from kubelet.proxy.ruleset import created, ruleset
from kubelet.proxy.services import ServicePort, service_ports
from machinery.api.resources import ENDPOINT_SLICES, SERVICES
from machinery.api.views import SERVICE_NAME
from machinery.client.cache import Cache, Change
from machinery.client.clock import Clock
from machinery.contain import contain
from machinery.ip_families import Family, families_of, family_of
from machinery.linux import nft
from machinery.structs import Struct

# A Service takes a tenth of a millisecond; nothing holds the loop for long.
_AT_ONCE = 20


class ProxyConfig(Struct, frozen=True):
    """`table` is the instance's own; `pod_cidrs` tell which endpoints are on this machine's pod network.

    Both have one range a family; Services are led in those families alone. `bridge` is the pods', empty for none.
    """

    table: str
    pod_cidrs: tuple[str, ...]
    service_cidrs: tuple[str, ...]
    bridge: str = ""


class Proxy:
    def __init__(self, config: ProxyConfig, node: str, cache: Cache, clock: Clock) -> None:
        self._config = config
        self._node = node
        self._cache = cache
        self._clock = clock
        self._compositions = {family: Composition() for family in families_of(config.service_cidrs)}
        self._ports: dict[Key, list[ServicePort]] = {}
        self._touched: set[Key] = set()
        self._is_made = False

    async def run(self) -> None:
        """Follows until cancelled; the table stays, so that connections outlive the process."""
        await follow("proxy", self._cache, (SERVICES, ENDPOINT_SLICES), self._clock, self._sync, self._note)

    def _note(self, change: Change) -> bool:
        for each in (change.before, change.after):
            if each is not None:
                metadata = each["metadata"]
                is_slice = change.resource == ENDPOINT_SLICES
                name = (metadata.get("labels") or {}).get(SERVICE_NAME) if is_slice else metadata["name"]
                if name:
                    self._touched.add(Key(metadata["namespace"], name))
        return bool(self._touched)

    async def _sync(self) -> None:
        touched, self._touched = self._touched, set()
        before = [port for key in touched for port in self._ports.get(key, ())]
        parts: dict[Family, dict[Key, Ruleset]] = {family: {} for family in self._compositions}
        for at, key in enumerate(sorted(touched)):
            if at % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            with contain("service", about=f"{key.namespace}/{key.name}"):
                ports = self._look(key)
                for family, own in parts.items():
                    own[key] = ruleset(port for port in ports if port.family is family)
                self._ports[key] = ports
        await asyncio.to_thread(self._bring, parts)
        gone = conntrack.stale(before, [port for key in touched for port in self._ports.get(key, ())])
        self._ports = {key: ports for key, ports in self._ports.items() if ports}
        if gone:
            await asyncio.to_thread(conntrack.forget, gone)

    def _look(self, key: Key) -> list[ServicePort]:
        service = self._cache.get(SERVICES, key.namespace, key.name)
        slices = self._cache.labelled(ENDPOINT_SLICES, key.namespace, SERVICE_NAME, key.name)
        return service_ports([service], slices, self._node) if service is not None else []

    def _bring(self, parts: Mapping[Family, Mapping[Key, Ruleset]]) -> None:
        """Brings the kernel's tables up to date in one transaction; those that failed are made anew. Blocks."""
        is_made, self._is_made = self._is_made, False
        if not is_made:
            route.lead(self._config.service_cidrs, self._config.bridge)
        commands = "".join(self._commands(family, own, is_made=is_made) for family, own in parts.items())
        if commands:
            nft.run(commands)
        self._is_made = True

    def _commands(self, family: Family, parts: Mapping[Key, Ruleset], *, is_made: bool) -> str:
        """What brings the family's table up to date."""
        config, composition = self._config, self._compositions[family]
        before, after = composition.replace(parts)
        if is_made:
            return changed(family.table(config.table), before, after)
        pods = next(each for each in config.pod_cidrs if family_of(each) is family)
        return created(config.table, composition.whole(), pods)


def tear_down(config: ProxyConfig) -> None:
    """Takes tables and routes away; nothing where there are none. Blocks."""
    route.take_away(config.service_cidrs)
    nft.remove_tables(config.table)
