"""What becomes of a Service on the real API server and controllers, under the rights that these have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apiserver.server import ApiServer
from machinery.api.resource import Object
from machinery.api.resources import (
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    IP_ADDRESSES,
    NODES,
    PODS,
    SERVICE_C_I_D_RS,
    SERVICES,
)
from machinery.client.client import Client
from tests.played_cluster import played_cluster

DEADLINE = 60.0


async def until(server: ApiServer, holds: Callable[[], Any]) -> None:
    """Waits for the cache to show what is awaited, revision by revision."""
    async with asyncio.timeout(DEADLINE):
        while not holds():
            await server.cache.wait_for(server.cache.revision + 1)


async def make_service(client: Client, name: str = "s", /, **spec: Any) -> None:
    wanted = {"selector": {"app": "x"}, "ports": [{"port": 80}], **spec}
    await client.create(SERVICES, {"metadata": {"name": name, "namespace": "default"}, "spec": wanted}, "default")


async def run_pod(server: ApiServer, client: Client, name: str, ip: str) -> None:
    metadata = {"name": name, "namespace": "default", "labels": {"app": "x"}}
    spec = {"containers": [{"name": "c", "image": "i:1"}], "nodeName": "n"}
    await client.create(PODS, {"metadata": metadata, "spec": spec}, "default")
    await until(server, lambda: server.cache.get(PODS, "default", name)["status"].get("phase") == "Running")  # type: ignore[index]
    status = {"podIP": ip, "podIPs": [{"ip": ip}]}
    await client.patch(PODS, name, {"status": status}, "default", subresource="status")


def slices(server: ApiServer, name: str = "s") -> list[Object]:
    return list(server.cache.labelled(ENDPOINT_SLICES, "default", "kubernetes.io/service-name", name))


def addresses(server: ApiServer, name: str = "s") -> list[str]:
    return sorted(one["addresses"][0] for each in slices(server, name) for one in each["endpoints"] or ())


def elder(server: ApiServer) -> list[str]:
    found = server.cache.get(ENDPOINTS, "default", "s") or {}
    return [one["ip"] for each in found.get("subsets") or () for one in each.get("addresses", ())]


def ingress(server: ApiServer, name: str = "s") -> list[str]:
    found = server.cache.get(SERVICES, "default", name) or {}
    return [each["ip"] for each in ((found.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()]


async def test_endpoints_come_and_go_with_pods_and_with_the_service(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):
        await until(server, lambda: server.cache.list(NODES))
        await make_service(client)
        await until(server, lambda: slices(server))
        (empty,) = slices(server)
        assert (empty["endpoints"], empty["ports"]) == (None, None)
        for name, ip in (("p", "10.1.0.1"), ("q", "10.1.0.2")):
            await run_pod(server, client, name, ip)
        await until(server, lambda: addresses(server) == elder(server) == ["10.1.0.1", "10.1.0.2"])
        (found,) = slices(server)
        assert found["metadata"]["uid"] == empty["metadata"]["uid"]
        assert found["ports"] == [{"name": "", "port": 80, "protocol": "TCP"}]
        await client.delete(PODS, "p", "default")
        await until(server, lambda: addresses(server) == elder(server) == ["10.1.0.2"])
        await client.delete(SERVICES, "s", "default")
        await until(server, lambda: not slices(server) and server.cache.get(ENDPOINTS, "default", "s") is None)


async def test_endpoints_kept_by_hand_are_mirrored_while_their_service_selects_nothing(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):
        made = {
            "metadata": {"name": "s", "namespace": "default"},
            "subsets": [{"addresses": [{"ip": "192.0.2.9"}], "ports": [{"port": 80}]}],
        }
        await client.create(ENDPOINTS, made, "default")
        await make_service(client, selector=None)
        await until(server, lambda: addresses(server) == ["192.0.2.9"])
        assert server.cache.get(ENDPOINTS, "default", "s") is not None
        await client.patch(SERVICES, "s", {"spec": {"selector": {"app": "x"}}}, "default")
        await until(server, lambda: [each["endpoints"] for each in slices(server)] == [None] and not elder(server))


async def test_a_load_balancer_gives_the_machines_address_to_one_for_each_port(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):
        await until(server, lambda: server.cache.list(NODES))
        told = {"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.2"}]}}
        await client.patch(NODES, "n", told, subresource="status")
        await make_service(client, type="LoadBalancer")
        await until(server, lambda: ingress(server) == ["192.0.2.2"])
        await make_service(client, "t", type="LoadBalancer")

        def refusal() -> bool:
            return any("80/TCP is taken by Service default/s" in each["message"] for each in server.cache.list(EVENTS))

        await until(server, refusal)
        assert ingress(server, "t") == []
        await client.delete(SERVICES, "s", "default")
        await until(server, lambda: ingress(server, "t") == ["192.0.2.2"])


async def test_cluster_addresses_are_told_of_and_hold_their_range(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):

        def ready() -> str:
            found = server.cache.get(SERVICE_C_I_D_RS, "", "kubernetes") or {}
            return next((each["status"] for each in (found.get("status") or {}).get("conditions", ())), "")

        await until(server, lambda: ready() == "True")
        await make_service(client)
        address = (await client.get(SERVICES, "s", "default"))["spec"]["clusterIP"]
        await until(server, lambda: server.cache.get(IP_ADDRESSES, "", address))
        await client.delete(SERVICE_C_I_D_RS, "kubernetes")
        await until(server, lambda: ready() == "False")
        await client.delete(SERVICES, "s", "default")
        await until(server, lambda: server.cache.get(IP_ADDRESSES, "", address) is None)
