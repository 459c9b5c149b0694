"""Bodies that no sane client sends: always a Status that says what is wrong, never a failure of the server."""

from __future__ import annotations

import copy
import json
import random
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from apiserver.server import ApiServer
from machinery.api.resource import Resource
from machinery.api.resources import RESOURCES
from machinery.contain import failures
from tests.contract.apiserver_running import running
from tests.contract.examples_of_kinds import example

pytestmark = pytest.mark.asyncio(loop_scope="module")
ODD: list[Any] = [
    None, "", 0, -1, 1.5, True, [], {}, "x", [None], [{}], {"a": None}, 10**20, "\u0000", ["a", "a"], {"": ""}, [[]],
    "2026-01-01T00:00:00Z",
]  # fmt: skip
FIELDS = ["metadata", "spec", "status", "labels", "annotations", "finalizers", "ownerReferences", "managedFields",
          "name", "containers", "template", "selector", "generateName", "resourceVersion", "uid"]  # fmt: skip
BROKEN = [b"\xff\xfe", b"[1]", b"null", b'"x"', b"{" * 5000, b"k8s\0garbage", b"", b"[" * 100_000]
CREATED = [row for row in RESOURCES if "create" in row.verbs]
PATCHES = ("application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[aiohttp.ClientSession]:
    directory = tmp_path_factory.mktemp("server")
    async with running(directory) as server:
        connector = aiohttp.TCPConnector(ssl=context(server, directory))
        async with aiohttp.ClientSession(f"https://127.0.0.1:{server.port}", connector=connector) as opened:
            yield opened


def context(server: ApiServer, directory: Any) -> ssl.SSLContext:
    made = ssl.create_default_context(cadata=server.pki.ca_pem.decode())
    pair = directory / "pair.pem"
    pair.write_bytes(b"".join(server.pki.issue_client("tester", ("system:masters",))))
    made.load_cert_chain(pair)
    return made


async def ask(session: aiohttp.ClientSession, method: str, path: str, body: bytes, content_type: str) -> None:
    """Fails the test where the server did."""
    before = failures.get("request", 0)
    headers = {"Content-Type": content_type}
    async with session.request(method, path, data=body, headers=headers) as answer:
        found = await answer.json()
    assert found["kind"]
    assert failures.get("request", 0) == before, (method, path, content_type, body[:300])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield (*path, key)
        yield from places(below, (*path, key))


def poisoned(obj: Any, chance: random.Random) -> Any:
    """A copy with one place changed, filled or removed."""
    made = copy.deepcopy(obj)
    path = chance.choice(list(places(made)))
    at = made
    for key in path[:-1]:
        at = at[key]
    kind = chance.random()
    if kind < 0.6:
        at[path[-1]] = copy.deepcopy(chance.choice(ODD))
    elif kind < 0.8 and isinstance(at, dict):
        at[chance.choice(FIELDS)] = copy.deepcopy(chance.choice(ODD))
    else:
        del at[path[-1]]
    return made


@pytest.mark.parametrize("row", CREATED, ids=lambda row: f"{row.group or 'core'}/{row.version}/{row.plural}")
async def test_a_poisoned_object_harms_nobody(session: aiohttp.ClientSession, row: Resource) -> None:
    chance = random.Random(row.path())
    namespace, obj = "default" if row.namespaced else "", example(row)
    name = obj["metadata"]["name"]
    for _ in range(8):
        body = json.dumps(poisoned(obj, chance)).encode()
        await ask(session, "POST", f"{row.path(namespace)}?dryRun=All", body, "application/json")
    if not row.is_stored:
        return
    await ask(session, "POST", row.path(namespace), json.dumps(obj).encode(), "application/json")
    path = row.path(namespace, name)
    for _ in range(3):
        body = json.dumps(poisoned(obj, chance)).encode()
        await ask(session, "PUT", f"{path}?dryRun=All", body, "application/json")
        for kind in PATCHES:
            await ask(session, "PATCH", f"{path}?dryRun=All&fieldManager=poisoner", body, kind)
        for sub in row.subresources:
            if "patch" in sub.verbs and sub.name != "proxy":
                await ask(session, "PATCH", f"{path}/{sub.name}?dryRun=All", body, PATCHES[0])


@pytest.mark.parametrize("body", BROKEN, ids=range(len(BROKEN)))
async def test_broken_bodies_are_bad_requests(session: aiohttp.ClientSession, body: bytes) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    for kind in ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf"):
        await ask(session, "POST", path, body, kind)
        await ask(session, "PUT", f"{path}/any", body, kind)
        await ask(session, "DELETE", f"{path}/any", body, kind)
    for kind in (*PATCHES, "application/json-patch+json"):
        await ask(session, "PATCH", f"{path}/any?fieldManager=poisoner", body, kind)
