"""Ports of a sandbox brought to a client: each connection a pair of streams, one for data and one for what went wrong.

Over SPDY (also in a WebSocket) the client opens a pair a connection; over plain WebSocket channels it has one a port.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from aiohttp import web

from machinery.streams.channels import PORT_PROTOCOLS, TUNNEL, chosen
from machinery.streams.link import Link, StreamLink
from machinery.streams.remote_command import PORT_FORWARD_PROTOCOL
from machinery.streams.spdy_session import SpdySession, SpdyStream, spdy_session
from machinery.streams.takeover import switching, taken_over, wants_websocket
from machinery.streams.websocket import Channels, WebSocketLink, accepted, asked_protocols, channels
from runtime.cri.streaming.negotiation import refusal, spdy_protocol
from runtime.errors import RuntimeFault

Connect = Callable[[int], Awaitable[socket.socket]]
"""A connection to a port inside the sandbox; raises Unknown where nobody listens there."""
_CHUNK = 1 << 16


class Ways(Protocol):
    """The two directions of a client's stream."""

    async def read(self) -> bytes: ...
    def abandon(self) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def end(self) -> None: ...


async def forward_ports(request: web.BaseRequest, sandbox: str, ports: Sequence[int], connect: Connect) -> None:
    """Serves until the client leaves; raises Refused before the protocol is switched."""
    if not wants_websocket(request.headers):
        _, head = spdy_protocol(request, [PORT_FORWARD_PROTOCOL])
        async with taken_over(request, switching(head)) as ends:
            await _forward_spdy(StreamLink(*ends), sandbox, connect)
        return
    asked = asked_protocols(request)
    if TUNNEL in asked:
        tunnel = await accepted(request, TUNNEL)
        await _forward_spdy(WebSocketLink(tunnel), sandbox, connect)
        await tunnel.close()
        return
    if not ports:
        raise refusal(400, 'query parameter "port" is required')
    protocol = chosen(asked, PORT_PROTOCOLS)
    if protocol is None:
        raise refusal(403, "")
    data = range(0, 2 * len(ports), 2)
    async with channels(await accepted(request, protocol.name), protocol, data) as found:
        await _forward_channels(found, sandbox, ports, connect)


async def _forward_channels(found: Channels, sandbox: str, ports: Sequence[int], connect: Connect) -> None:
    async with asyncio.TaskGroup() as group:
        pairs = []
        for index, port in enumerate(ports):
            data, errors = _Channel(found, 2 * index), _Channel(found, 2 * index + 1)
            with contextlib.suppress(ConnectionError):
                for each in (data, errors):
                    await each.write(struct.pack("<H", port))
            pairs.append(group.create_task(_forward(data, errors, port, sandbox, connect)))
        gone = group.create_task(found.ended.wait())
        all_done = group.create_task(_all(pairs))
        await asyncio.wait([gone, all_done], return_when=asyncio.FIRST_COMPLETED)
        for task in (gone, all_done, *pairs):
            task.cancel()


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


class _Channel:
    def __init__(self, found: Channels, number: int) -> None:
        self._channels, self._number = found, number

    async def read(self) -> bytes:
        return await self._channels.inboxes[self._number].get()

    def abandon(self) -> None:
        self._channels.inboxes[self._number].abandon()

    async def write(self, data: bytes) -> None:
        await self._channels.send(self._number, data)

    async def end(self) -> None:
        """These protocols have no end of one direction, so both have ended; the client sees it when all have."""
        if self._number in self._channels.inboxes:
            self.abandon()


async def _forward_spdy(link: Link, sandbox: str, connect: Connect) -> None:
    async with spdy_session(link) as session:
        pairs = _Pairs()
        async with asyncio.TaskGroup() as group:
            running: set[asyncio.Task[None]] = set()
            while (stream := await session.accepted.get()) is not None:
                if (pair := pairs.add(stream)) is not None:
                    task = group.create_task(_forward(pair.data, pair.errors, pair.port, sandbox, connect))
                    running.add(task)
                    task.add_done_callback(running.discard)
            for task in running:
                task.cancel()
        await _leave(session)


async def _leave(session: SpdySession) -> None:
    if not session.ended.is_set():
        await session.leave()


class _Pair:
    def __init__(self, data: SpdyStream, errors: SpdyStream, port: int) -> None:
        self.data, self.errors, self.port = data, errors, port


class _Pairs:
    """Streams that wait for their other half."""

    def __init__(self) -> None:
        self._waiting: dict[str, SpdyStream] = {}

    def add(self, stream: SpdyStream) -> _Pair | None:
        """The pair that the stream completes; a stream that is no half of any is reset."""
        kind, port = stream.fields.get("streamtype", ""), stream.fields.get("port", "")
        if kind not in ("data", "error") or not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
            stream.reset()
            return None
        # Before requests had numbers, a client opened the error stream and right after it that of data.
        number = stream.fields.get("requestid") or str(stream.number if kind == "error" else stream.number - 2)
        other = self._waiting.pop(number, None)
        if other is None:
            self._waiting[number] = stream
            return None
        if other.fields.get("streamtype") == kind:
            stream.reset()
            self._waiting[number] = other
            return None
        data, errors = (stream, other) if kind == "data" else (other, stream)
        return _Pair(data, errors, int(port))


async def _forward(data: Ways, errors: Ways, port: int, sandbox: str, connect: Connect) -> None:
    """One connection, from its opening to the end of both directions."""
    with contextlib.suppress(ConnectionError):
        try:
            connection = await connect(port)
        except RuntimeFault as fault:
            said = f"error forwarding port {port} to pod {sandbox}, uid : {fault.message}"
            await errors.write(said.encode())
            await data.end()
            await errors.end()
            return
        with connection:
            async with asyncio.TaskGroup() as group:
                group.create_task(_outwards(data, connection))
                await _inwards(data, errors, connection)


async def _outwards(data: Ways, connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    try:
        while piece := await data.read():
            await loop.sock_sendall(connection, piece)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        # Whoever listens takes no more, but what it has said is still to be brought.
        data.abandon()


async def _inwards(data: Ways, errors: Ways, connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while piece := await loop.sock_recv(connection, _CHUNK):
            await data.write(piece)
    with contextlib.suppress(ConnectionError):
        # The end of errors says that there were none; clients wait for it before they close their side.
        await data.end()
        await errors.end()
