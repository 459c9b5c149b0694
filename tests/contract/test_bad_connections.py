"""Connections that no sane client makes: slow, huge, malformed, ambiguous. Each is answered or ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import pytest_asyncio
from aiohttp import web

from apiserver.http import incoming
from apiserver.http.connection import Connection, Server
from apiserver.http.incoming import Incoming
from apiserver.http.listener import Listener
from machinery.api.errors import StatusError

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEADLINE = 20.0
HEAD = b"Host: localhost\r\n"


async def echo(raw: web.BaseRequest) -> web.StreamResponse:
    """Answers with the body's length, errors as their Status: what the API's handler does with them."""
    try:
        body = await Incoming(raw).body()
    except StatusError as error:
        return web.json_response(error.status(), status=error.code)
    return web.json_response({"path": raw.raw_path, "size": len(body)})


@asynccontextmanager
async def listening(head_seconds: float = 32.0) -> AsyncIterator[int]:
    listener = Listener(echo, None, head_seconds=head_seconds)
    await listener.start(["127.0.0.1"], 0)
    try:
        yield listener.port
    finally:
        await listener.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port() -> AsyncIterator[int]:
    async with listening() as bound:
        yield bound


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        async with asyncio.timeout(DEADLINE):
            yield reader, writer
    finally:
        writer.close()


async def said(port: int, sent: bytes) -> bytes:
    """All that the server answers until it closes; it closes at once or when told to."""
    async with connected(port) as (reader, writer):
        writer.write(sent)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


def get(path: str = "/", *headers: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\n%bConnection: close\r\n%b\r\n" % (path.encode(), HEAD, b"".join(headers))


async def is_well(port: int) -> None:
    assert (await said(port, get("/well"))).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nA\0B: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: x\0y\r\n\r\n",
        b"GET / HTTP/1.1\r\n: empty\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : space\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled ",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ],
)  # fmt: skip
async def test_what_is_no_http_is_a_bad_request_and_nothing_behind_it_is_read(port: int, sent: bytes) -> None:
    answer = await said(port, sent)
    assert answer.startswith(b"HTTP/1.") and b" 400 Bad Request" in answer.partition(b"\r\n")[0], answer
    assert answer.count(b"HTTP/1.") == 1 and b"smuggled" not in answer
    await is_well(port)


@pytest.mark.parametrize(
    "chunks", [b"zz\r\nabc\r\n0\r\n\r\n", b"-1\r\nabc\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"F" * 40 + b"\r\n"]
)
async def test_broken_chunks_are_a_bad_request(port: int, chunks: bytes) -> None:
    answer = await said(port, b"POST /c HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert b" 400 Bad Request" in answer.partition(b"\r\n")[0], answer
    assert answer.count(b"HTTP/1.") == 1
    await is_well(port)


async def test_chunks_are_one_body(port: int) -> None:
    body = b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
    answer = await said(
        port, b"POST /c HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body
    )
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"path": "/c", "size": 11}


async def test_long_heads_are_taken_and_too_long_ones_refused(port: int) -> None:
    for head in (
        get("/" + "a" * 500_000),
        get("/", b"A: " + b"x" * 500_000 + b"\r\n"),
        get("/", *[b"A: x\r\n"] * 2000),
    ):
        assert (await said(port, head)).startswith(b"HTTP/1.1 200 "), head[:60]
    for head in (
        get("/" + "a" * 3_000_000),
        get("/", b"A: " + b"x" * 3_000_000 + b"\r\n"),
        get("/", *[b"A: %b\r\n" % (b"x" * 1000)] * 3000),
    ):
        async with connected(port) as (reader, writer):
            writer.write(head)
            assert (await reader.readline()).rstrip() in (
                b"HTTP/1.1 431 Request Header Fields Too Large",
                b"HTTP/1.0 431 Request Header Fields Too Large",
            )
    await is_well(port)


@pytest.mark.parametrize("begun", [b"", b"G", b"GET / HTTP/1.1\r\nHost: local", get()[:-2]])
async def test_a_head_that_does_not_come_ends_the_connection(begun: bytes) -> None:
    async with listening(head_seconds=0.2) as port, connected(port) as (reader, writer):
        writer.write(begun)
        assert await reader.read() == b""
        await is_well(port)


async def test_a_body_that_comes_behind_its_head_is_no_slow_head() -> None:
    """Clients write the two apart, so the body may come at any step of the request's way, as loops order them."""
    server, made = Server(echo, head_seconds=0.2), list[Connection]()

    def accepted() -> Connection:
        made.append(server())
        return made[-1]

    listening = await asyncio.get_running_loop().create_server(accepted, "127.0.0.1", 0)
    async with listening, connected(listening.sockets[0].getsockname()[1]) as (reader, writer):
        writer.write(b"GET /first HTTP/1.1\r\n" + HEAD + b"\r\n")
        await reader.readuntil(b'"size": 0}')
        for steps in range(8):
            made[0].data_received(b"POST /x HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\n\r\n")
            for _ in range(steps):
                await asyncio.sleep(0)
            made[0].data_received(b"{}")
            await reader.readuntil(b'"size": 2}')
            await asyncio.sleep(0.3)
        writer.write(b"GET /again HTTP/1.1\r\n" + HEAD + b"\r\n")
        await reader.readuntil(b'"size": 0}')
    await server.shutdown()


async def test_a_head_that_trickles_ends_too(port: int) -> None:
    async with listening(head_seconds=0.3) as port, connected(port) as (reader, writer):

        async def trickle() -> None:
            writer.write(b"GET / HTTP/1.1\r\n")
            while True:
                writer.write(b"A: b\r\n")
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            slow = group.create_task(trickle())
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            slow.cancel()


async def test_the_next_head_on_a_kept_connection_has_to_come_in_time_once_it_begins() -> None:
    async with listening(head_seconds=0.2) as port, connected(port) as (reader, writer):
        writer.write(b"GET /one HTTP/1.1\r\n" + HEAD + b"\r\n")
        await reader.readuntil(b"}")
        writer.write(b"GET /two HTTP/1.1\r\nHost:")
        assert await reader.read() == b""


async def test_a_body_that_does_not_come_is_a_timeout(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "BODY_SECONDS", 0.2)
    async with connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 100\r\n\r\nten bytes.")
        assert (await reader.readline()).startswith(b"HTTP/1.1 504 ")
        rest = await reader.read()
    assert json.loads(rest.partition(b"\r\n\r\n")[2])["reason"] == "Timeout"


@pytest.mark.parametrize("length", [b"Content-Length: 3145729\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_too_large_bodies_are_refused_while_they_come(port: int, length: bytes) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\n" + HEAD + length + b"\r\n")
        if b"chunked" in length:
            for _ in range(50):
                writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")


async def test_who_asks_first_is_told_to_continue(port: int) -> None:
    head = b"POST / HTTP/1.1\r\n" + HEAD + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: "
    async with connected(port) as (reader, writer):
        writer.write(head + b"5\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hello")
        assert json.loads((await reader.read()).partition(b"\r\n\r\n")[2])["size"] == 5
    async with connected(port) as (reader, writer):
        writer.write(head + b"4000000\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")


async def test_pipelined_requests_are_answered_in_their_order(port: int) -> None:
    heads = b"".join(b"GET /%d HTTP/1.1\r\n%b\r\n" % (number, HEAD) for number in range(100))
    async with connected(port) as (reader, writer):
        writer.write(heads)
        for number in range(100):
            assert json.loads((await reader.readuntil(b"}")).rpartition(b"\r\n\r\n")[2])["path"] == f"/{number}"
