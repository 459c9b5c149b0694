"""Every row of RESOURCES through create, get, list, watch, patch and delete, in the process and over HTTP alike."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from apiserver.server import ApiServer
from machinery.api.errors import AlreadyExists, NotFound, StatusError, from_status
from machinery.api.resource import Object, Resource
from machinery.api.resources import BY_PATH, NAMESPACES, RESOURCES, SERVICE_ACCOUNTS
from machinery.client.client import Client
from tests.contract.apiserver_running import running
from tests.contract.examples_of_kinds import example

STORED = [row for row in RESOURCES if row.is_stored]


class OverHttp:
    """As much of the client as the walk needs, so that the test leans on nothing but the wire."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base

    async def ask(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Object:
        headers = {"Content-Type": content_type}
        async with self._session.request(method, self._base + path, json=body, headers=headers) as answer:
            found: Object = await answer.json(content_type=None)
            if answer.status >= 400:
                raise from_status(found)
            return found


class Walk:
    """One walk through a kind's life; the ways to ask differ, what is asked does not."""

    def __init__(self, client: Client, http: OverHttp | None) -> None:
        self._client = client
        self._http = http

    async def create(self, row: Resource, obj: Object, namespace: str) -> Object:
        if self._http:
            return await self._http.ask("POST", row.path(namespace), obj)
        return await self._client.create(row, obj, namespace)

    async def get(self, row: Resource, name: str, namespace: str) -> Object:
        if self._http:
            return await self._http.ask("GET", row.path(namespace, name))
        return await self._client.get(row, name, namespace)

    async def list(self, row: Resource, namespace: str) -> tuple[list[Object], str]:
        if self._http:
            found = await self._http.ask("GET", row.path(namespace))
            assert found["kind"] == row.list_kind
            return found["items"], found["metadata"]["resourceVersion"]
        listed = await self._client.list(row, namespace)
        return list(listed.items), listed.resource_version

    async def label(self, row: Resource, name: str, namespace: str) -> Object:
        patch = {"metadata": {"labels": {"walk": "on"}}}
        if self._http:
            kind = "application/merge-patch+json"
            return await self._http.ask("PATCH", row.path(namespace, name), patch, kind)
        return await self._client.patch(row, name, patch, namespace)

    async def delete(self, row: Resource, name: str, namespace: str) -> Object:
        if self._http:
            return await self._http.ask("DELETE", row.path(namespace, name))
        return await self._client.delete(row, name, namespace)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiServer]:
    async with running(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module", params=["in the process", "over HTTP"])
async def walk(request: pytest.FixtureRequest, server: ApiServer, tmp_path: Path) -> AsyncIterator[Walk]:
    client = server.client("tester", ("system:masters", "system:authenticated"))
    if request.param == "in the process":
        yield Walk(client, None)
        return
    context = ssl.create_default_context(cadata=server.pki.ca_pem.decode())
    certificate, key = server.pki.issue_client("tester", ("system:masters",))
    (tmp_path / "pair.pem").write_bytes(certificate + key)
    context.load_cert_chain(tmp_path / "pair.pem")
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Walk(client, OverHttp(session, f"https://127.0.0.1:{server.port}"))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("row", STORED, ids=lambda row: f"{row.group or 'core'}/{row.version}/{row.plural}")
async def test_a_kind_lives_from_create_to_delete(row: Resource, walk: Walk, server: ApiServer) -> None:
    namespace = "default" if row.namespaced else ""
    client = server.client("tester", ("system:masters",))
    if row.namespaced:
        await ensure_account(client)
    obj = example(row)
    name = obj["metadata"]["name"]
    _, before = await walk.list(row, namespace)
    created = await walk.create(row, obj, namespace)
    assert (created["kind"], created["apiVersion"]) == (row.kind, row.api_version)
    assert created["metadata"]["uid"]
    with pytest.raises(AlreadyExists):
        await walk.create(row, obj, namespace)
    assert await walk.get(row, name, namespace) == created
    listed, _ = await walk.list(row, namespace)
    assert name in [each["metadata"]["name"] for each in listed]
    labelled = await walk.label(row, name, namespace)
    assert labelled["metadata"]["labels"]["walk"] == "on"
    await release(client, row, name, namespace, await walk.delete(row, name, namespace))
    with pytest.raises(NotFound):
        await walk.get(row, name, namespace)
    assert await types_since(client, row, namespace, before, name) == ["ADDED", "DELETED"]


async def ensure_account(client: Client) -> None:
    try:
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, "default")
    except AlreadyExists:
        return


async def release(client: Client, row: Resource, name: str, namespace: str, deleted: Object) -> None:
    """Takes the finalizers away for which controllers would be needed."""
    if row == NAMESPACES:
        current = await client.get(row, name)
        await client.update(row, {**current, "spec": {}}, subresource="finalize")
        return
    if deleted.get("kind") == row.kind and deleted["metadata"].get("finalizers"):
        await client.patch(row, name, {"metadata": {"finalizers": None}}, namespace)


async def types_since(client: Client, row: Resource, namespace: str, revision: str, name: str) -> list[str]:
    """The first and the last event of the object after `revision`."""
    types: list[str] = []
    async with client.watch(row, namespace, resource_version=revision, fields=f"metadata.name={name}") as events:
        async with asyncio.timeout(5):
            async for event in events:
                types.append(event.type)
                if event.type == "DELETED":
                    break
    return [types[0], types[-1]]


@pytest.mark.asyncio(loop_scope="module")
async def test_errors_are_the_same_on_both_ways(walk: Walk, server: ApiServer) -> None:
    config_maps = BY_PATH["", "v1", "configmaps"]
    said = []
    for obj, namespace in (
        ({"metadata": {"name": "UPPER"}}, "default"),
        ({"metadata": {"name": "lost"}}, "nowhere"),
        ({"metadata": {}}, "default"),
    ):
        with pytest.raises(StatusError) as caught:
            await walk.create(config_maps, {"apiVersion": "v1", "kind": "ConfigMap", **obj}, namespace)
        said.append((caught.value.code, caught.value.reason, caught.value.message.split(":")[0]))
    assert said == [
        (422, "Invalid", 'ConfigMap "UPPER" is invalid'),
        (404, "NotFound", 'namespaces "nowhere" not found'),
        (422, "Invalid", 'ConfigMap "" is invalid'),
    ]
