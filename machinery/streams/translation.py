"""WebSocket clients joined with a backend that speaks SPDY alone: channels as streams, a tunnel as what is in it.

The end of one channel, which WebSockets have since v5 alone, SPDY has always had (KEP-4006).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

from aiohttp import WSCloseCode, web

from machinery.streams.backend import Answer, Backend, asked
from machinery.streams.channels import (
    COMMAND_PROTOCOLS,
    ERROR,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    TUNNEL,
)
from machinery.streams.inbox import Inbox
from machinery.streams.link import join
from machinery.streams.remote_command import PORT_FORWARD_PROTOCOL, SPDY, SPDY_PROTOCOLS, STREAM_PROTOCOL
from machinery.streams.spdy_session import SpdyStream, spdy_session
from machinery.streams.websocket import Channels, WebSocketLink, accepted, asked_protocols, channels

_V5 = COMMAND_PROTOCOLS[0]
_NAMES = {ERROR: "error", STDIN: "stdin", STDOUT: "stdout", STDERR: "stderr", RESIZE: "resize"}
"""In the order in which a client opens them."""


def is_translatable(request: web.BaseRequest) -> bool:
    """Whether the client asks for what only newer backends know."""
    offered = asked_protocols(request)
    return TUNNEL in offered or _V5.name in offered


async def translate(request: web.BaseRequest, backend: Backend, streams: Iterable[str]) -> web.StreamResponse:
    """Serves a request that is translatable to its end; a backend that does not switch has its answer returned.

    `streams` are those of the command that the client uses, by their SPDY names, none for a tunnel. Raises
    UnreachableError.
    """
    offered = asked_protocols(request)
    protocol = PORT_FORWARD_PROTOCOL if TUNNEL in offered else SPDY_PROTOCOLS[0]
    headers = [("Connection", "Upgrade"), ("Upgrade", SPDY), (STREAM_PROTOCOL, protocol)]
    async with asked(backend, "POST", headers) as answer:
        if not answer.has_switched:
            return await answer.response()
        if TUNNEL in offered:
            return await _tunnel(request, answer)
        return await _command(request, answer, {"error", *streams})


async def _tunnel(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    socket = await accepted(request, TUNNEL)
    await join(WebSocketLink(socket), answer.link)
    await socket.close()
    return socket


async def _command(request: web.BaseRequest, answer: Answer, wanted: set[str]) -> web.StreamResponse:
    async with spdy_session(answer.link, is_client=True) as session:
        numbers = [number for number, name in _NAMES.items() if name in wanted]
        streams = {number: await session.open({"streamtype": _NAMES[number]}) for number in numbers}
        socket = await accepted(request, _V5.name)
        async with channels(socket, _V5, [each for each in (STDIN, RESIZE) if each in streams]) as found:
            with contextlib.suppress(ConnectionError):
                await found.send(min({STDOUT, STDERR, ERROR} & streams.keys()), b"")
            if not await _joined(found, streams):
                # The last word is missing: without it a client would take the end for a success.
                await socket.close(code=WSCloseCode.INTERNAL_ERROR, message=b"the node ended the stream")
    return socket


async def _joined(found: Channels, streams: Mapping[int, SpdyStream]) -> bool:
    """Returns when the command has ended or the client has left: whether how it ended was told."""
    async with asyncio.TaskGroup() as group:
        inwards = [group.create_task(_feed(inbox, streams[number])) for number, inbox in found.inboxes.items()]
        telling = group.create_task(_tell(found, streams))
        gone = group.create_task(found.ended.wait())
        await asyncio.wait([telling, gone], return_when=asyncio.FIRST_COMPLETED)
        for task in (telling, gone, *inwards):
            task.cancel()
    return not telling.cancelled() and telling.result()


async def _feed(inbox: Inbox, stream: SpdyStream) -> None:
    try:
        while data := await inbox.get():
            await stream.write(data)
        await stream.end()
    except ConnectionError:
        # Nobody reads it any more; the command may still write.
        inbox.abandon()


async def _tell(found: Channels, streams: Mapping[int, SpdyStream]) -> bool:
    """Whether the client took all, down to how the command ended."""
    async with asyncio.TaskGroup() as group:
        for number in (STDOUT, STDERR):
            if number in streams:
                group.create_task(_copy(streams[number], found, number))
    return await _copy(streams[ERROR], found, ERROR) > 0


async def _copy(stream: SpdyStream, found: Channels, number: int) -> int:
    """How many bytes the client took."""
    taken = 0
    with contextlib.suppress(ConnectionError):
        while data := await stream.read():
            await found.send(number, data)
            taken += len(data)
    return taken
