"""The client's ends of a command's streams, over SPDY or over a WebSocket's channels."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from aiohttp import web

from machinery.streams.channels import COMMAND_PROTOCOLS, ERROR, RESIZE, STDERR, STDIN, STDOUT, ChannelProtocol, chosen
from machinery.streams.inbox import Inbox
from machinery.streams.link import StreamLink
from machinery.streams.remote_command import SPDY_PROTOCOLS, Outcome, Sizes
from machinery.streams.spdy_session import SpdySession, SpdyStream, spdy_session
from machinery.streams.takeover import switching, taken_over, wants_websocket
from machinery.streams.websocket import Channels, accepted, asked_protocols, channels
from runtime.cri.streaming.negotiation import refusal, spdy_protocol
from runtime.sandbox.execution import Wanted

_CREATION_SECONDS = 30.0
_GOODBYE_SECONDS = 5.0


class Remote(Protocol):
    async def read(self) -> bytes:
        """The next piece of input; empty at its end."""

    def abandon_input(self) -> None:
        """What comes from now on is dropped, so that it holds nothing else up."""

    async def write(self, data: bytes, *, is_error: bool = False) -> None:
        """Returns when more may be written; raises ConnectionError where the client is gone."""

    def sizes(self) -> AsyncIterator[tuple[int, int]]:
        """The terminal's (width, height) whenever the client changes it."""

    async def gone(self) -> None:
        """Returns when the client has left."""

    async def finish(self, outcome: Outcome) -> None:
        """Tells how it ended, all output before it."""


@asynccontextmanager
async def remote(request: web.BaseRequest, wanted: Wanted) -> AsyncIterator[Remote | None]:
    """The streams that the request opens, closed with the block; None where the client doesn't open them after all.

    Raises Refused before the protocol is switched.
    """
    if wants_websocket(request.headers):
        protocol = chosen(asked_protocols(request), COMMAND_PROTOCOLS)
        if protocol is None:
            raise refusal(403, "")
        socket = await accepted(request, protocol.name)
        readable = [*([STDIN] if wanted.stdin else []), RESIZE]
        async with channels(socket, protocol, readable) as found:
            await found.send(STDOUT if wanted.stdout else STDERR if wanted.stderr else ERROR, b"")
            yield WebSocketRemote(found, protocol)
        return
    name, head = spdy_protocol(request, SPDY_PROTOCOLS)
    async with taken_over(request, switching(head)) as ends, spdy_session(StreamLink(*ends)) as session:
        streams = await _streams(session, _expected(name, wanted))
        yield None if streams is None else SpdyRemote(session, name, streams)
        await _goodbye(session, streams or {})


def _expected(protocol: str, wanted: Wanted) -> set[str]:
    """The types of the streams that the client opens: resize since v3, for terminals alone."""
    flags = {"stdin": wanted.stdin, "stdout": wanted.stdout, "stderr": wanted.stderr}
    has_sizes = wanted.tty and protocol in SPDY_PROTOCOLS[:2]
    return {"error", *(name for name, is_used in flags.items() if is_used), *(["resize"] if has_sizes else [])}


async def _streams(session: SpdySession, expected: set[str]) -> Mapping[str, SpdyStream] | None:
    """The client's streams by their type; None where it does not open them all in time."""
    found: dict[str, SpdyStream] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CREATION_SECONDS):
            while not expected <= found.keys():
                stream = await session.accepted.get()
                if stream is None:
                    return None
                found[stream.fields.get("streamtype", "").lower()] = stream
            return found
    return None


async def _goodbye(session: SpdySession, streams: Mapping[str, SpdyStream]) -> None:
    """Lets the client read to the end and leave first: closing on what it still sends would take our last words."""
    for stream in streams.values():
        if not stream.has_said_all or not stream.has_heard_all:
            with contextlib.suppress(ConnectionError):
                await stream.end()
            stream.abandon()
    await session.leave()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GOODBYE_SECONDS):
            await session.ended.wait()


async def _sizes(inbox: Inbox) -> AsyncIterator[tuple[int, int]]:
    reader = Sizes()
    while data := await inbox.get():
        with contextlib.suppress(ValueError):
            for size in reader.feed(data):
                yield size


class SpdyRemote:
    def __init__(self, session: SpdySession, protocol: str, streams: Mapping[str, SpdyStream]) -> None:
        self._session, self._protocol, self._streams = session, protocol, streams

    async def read(self) -> bytes:
        return await self._streams["stdin"].read()

    def abandon_input(self) -> None:
        self._streams["stdin"].abandon()

    async def write(self, data: bytes, *, is_error: bool = False) -> None:
        await self._streams["stderr" if is_error else "stdout"].write(data)

    async def sizes(self) -> AsyncIterator[tuple[int, int]]:
        if "resize" in self._streams:
            async for size in _sizes(self._streams["resize"].inbox):
                yield size

    async def gone(self) -> None:
        await self._session.ended.wait()

    async def finish(self, outcome: Outcome) -> None:
        for name in ("stdout", "stderr"):
            if name in self._streams:
                await self._streams[name].end()
        said = outcome.status() if self._protocol == SPDY_PROTOCOLS[0] else outcome.message.encode()
        await self._streams["error"].write(said)
        await self._streams["error"].end()


class WebSocketRemote:
    def __init__(self, found: Channels, protocol: ChannelProtocol) -> None:
        self._channels, self._protocol = found, protocol

    async def read(self) -> bytes:
        return await self._channels.inboxes[STDIN].get()

    def abandon_input(self) -> None:
        self._channels.inboxes[STDIN].abandon()

    async def write(self, data: bytes, *, is_error: bool = False) -> None:
        await self._channels.send(STDERR if is_error else STDOUT, data)

    async def sizes(self) -> AsyncIterator[tuple[int, int]]:
        async for size in _sizes(self._channels.inboxes[RESIZE]):
            yield size

    async def gone(self) -> None:
        await self._channels.ended.wait()

    async def finish(self, outcome: Outcome) -> None:
        said = outcome.status() if self._protocol.has_status else outcome.message.encode()
        if said:
            await self._channels.send(ERROR, said)
