"""A load balancer's health check: the node answers on the Service's port whether it has an endpoint."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

from kubelet.proxy.health import HealthChecks
from machinery.api.resources import ENDPOINT_SLICES, SERVICES
from machinery.client.clock import SystemClock
from tests.contract.apiserver_running import running

HERE, PATIENCE = "127.0.0.1", 30.0
SERVICE = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"name": "http", "port": 80}]},
}
SLICE = {
    "metadata": {"name": "web-x", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
    "addressType": "IPv4",
    "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    "endpoints": [
        {"addresses": ["10.0.0.2"], "nodeName": "n", "conditions": {"ready": True}},
        {"addresses": ["10.0.0.3"], "nodeName": "other", "conditions": {"ready": True}},
        {"addresses": ["10.0.0.4"], "nodeName": "n", "conditions": {"ready": False}},
    ],
}


def free_node_port() -> socket.socket:
    """A listener on a port of those that Services may ask for."""
    for port in range(32000, 32768):
        try:
            return socket.create_server((HERE, port))
        except OSError:
            continue
    raise AssertionError("no port is free")


async def asked(port: int) -> tuple[bytes, Any]:
    """Status line and body; nothing where nobody listens."""
    try:
        reader, writer = await asyncio.open_connection(HERE, port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: n\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    except ConnectionError:
        return b"", None
    if not body:
        return b"", None
    return head.splitlines()[0], json.loads(body)


async def until_asked(port: int, status: bytes) -> Any:
    async with asyncio.timeout(PATIENCE):
        while (found := await asked(port))[0] != status:
            await asyncio.sleep(0.02)
    return found[1]


async def test_the_node_says_how_many_endpoints_it_has(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    async with running(tmp_path) as api:
        client = api.client("tester", ("system:masters",))
        port = (await client.create(SERVICES, SERVICE, "default"))["spec"]["healthCheckNodePort"]
        checks = HealthChecks(api.cache, "n", SystemClock(), lambda _, __, *said: told.append(said), HERE)  # type: ignore[arg-type]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(checks.run())
            service = {"namespace": "default", "name": "web"}
            found = await until_asked(port, b"HTTP/1.1 503 Service Unavailable")
            assert found == {"service": service, "localEndpoints": 0, "serviceProxyHealthy": True}
            await client.create(ENDPOINT_SLICES, SLICE, "default")
            found = await until_asked(port, b"HTTP/1.1 200 OK")
            assert found["localEndpoints"] == 1
            await client.delete(SERVICES, "web", "default")
            assert await until_asked(port, b"") is None
            # A port that another program has is told in an event of the Service.
            with free_node_port() as other:
                taken = other.getsockname()[1]
                spec = {**SERVICE["spec"], "healthCheckNodePort": taken}
                await client.create(SERVICES, {**SERVICE, "spec": spec}, "default")
                async with asyncio.timeout(PATIENCE):
                    while not told:
                        await asyncio.sleep(0.02)
            task.cancel()
    ((reason, message),) = told
    assert reason == "FailedToStartServiceHealthcheck"
    assert message.startswith(f'node n failed to start healthcheck "default/web" on port {taken}: ')
