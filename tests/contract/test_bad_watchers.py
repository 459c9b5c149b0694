"""Watchers that read slowly, never or not any more: they are dropped, cost nobody else a thing, and leave no memory."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from apiserver.server import ApiServer
from machinery.api.resources import CONFIG_MAPS
from machinery.client.client import Client
from tests.contract.apiserver_running import running

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEADLINE = 60.0
MAPS = "/api/v1/namespaces/default/configmaps?watch=1"
FORMS = {
    "plain": (MAPS, "*/*"),
    "selected": (f"{MAPS}&labelSelector=!nobody", "*/*"),
    "table": (MAPS, "application/json;as=Table;v=v1;g=meta.k8s.io"),
}
LARGE = "x" * 50_000
EVENTS = 600


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiServer]:
    async with running(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module")
def context(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    made = ssl.create_default_context(cadata=server.pki.ca_pem.decode())
    pair = tmp_path_factory.mktemp("pair") / "pair.pem"
    pair.write_bytes(b"".join(server.pki.issue_client("tester", ("system:masters",))))
    made.load_cert_chain(pair)
    return made


class Deaf:
    """A client that sends its request and then reads nothing more."""

    def __init__(self, server: ApiServer, context: ssl.SSLContext, form: str) -> None:
        path, accept = FORMS[form]
        plain = socket.socket()
        # So small that all that it does not read waits at the server.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", server.port))
        self._socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())
        assert self._socket.recv(12) == b"HTTP/1.1 200"

    def close(self) -> None:
        self._socket.close()


async def deaf(server: ApiServer, context: ssl.SSLContext, form: str) -> Deaf:
    return await asyncio.to_thread(Deaf, server, context, form)


def memory() -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


async def hears_all(server: ApiServer, context: ssl.SSLContext, form: str, since: str) -> None:
    """A watcher that reads sees every one of the changes."""
    path, accept = FORMS[form]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context, limit=1 << 24)
    writer.write(f"GET {path}&resourceVersion={since} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())
    seen = 0
    try:
        while seen < EVENTS:
            line = await reader.readline()
            assert line, f"the watch ended after {seen}"
            seen += line.count(b'"type":"MODIFIED"')
    finally:
        writer.close()


async def change(client: Client, count: int, size: str = LARGE) -> None:
    for number in range(count):
        await client.patch(CONFIG_MAPS, "watched", {"data": {"a": f"{number}{size}"}}, "default")


@pytest.mark.parametrize("form", FORMS)
async def test_watchers_that_never_read_cost_nobody_else(server: ApiServer, context: ssl.SSLContext, form: str) -> None:
    client = server.client("tester", ("system:masters",))
    made = await client.create(CONFIG_MAPS, {"metadata": {"name": "watched"}}, "default")
    since = made["metadata"]["resourceVersion"]
    sleepers = [await deaf(server, context, form) for _ in range(10)]
    before = memory()
    try:
        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
            hearers = [group.create_task(hears_all(server, context, each, since)) for each in FORMS]
            await change(client, EVENTS)
            await asyncio.gather(*hearers)
        # 30 MB of events went by; ten that keep them all would hold 300.
        assert memory() - before < 200 * 1024 * 1024
    finally:
        for sleeper in sleepers:
            sleeper.close()
        await client.delete(CONFIG_MAPS, "watched", "default")


async def test_watchers_that_vanish_are_forgotten(server: ApiServer, context: ssl.SSLContext) -> None:
    client = server.client("tester", ("system:masters",))
    await client.create(CONFIG_MAPS, {"metadata": {"name": "watched"}}, "default")
    for form in FORMS:
        for _ in range(20):
            (await deaf(server, context, form)).close()
    async with asyncio.timeout(DEADLINE):
        await change(client, 50, "")
        found = await client.get(CONFIG_MAPS, "watched", "default")
    assert json.dumps(found)
    await client.delete(CONFIG_MAPS, "watched", "default")
