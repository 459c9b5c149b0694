"""Backends that don't do what is asked: each has its answer, or its error in Go's words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from machinery.streams.backend import Backend, UnreachableError
from machinery.streams.relay import relay

ASKED = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "Authorization": "Bearer secret", "Impersonate-User": "eve"}


@asynccontextmanager
async def relayed(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """The URL of a relay, and what its backend was asked; the backend says `answer` and ends."""
    asked: list[bytes] = []

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await relay(request, Backend(f"http://127.0.0.1:{port}/there?a=b"))
        except UnreachableError as error:
            return web.Response(status=502, text=str(error))

    server = await asyncio.start_server(backend, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    runner = web.ServerRunner(web.Server(serve, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/here", asked
    finally:
        await runner.cleanup()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!more than it said", 403, "no!"),
        (b"HTTP/1.1 500 Internal Server Error\r\n\r\nto the end", 500, "to the end"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, ""),
        (b"", 502, "unexpected EOF"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", 502, "unexpected EOF"),
        (b"HTTP/1.1 what\r\n\r\n", 502, "unexpected EOF"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000, 502, "unexpected EOF"),
    ],
)
async def test_a_backend_that_switches_nothing(answer: bytes, status: int, text: str) -> None:
    async with (
        relayed(answer) as (url, _),
        aiohttp.ClientSession() as session,
        session.post(url, headers=ASKED) as found,
    ):
        assert (found.status, await found.text()) == (status, text)


async def test_the_request_passes_but_for_credentials() -> None:
    async with (
        relayed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as (url, asked),
        aiohttp.ClientSession() as session,
        session.post(url, headers={**ASKED, "X-Kept": "é"}),
    ):
        pass
    (head,) = asked
    assert head.startswith(b"POST /there?a=b HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nUpgrade: SPDY/3.1\r\n" in head
    assert "\r\nX-Kept: é\r\n".encode() in head
    assert b"secret" not in head
    assert b"eve" not in head
