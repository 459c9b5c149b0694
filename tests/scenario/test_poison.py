"""A malformed but stored object harms nothing else, whatever its kind: everything about it goes on as if it weren't."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiserver.server import ApiServer
from apiserver.storage.sqlite import SqliteStore
from controllers.runner import run as run_controllers
from machinery.api.errors import NotFound, StatusError
from machinery.api.resource import Object, Resource
from machinery.api.resources import (
    DEPLOYMENTS,
    EVENTS,
    LIMIT_RANGES,
    NAMESPACES,
    NODES,
    PODS,
    RESOURCE_QUOTAS,
    SERVICE_ACCOUNTS,
)
from machinery.client.cache import Change
from machinery.client.client import Client
from machinery.client.clock import SystemClock
from machinery.contain import failures
from scheduler.loop import run as run_scheduler
from tests.contract.apiserver_running import running
from tests.contract.examples_of_kinds import example
from tests.malformed import STORED, from_schema, key_of, malformed, stored

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEADLINE = 30.0
# What fails in here would take what is sound with it.
SHARED = ("request", "cache handler", "controller wake", "stored object", "rbac", "watch stream")
FORMS = (
    "application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
    "application/vnd.kubernetes.protobuf,application/json",
    "application/yaml",
)
STATUS: Object = {"allocatable": {"cpu": "64", "memory": "64Gi", "pods": "1000"},
          "conditions": [{"type": "Ready", "status": "True"}]}  # fmt: skip


class World:
    """A cluster without a kubelet: server, controllers, scheduler, and the store that they share with the test."""

    def __init__(self, store: SqliteStore, server: ApiServer, http: aiohttp.ClientSession) -> None:
        self.store = store
        self.server = server
        self.http = http
        self.client: Client = server.client("tester", ("system:masters",))

    async def put(self, key: str, value: bytes) -> None:
        """Writes past the API, and waits until the server has seen it."""
        there = (await self.store.range(key)).items
        done = await self.store.put(key, value, expected=there[0].mod_revision if there else 0)
        await self.server.cache.wait_for(done.revision)

    async def until(self, holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not holds():
                await self.server.cache.wait_for(self.server.cache.revision + 1)

    async def ask(
        self, method: str, path: str, *, accept: str = "application/json", body: Any = None
    ) -> tuple[int, Any]:
        headers = {"Accept": accept, "Content-Type": "application/json"}
        async with self.http.request(method, path, headers=headers, json=body) as answer:
            said = await answer.read()
            is_json = answer.content_type.endswith("json")
            return answer.status, orjson.loads(said) if is_json else said

    async def namespace(self, name: str) -> None:
        await self.client.create(NAMESPACES, {"metadata": {"name": name}})
        await self.until(lambda: self.server.cache.get(SERVICE_ACCOUNTS, name, "default"))


@asynccontextmanager
async def cluster(directory: Path, store: SqliteStore | None = None) -> AsyncIterator[World]:
    store = store or await SqliteStore.open(None)
    async with running(directory, store) as server, asyncio.TaskGroup() as group:
        context = ssl.create_default_context(cadata=server.pki.ca_pem.decode())
        pair = directory / "pair.pem"
        pair.write_bytes(b"".join(server.pki.issue_client("tester", ("system:masters",))))
        context.load_cert_chain(pair)
        tasks = [
            group.create_task(run_controllers(server.controller_client, server.cache, SystemClock(), root_ca="CA")),
            group.create_task(finish_deletions(server)),
            group.create_task(run_scheduler(server.client("system:kube-scheduler"), server.cache, SystemClock())),
        ]
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(f"https://127.0.0.1:{server.port}", connector=connector) as http:
            world = World(store, server, http)
            node = {"metadata": {"name": "n"}, "status": STATUS}
            await world.client.create(NODES, node)
            await world.until(lambda: server.cache.get(SERVICE_ACCOUNTS, "default", "default"))
            yield world
        # Components that ended would have ended the group; none has.
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with cluster(tmp_path_factory.mktemp("world")) as made:
        yield made


async def finish_deletions(server: ApiServer) -> None:
    """The node's part in a pod's end: it says that nothing of the pod runs any more."""
    ended: asyncio.Queue[Object] = asyncio.Queue()

    def look(change: Change) -> None:
        if change.after is not None and change.after["metadata"].get("deletionTimestamp"):
            ended.put_nowait(change.after["metadata"])

    server.cache.subscribe(PODS, look)
    client = server.client("tester", ("system:masters",))
    while True:
        metadata = await ended.get()
        with suppress(NotFound):
            await client.delete(PODS, metadata["name"], metadata["namespace"], grace_period_seconds=0)


def shared_failures() -> dict[str, int]:
    return {unit: failures.get(unit, 0) for unit in SHARED}


def deployment(name: str, replicas: int) -> Object:
    labels = {"healthy": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


async def rolls_out(world: World, namespace: str) -> None:
    """A Deployment gets bound pods, more of them when it is scaled, and leaves nothing when it goes."""
    cache = world.server.cache

    def pods() -> list[Object]:
        found = [pod for pod in cache.list(PODS, namespace) if "healthy" in (pod["metadata"].get("labels") or {})]
        return [pod for pod in found if pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp")]

    await world.client.create(DEPLOYMENTS, deployment("healthy", 1), namespace)
    await world.until(lambda: len(pods()) == 1)
    await world.client.patch(DEPLOYMENTS, "healthy", {"spec": {"replicas": 3}}, namespace)
    await world.until(lambda: len(pods()) == 3)
    await world.client.delete(DEPLOYMENTS, "healthy", namespace, propagation_policy="Background")
    await world.until(lambda: not pods())


async def lives(world: World, row: Resource, namespace: str) -> None:
    """A sound object of the kind is made, found, watched, changed and deleted."""
    obj = example(row)
    name = obj["metadata"]["name"]
    for about in ("involvedObject", "regarding"):
        if about in obj:
            obj[about]["namespace"] = namespace
    code, made = await world.ask("POST", row.path(namespace), body=obj)
    assert code == 201, made
    path, collection = row.path(namespace, name), row.path(namespace)
    assert (await world.ask("GET", path))[0] == 200
    for form in FORMS:
        # A part of a list is asked of lists alone.
        for where, accept in ((path, form.replace("MetadataList", "Metadata")), (collection, form)):
            code, said = await world.ask("GET", where, accept=accept)
            assert code == 200, (where, accept, said)
    _, listed = await world.ask("GET", collection)
    assert name in [item["metadata"]["name"] for item in listed["items"]]
    _, tabled = await world.ask("GET", f"{collection}?includeObject=Object", accept=FORMS[1])
    assert name in [each["object"]["metadata"]["name"] for each in tabled["rows"]]
    await seen_by_watchers(world, row, namespace, name)
    code, said = await world.ask("DELETE", path)
    assert code == 200, said
    with suppress(NotFound):
        # A volume stays protected as long as one of the odd claims has it.
        await world.client.patch(row, name, {"metadata": {"finalizers": None}}, namespace)
    # Ranges of addresses wait for a while, so that no server gives one of them any more.
    await world.until(lambda: world.server.cache.get(row, namespace if row.namespaced else "", name) is None)


async def seen_by_watchers(world: World, row: Resource, namespace: str, name: str) -> None:
    query = f"watch=1&fieldSelector=metadata.name%3D{name}"
    for form in FORMS[:3]:
        async with asyncio.timeout(DEADLINE):
            async with world.http.get(f"{row.path(namespace)}?{query}", headers={"Accept": form}) as stream:
                assert orjson.loads(await stream.content.readline())["type"] == "ADDED"
                patch = {"metadata": {"labels": {"seen": form.partition("as=")[2][:5] or "plain"}}}
                headers = {"Content-Type": "application/merge-patch+json"}
                async with world.http.patch(row.path(namespace, name), json=patch, headers=headers) as answer:
                    assert answer.status == 200, await answer.text()
                assert orjson.loads(await stream.content.readline())["type"] == "MODIFIED"


async def answers_honestly(world: World, row: Resource, namespace: str, name: str) -> None:
    """The malformed object itself: shown or said to be unreadable, and deleted when that is asked for."""
    path = row.path(namespace, name)
    for form in FORMS[:2]:
        code, said = await world.ask("GET", path, accept=form)
        assert code == 200 or (code == 500 and b"StorageReadError" in _text(said)), (path, form, code, said)
    finalized = {"metadata": {"finalizers": None}}
    headers = {"Content-Type": "application/merge-patch+json"}
    async with world.http.patch(path, json=finalized, headers=headers) as answer:
        said = await answer.json()
        assert answer.status in (200, 422, 400, 404) or said["reason"] == "StorageReadError", said
    code, said = await world.ask("DELETE", f"{path}?gracePeriodSeconds=0&propagationPolicy=Background")
    assert code in (200, 404), (path, said)


def _text(said: Any) -> bytes:
    return said if isinstance(said, bytes) else orjson.dumps(said)


@pytest.mark.parametrize("row", STORED, ids=lambda row: f"{row.group or 'core'}/{row.version}/{row.plural}")
async def test_a_malformed_object_of_the_kind_harms_nothing_else(world: World, row: Resource) -> None:
    before = shared_failures()
    namespace = f"around-{STORED.index(row)}"
    await world.namespace(namespace)
    odd = dict(malformed(row, namespace))
    for name, value in odd.items():
        await world.put(key_of(row, namespace, name), value)
    await lives(world, row, namespace)
    await rolls_out(world, namespace)
    for name in odd:
        await answers_honestly(world, row, namespace, name)
    assert shared_failures() == before
    # Half of them again, so that the namespace has something to take with it.
    for name, value in [*odd.items()][::2]:
        if row.namespaced:
            await world.put(key_of(row, namespace, name), value)
    await world.client.delete(NAMESPACES, namespace)
    await lives(world, row, "default")


async def test_a_namespace_full_of_malformed_objects_still_ends(world: World) -> None:
    await world.namespace("full")
    keys = []
    for row in STORED:
        for name, value in [*malformed(row, "full")][::3] if row.namespaced else ():
            # What waits for a finalizer waits here as anywhere.
            if b"takes-it-away" not in value and b'"finalizers"' not in value:
                await world.put(key_of(row, "full", name), value)
                keys.append(key_of(row, "full", name))
    await world.client.delete(NAMESPACES, "full")
    await world.until(lambda: world.server.cache.get(NAMESPACES, "", "full") is None)
    assert [key for key in keys if (await world.store.range(key)).items] == []


async def test_a_server_starts_over_a_store_full_of_malformed_objects(tmp_path: Path) -> None:
    store = await SqliteStore.open(None)
    before = shared_failures()
    for row in STORED:
        # Odd as they are, some of the limits hold.
        namespace = "limited" if row in (LIMIT_RANGES, RESOURCE_QUOTAS) else "default"
        for name, value in [*malformed(row, namespace)][:: 4 if row.namespaced else 8]:
            await store.put(key_of(row, namespace, name), value, expected=0)
    async with cluster(tmp_path, store) as world:
        await rolls_out(world, "default")
        for row in STORED:
            await lives(world, row, "default")
        for path in ("/api", "/apis", "/openapi/v2", "/openapi/v3", "/readyz", "/metrics"):
            assert (await world.ask("GET", path, accept="*/*"))[0] == 200
        assert shared_failures() == before


async def test_what_is_set_aside_is_told_by_an_event(world: World) -> None:
    await world.put("/registry/secrets/default/unreadable", b"no JSON")

    def told() -> list[str]:
        events = world.server.cache.list(EVENTS, "default")
        return [each["message"] for each in events if each["involvedObject"].get("name") == "unreadable"]

    await world.until(told)
    (message,) = told()
    assert message.startswith("What is stored under /registry/secrets/default/unreadable can't be read")
    code, said = await world.ask("GET", "/api/v1/namespaces/default/secrets/unreadable")
    assert (code, said["reason"], said["details"]["kind"]) == (500, "StorageReadError", "secrets")
    with pytest.raises(StatusError):
        await world.client.patch(NAMESPACES.__class__("", "v1", "Secret", "secrets"), "unreadable", {}, "default")
    code, said = await world.ask("DELETE", "/api/v1/namespaces/default/secrets/unreadable")
    assert (code, said["status"], said["details"]["name"]) == (200, "Success", "unreadable")
    assert (await world.ask("GET", "/api/v1/namespaces/default/secrets/unreadable"))[0] == 404


@given(data=st.data())
@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
async def test_objects_made_from_their_schemas_harm_nothing_else(world: World, data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(STORED))
    obj = data.draw(from_schema(row))
    before = shared_failures()
    sound = stored(row, "default", "made")
    if isinstance(obj.get("metadata"), dict) or "metadata" not in obj:
        # Else the names alone would hide it from everybody.
        obj["metadata"] = {**(obj.get("metadata") or {}), **sound["metadata"]}
    await world.put(key_of(row, "default", "made"), json.dumps(obj).encode())
    for form in FORMS:
        code, said = await world.ask("GET", row.path("default"), accept=form)
        assert code == 200, said
    await answers_honestly(world, row, "default", "made")
    for item in (await world.store.range(key_of(row, "default", "made"))).items:
        # It waits for a finalizer, or for a kubelet that is not there.
        await world.store.delete(item.key, expected=item.mod_revision)
    assert shared_failures() == before, obj


async def test_after_all_of_that_a_deployment_rolls_out(world: World) -> None:
    await rolls_out(world, "default")
