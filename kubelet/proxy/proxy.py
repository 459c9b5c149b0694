"""The service proxy: follows Services and EndpointSlices, and keeps its nftables table as they ask.

Many changes at once become one transaction. Made anew at each start, so what another process left does not matter.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from kubelet.following import follow
from kubelet.nftables import Ruleset, changed
from kubelet.proxy import conntrack, route
from kubelet.proxy.ruleset import created, ruleset
from kubelet.proxy.services import ServicePort, service_ports
from machinery.api.resources import ENDPOINT_SLICES, SERVICES
from machinery.client.cache import Cache
from machinery.client.clock import Clock
from machinery.linux import nft

LOG = logging.getLogger("proxy")


@dataclass(frozen=True)
class ProxyConfig:
    """`table` is the instance's own; `pod_cidr` tells which endpoints are on this machine's pod network."""

    table: str
    pod_cidr: str
    service_cidr: str


class Proxy:
    def __init__(self, config: ProxyConfig, node: str, cache: Cache, clock: Clock) -> None:
        self._config = config
        self._node = node
        self._cache = cache
        self._clock = clock
        self._applied: Ruleset | None = None
        self._ports: list[ServicePort] = []

    async def run(self) -> None:
        """Follows until cancelled; the table stays, so that connections outlive the process."""
        await follow("proxy", self._cache, (SERVICES, ENDPOINT_SLICES), self._clock, self._sync)

    async def _sync(self) -> None:
        # A transaction that fails leaves nothing, so the next makes all of it.
        before, self._applied = self._applied, None
        ports = service_ports(self._cache.list(SERVICES), self._cache.list(ENDPOINT_SLICES), self._node)
        table, pod_cidr = self._config.table, self._config.pod_cidr
        after = ruleset(ports)
        if before is None:
            await asyncio.to_thread(route.lead, self._config.service_cidr)
            commands = created(table, after, pod_cidr)
        else:
            commands = changed(table, before, after)
        if commands:
            await asyncio.to_thread(nft.run, commands)
        self._applied = after
        gone = conntrack.stale(self._ports, ports)
        self._ports = ports
        if gone:
            await asyncio.to_thread(conntrack.forget, gone)


def tear_down(config: ProxyConfig) -> None:
    """Takes table and route away; nothing where there is none. Blocks."""
    route.take_away(config.service_cidr)
    try:
        nft.run(f"delete table ip {config.table}\n")
    except nft.NftError:
        LOG.debug("there is no table %s", config.table)
