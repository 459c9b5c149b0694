"""A WebSocket of v5 before a backend of SPDY that breaks off, or does not switch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from machinery.streams.backend import Backend
from machinery.streams.channels import ERROR, STDOUT, TUNNEL
from machinery.streams.link import StreamLink
from machinery.streams.remote_command import PORT_FORWARD_PROTOCOL, SPDY_PROTOCOLS, STREAM_PROTOCOL
from machinery.streams.spdy_session import SpdySession, spdy_session
from machinery.streams.takeover import switching, taken_over
from machinery.streams.translation import is_translatable, translate

V5 = "v5.channel.k8s.io"
Play = Callable[[SpdySession], Awaitable[None]]


@asynccontextmanager
async def served(handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def translated(play: Play) -> AsyncIterator[str]:
    """The URL of a translator whose backend does what `play` does with the client's streams, and is gone then."""

    async def backend(request: web.BaseRequest) -> web.StreamResponse:
        head = switching([("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")])
        async with taken_over(request, head) as ends, spdy_session(StreamLink(*ends)) as session:
            await play(session)
            await session.leave()
        return web.Response()

    async with served(backend) as inner, translator(inner) as url:
        yield url


@asynccontextmanager
async def translator(inner: str) -> AsyncIterator[str]:
    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        assert is_translatable(request)
        return await translate(request, Backend(inner), ["stdout"])

    async with served(serve) as url:
        yield url


async def messages(url: str) -> tuple[list[bytes], int | None]:
    """All that the translator says to a client, and by which code it closes."""
    async with aiohttp.ClientSession() as session, session.ws_connect(url, protocols=[V5]) as socket:
        found = [bytes(each.data) async for each in socket]
        return found, socket.close_code


@pytest.mark.parametrize(("last", "code"), [(b'{"status":"Success"}', 1000), (b"", 1011)])
async def test_an_end_without_a_last_word_is_no_success(last: bytes, code: int) -> None:
    async def play(session: SpdySession) -> None:
        errors, stdout = [await session.accepted.get() for _ in range(2)]
        assert errors is not None and stdout is not None
        assert (errors.fields["streamtype"], stdout.fields["streamtype"]) == ("error", "stdout")
        await stdout.write(b"said")
        if last:
            await errors.write(last)

    async with translated(play) as url:
        found, closed = await messages(url)
    told = [bytes([ERROR]) + last] if last else []
    assert (found, closed) == ([bytes([STDOUT]), bytes([STDOUT]) + b"said", *told], code)


@pytest.mark.parametrize(("protocol", "asked"), [(V5, SPDY_PROTOCOLS[0]), (TUNNEL, PORT_FORWARD_PROTOCOL)])
async def test_a_refusal_is_handed_on(protocol: str, asked: str) -> None:
    heads = []

    async def backend(request: web.BaseRequest) -> web.StreamResponse:
        heads.append((request.method, request.headers[STREAM_PROTOCOL]))
        return web.Response(status=500, text="not now")

    async with served(backend) as inner, translator(inner) as url, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url, protocols=[protocol])
    assert refused.value.status == 500
    assert heads == [("POST", asked)]


async def test_a_client_that_leaves_ends_the_backend_s_streams() -> None:
    ended = asyncio.Event()

    async def play(session: SpdySession) -> None:
        await session.ended.wait()
        ended.set()

    async with translated(play) as url, aiohttp.ClientSession() as session:
        async with session.ws_connect(url, protocols=[V5]) as socket:
            assert (await socket.receive()).data == bytes([STDOUT])
        async with asyncio.timeout(60):
            await ended.wait()
