"""The health checks of load balancers: on `healthCheckNodePort` a Service with traffic policy Local says who is here.

A load balancer before several machines asks each whether it has an endpoint; kube-proxy's answer, word for word.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from kubelet.following import follow
from kubelet.proxy.services import local_endpoints
from machinery.api.resource import Object
from machinery.api.resources import ENDPOINT_SLICES, SERVICES
from machinery.api.views import SERVICE_NAME
from machinery.client.cache import Cache
from machinery.client.clock import Clock
from machinery.contain import contain

LOG = logging.getLogger("health")
_PATIENCE = 10.0
Tell = Callable[[Object, str, str, str], None]


@dataclass(frozen=True)
class Check:
    """What is asked for on a port of the node."""

    namespace: str
    name: str
    endpoints: int

    def answer(self) -> bytes:
        """The whole HTTP response."""
        service = f'{{\n\t\t"namespace": {json.dumps(self.namespace)},\n\t\t"name": {json.dumps(self.name)}\n\t}}'
        body = f'{{\n\t"service": {service},\n\t"localEndpoints": {self.endpoints},\n\t"serviceProxyHealthy": true\n}}'
        status = "200 OK" if self.endpoints else "503 Service Unavailable"
        lines = (
            f"HTTP/1.1 {status}",
            "Content-Type: application/json",
            "X-Content-Type-Options: nosniff",
            f"X-Load-Balancing-Endpoint-Weight: {self.endpoints}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def checks(services: Iterable[Object], slices: Callable[[Object], list[Object]], node: str) -> dict[int, Check]:
    """Port -> its check, for the Services that have one."""
    found = {}
    for service in services:
        metadata, spec = service["metadata"], service.get("spec") or {}
        port = spec.get("healthCheckNodePort")
        if port and spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
            count = local_endpoints(service, slices(service), node)
            found[port] = Check(metadata["namespace"], metadata["name"], count)
    return found


class HealthChecks:
    """A listener a port; what it answers is looked up when it is asked."""

    def __init__(self, cache: Cache, node: str, clock: Clock, tell: Tell, address: str = "") -> None:
        self._cache, self._node, self._clock, self._tell = cache, node, clock, tell
        self._address = address or None
        self._checks: Mapping[int, Check] = {}
        self._servers: dict[int, asyncio.Server] = {}

    async def run(self) -> None:
        """Follows until cancelled."""
        async with AsyncExitStack() as stack:
            stack.callback(self._close, set())
            await follow("health", self._cache, (SERVICES, ENDPOINT_SLICES), self._clock, self._sync)

    async def _sync(self) -> None:
        self._checks = checks(self._cache.list(SERVICES), self._slices, self._node)
        self._close(set(self._checks))
        for port in self._checks.keys() - self._servers.keys():
            await self._open(port, self._checks[port])

    def _slices(self, service: Object) -> list[Object]:
        metadata = service["metadata"]
        return list(self._cache.labelled(ENDPOINT_SLICES, metadata["namespace"], SERVICE_NAME, metadata["name"]))

    async def _open(self, port: int, check: Check) -> None:
        try:
            self._servers[port] = await asyncio.start_server(partial(self._asked, port), self._address, port)
        except OSError as error:
            service = self._cache.get(SERVICES, check.namespace, check.name)
            if service is not None:
                name = f"{check.namespace}/{check.name}"
                said = f'node {self._node} failed to start healthcheck "{name}" on port {port}: {error}'
                self._tell(service, "Warning", "FailedToStartServiceHealthcheck", said)

    def _close(self, kept: set[int]) -> None:
        for port in self._servers.keys() - kept:
            self._servers.pop(port).close()

    async def _asked(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contain("health check", about=str(port)):
            try:
                async with asyncio.timeout(_PATIENCE):
                    await reader.readuntil(b"\r\n\r\n")
                    if port in self._checks:
                        writer.write(self._checks[port].answer())
                        await writer.drain()
            except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as error:
                LOG.debug("port %d: %r", port, error)
        writer.close()
