"""The Ingress controller between a real API server and a real nginx: class, address, events, and the port's end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from apiserver.server import ApiServer
from machinery.api.resources import EVENTS, INGRESS_CLASSES, INGRESSES, NODES, SERVICES
from machinery.client.client import Client
from machinery.client.clock import SystemClock
from machinery.structs import replace
from minikube_py.addons.ingress.controller import IngressConfig, IngressController
from tests.contract.apiserver_running import running
from tests.etcd_server import free_ports

PATIENCE = 60.0
NODE = {"metadata": {"name": "n"}, "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.9"}]}}
PATHS = [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]
INGRESS = {"metadata": {"name": "i"}, "spec": {"rules": [{"host": "x.org", "http": {"paths": PATHS}}]}}


def config(directory: Path, api: ApiServer) -> IngressConfig:
    pair = api._config.pki.server_for("ingress", "ingress", ("ingress.local",), ())  # noqa: SLF001 - the test's own keys
    return IngressConfig(
        directory / "ingress",
        directory / "ingress.log",
        Path(pair.certificate),
        Path(pair.key),
        *free_ports(2),
    )


@asynccontextmanager
async def controlled(settings: IngressConfig, api: ApiServer) -> AsyncIterator[Client]:
    client = api.client("tester", ("system:masters",))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(IngressController(settings, client, api.cache, SystemClock()).run())
        yield client
        task.cancel()


async def until(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await what():
            await asyncio.sleep(0.02)


async def status_of(port: int, host: str) -> str:
    """Of the answer to a request; empty where nobody listens."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        head = await reader.read()
        writer.close()
    except ConnectionError:
        return ""
    return head.split()[1].decode() if head else ""


async def reasons(client: Client) -> list[str]:
    return [each["reason"] for each in (await client.list(EVENTS, "default")).items]


async def test_an_ingress_gets_class_address_and_events_and_the_last_one_ends_it(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        settings = config(tmp_path, api)
        async with controlled(settings, api) as client:
            await client.create(NODES, NODE)
            assert (await client.list(INGRESS_CLASSES)).items == []
            assert await status_of(settings.http_port, "x.org") == ""
            await client.create(INGRESSES, INGRESS, "default")

            async def is_served() -> bool:
                status = (await client.get(INGRESSES, "i", "default")).get("status") or {}
                addresses = (status.get("loadBalancer") or {}).get("ingress")
                return addresses == [{"ip": "192.0.2.9"}] and await status_of(settings.http_port, "x.org") == "503"

            await until(is_served)
            (made,) = (await client.list(INGRESS_CLASSES)).items
            assert made["metadata"]["name"] == "nginx"
            assert await reasons(client) == ["Sync", "BackendNotFound"]
            assert await status_of(settings.http_port, "y.org") == "404"
            # A Service that comes later is found, though nothing is ready behind it.
            await client.create(SERVICES, {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}, "default")
            await client.delete(INGRESSES, "i", "default")

            async def is_over() -> bool:
                return await status_of(settings.http_port, "x.org") == ""

            await until(is_over)


async def test_a_port_that_another_has_is_named_and_taken_when_it_is_free(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        with socket.create_server(("127.0.0.1", 0)) as other:
            settings = replace(config(tmp_path, api), http_port=other.getsockname()[1])
            async with controlled(settings, api) as client:
                await client.create(INGRESSES, INGRESS, "default")

                async def is_told() -> bool:
                    return "PortInUse" in await reasons(client)

                await until(is_told)
                events = (await client.list(EVENTS, "default")).items
                (said,) = [each["message"] for each in events if each["reason"] == "PortInUse"]
                assert said.startswith(f"port {settings.http_port} of this machine is taken by ")
                assert said.endswith("; --ingress-http-port asks for another")
                other.close()

                async def is_served() -> bool:
                    return await status_of(settings.http_port, "x.org") == "503"

                await until(is_served)


async def test_who_asks_for_it_has_it_without_any_ingress(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        settings = replace(config(tmp_path, api), always=True)
        async with controlled(settings, api) as client:

            async def is_served() -> bool:
                return await status_of(settings.http_port, "x.org") == "404"

            await until(is_served)
            (made,) = (await client.list(INGRESS_CLASSES)).items
            # The API server names the class in what comes now.
            ingress = await client.create(INGRESSES, INGRESS, "default")
            assert ingress["spec"]["ingressClassName"] == made["metadata"]["name"] == "nginx"
