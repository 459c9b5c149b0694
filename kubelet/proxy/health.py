"""The health checks of load balancers: on `healthCheckNodePort` a Service with traffic policy Local says who is here.

A load balancer before several machines asks each whether it has an endpoint; kube-proxy's answer, word for word.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial

from kubelet.following import follow
from kubelet.proxy.services import local_endpoints
from machinery.api.resource import Object
from machinery.api.resources import ENDPOINT_SLICES, SERVICES
from machinery.api.views import SERVICE_NAME
from machinery.client.cache import Cache, Change
from machinery.client.clock import Clock
from machinery.contain import contain
from machinery.structs import Struct

LOG = logging.getLogger("health")
_PATIENCE = 10.0
Tell = Callable[[Object, str, str, str], None]


class Check(Struct, frozen=True):
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


def checked_port(service: Object) -> int:
    """The port on which the Service's check is asked for; 0 where it has none."""
    spec = service.get("spec") or {}
    is_local = spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
    port: int = spec.get("healthCheckNodePort") or 0
    return port if is_local else 0


def checks(services: Iterable[Object], slices: Callable[[Object], list[Object]], node: str) -> dict[int, Check]:
    """Port -> its check, for Services that have one."""
    return {
        checked_port(service): Check(*_key(service), local_endpoints(service, slices(service), node))
        for service in services
    }


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


class HealthChecks:
    """A listener a port; what it answers is looked up when it is asked."""

    def __init__(self, cache: Cache, node: str, clock: Clock, tell: Tell, address: str = "") -> None:
        self._cache, self._node, self._clock, self._tell = cache, node, clock, tell
        self._address = address or None
        self._checks: Mapping[int, Check] = {}
        self._services: dict[tuple[str, str], Object] = {}
        self._servers: dict[int, asyncio.Server] = {}

    async def run(self) -> None:
        """Follows until cancelled."""
        async with AsyncExitStack() as stack:
            stack.callback(self._close, set())
            followed = (SERVICES, ENDPOINT_SLICES)
            await follow("health", self._cache, followed, self._clock, self._sync, self._note)

    def _note(self, change: Change) -> bool:
        """Few Services have a check, and only their slices matter."""
        namespace, name = _key(change.object)
        if change.resource == ENDPOINT_SLICES:
            service = (change.object["metadata"].get("labels") or {}).get(SERVICE_NAME, "")
            return (namespace, service) in self._services
        had = self._services.pop((namespace, name), None) is not None
        if change.after is not None and checked_port(change.after):
            self._services[namespace, name] = change.after
            return True
        return had

    async def _sync(self) -> None:
        self._checks = checks(self._services.values(), self._slices, self._node)
        self._close(set(self._checks))
        for port in self._checks.keys() - self._servers.keys():
            await self._open(port, self._checks[port])

    def _slices(self, service: Object) -> list[Object]:
        namespace, name = _key(service)
        return list(self._cache.labelled(ENDPOINT_SLICES, namespace, SERVICE_NAME, name))

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
