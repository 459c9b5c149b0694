"""The seam: a request for another protocol gets its 101, and then the socket's bytes are the handler's."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

from machinery.pki import Pki
from machinery.streams.takeover import is_upgrade, switching, taken_over, wants_websocket

LENGTH = 3 << 20


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    head = switching([("Connection", "Upgrade"), ("Upgrade", request.headers["Upgrade"])])
    async with taken_over(request, head) as (reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    return web.Response()


@asynccontextmanager
async def served(context: ssl.SSLContext | None) -> AsyncIterator[tuple[web.Server[web.BaseRequest], int]]:
    server = web.Server(echo, handler_cancellation=True, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield server, int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("over_tls", [False, True])
@pytest.mark.parametrize(("method", "protocol"), [("POST", "SPDY/3.1"), ("GET", "SPDY/3.1"), ("GET", "websocket")])
@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_bytes_pass_both_ways_after_the_101(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop], over_tls: bool, method: str, protocol: str
) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(bytes_pass(tmp_path, over_tls, method, protocol))


async def bytes_pass(tmp_path: Path, over_tls: bool, method: str, protocol: str) -> None:
    pki = Pki.load_or_create(tmp_path / "pki")
    pki.serve(["localhost"], ["127.0.0.1"])
    async with served(pki.ssl_context_server() if over_tls else None) as (server, port):
        context = pki.ssl_context_client(None) if over_tls else None
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(
            f"{method} / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n"
            "Content-Length: 0\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert f"\r\nUpgrade: {protocol}\r\n".encode() in head

        async def send() -> None:
            for number in range(LENGTH >> 16):
                writer.write(bytes([number]) * (1 << 16))
                await writer.drain()

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            got = await reader.readexactly(LENGTH)
        assert got == b"".join(bytes([number]) * (1 << 16) for number in range(LENGTH >> 16))
        writer.close()
        await writer.wait_closed()
        while server.connections:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("headers", "upgrade", "websocket"),
    [
        ({"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}, True, False),
        ({"Connection": "keep-alive, upgrade", "Upgrade": "WebSocket"}, True, True),
        ({"Upgrade": "websocket"}, False, False),
        ({}, False, False),
    ],
)
def test_who_asks_for_another_protocol(headers: dict[str, str], upgrade: bool, websocket: bool) -> None:
    assert is_upgrade(headers) == upgrade
    assert wants_websocket(headers) == websocket
