"""Clients of streams as kubectl and crictl are: SPDY over a raw upgrade, channels over WebSocket, SPDY in WebSocket."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp

from machinery.streams.channels import COMMAND_PROTOCOLS, ERROR, RESIZE, STDERR, STDIN, STDOUT, TUNNEL, close_message
from machinery.streams.link import StreamLink
from machinery.streams.remote_command import PORT_FORWARD_PROTOCOL, SPDY_PROTOCOLS
from machinery.streams.spdy_session import SpdySession, SpdyStream, spdy_session


@dataclass
class Answer:
    """All that a command said, and its last word."""

    stdout: bytes = b""
    stderr: bytes = b""
    status: bytes = b""


class RefusedError(Exception):
    """The server did not switch protocols; `status` and `body` are what it said."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status, self.body = status, body


@asynccontextmanager
async def upgraded(
    url: str, protocols: Sequence[str], context: ssl.SSLContext | None = None
) -> AsyncIterator[SpdySession]:
    """A SPDY session as client-go opens one; raises RefusedError."""
    async with connected(url, protocols, context) as (session, _):
        yield session


@asynccontextmanager
async def connected(
    url: str, protocols: Sequence[str], context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[SpdySession, asyncio.WriteTransport]]:
    """A SPDY session, and the connection that carries it."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context)
    try:
        lines = [f"POST {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}", "Connection: Upgrade"]
        lines += ["Upgrade: SPDY/3.1", "Content-Length: 0"]
        lines += [f"X-Stream-Protocol-Version: {each}" for each in protocols]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status = int(head.split()[1])
        if status != 101:
            length = next(int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:"))
            raise RefusedError(status, (await reader.readexactly(length)).decode())
        async with spdy_session(StreamLink(reader, writer), is_client=True) as session:
            yield session, writer.transport
            await session.leave()
    finally:
        writer.close()


@dataclass
class Command:
    """The client's side of a command over SPDY."""

    transport: asyncio.WriteTransport
    streams: dict[str, SpdyStream] = field(default_factory=dict)

    async def cut(self) -> None:
        """Ends the connection without a word."""
        self.transport.abort()

    async def send(self, data: bytes) -> None:
        await self.streams["stdin"].write(data)

    async def end_input(self) -> None:
        await self.streams["stdin"].end()

    async def answer(self) -> Answer:
        """Everything until the server has ended its streams."""
        async with asyncio.TaskGroup() as group:
            reads = {name: group.create_task(whole(s)) for name, s in self.streams.items() if name not in INWARDS}
        found = {name: task.result() for name, task in reads.items()}
        return Answer(found.get("stdout", b""), found.get("stderr", b""), found["error"])


INWARDS = ("stdin", "resize")


async def whole(stream: SpdyStream) -> bytes:
    pieces = []
    while piece := await stream.read():
        pieces.append(piece)
    return b"".join(pieces)


@asynccontextmanager
async def spdy_command(
    url: str,
    streams: Sequence[str] = ("stdout", "stderr"),
    protocol: str = SPDY_PROTOCOLS[0],
    *,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[Command]:
    async with connected(url, [protocol], context) as (session, transport):
        command = Command(transport)
        for name in ("error", *streams):
            command.streams[name] = await session.open({"streamtype": name})
        yield command


class WebSocketCommand:
    """The client's side of a command over channels."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.protocol = next(each for each in COMMAND_PROTOCOLS if each.name == socket.protocol)

    async def send(self, data: bytes, channel: int = STDIN) -> None:
        said = self.protocol.encode(channel, data)
        if self.protocol.is_text:
            await self._socket.send_str(said.decode())
        else:
            await self._socket.send_bytes(said)

    async def end_input(self) -> None:
        await self._socket.send_bytes(close_message(STDIN))

    async def resize(self, width: int, height: int) -> None:
        await self.send(b'{"Width":%d,"Height":%d}' % (width, height), RESIZE)

    async def next(self) -> tuple[int, bytes] | None:
        """The next message's channel and data; None once the server has closed."""
        message = await self._socket.receive()
        if message.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
            return None
        found = self.protocol.decode(message.data.encode() if self.protocol.is_text else message.data)
        assert found is not None
        return found.channel, found.data

    async def answer(self) -> Answer:
        found = {STDOUT: bytearray(), STDERR: bytearray(), ERROR: bytearray()}
        while (said := await self.next()) is not None:
            found[said[0]] += said[1]
        return Answer(bytes(found[STDOUT]), bytes(found[STDERR]), bytes(found[ERROR]))


@asynccontextmanager
async def websocket_command(
    url: str, protocol: str = COMMAND_PROTOCOLS[0].name, *, context: ssl.SSLContext | None = None
) -> AsyncIterator[WebSocketCommand]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=[protocol], ssl=context or True, max_msg_size=0) as socket,
    ):
        yield WebSocketCommand(socket)


class BareWebSocket:
    """A client that only sends, and may be cut in the middle of it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def send(self, data: bytes) -> None:
        # A mask of zeros leaves the payload as it is (RFC 6455 5.3).
        message = bytes([STDIN]) + data
        self._writer.write(struct.pack(">BBQI", 0x82, 0x80 | 127, len(message), 0) + message)
        await self._writer.drain()

    async def cut(self) -> None:
        """Ends the connection without a word."""
        self._writer.transport.abort()


@asynccontextmanager
async def bare_websocket(url: str) -> AsyncIterator[BareWebSocket]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    key = "AAAAAAAAAAAAAAAAAAAAAA=="
    lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: Upgrade", "Upgrade: websocket"]
    lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Protocol: v4.channel.k8s.io"]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    await reader.readuntil(b"\r\n\r\n")
    try:
        yield BareWebSocket(writer)
    finally:
        writer.close()


async def open_pair(session: SpdySession, port: int, number: int) -> tuple[SpdyStream, SpdyStream]:
    """The data and error streams of one forwarded connection."""
    fields = {"port": str(port), "requestid": str(number)}
    errors = await session.open({"streamtype": "error", **fields})
    await errors.end()
    return await session.open({"streamtype": "data", **fields}), errors


@asynccontextmanager
async def forwarding(url: str) -> AsyncIterator[SpdySession]:
    async with upgraded(url, [PORT_FORWARD_PROTOCOL]) as session:
        yield session


class _MessageLink:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> bytes:
        message = await self._socket.receive()
        return bytes(message.data) if message.type == aiohttp.WSMsgType.BINARY else b""

    async def send(self, data: bytes) -> None:
        await self._socket.send_bytes(data)


@asynccontextmanager
async def tunnelled(url: str) -> AsyncIterator[SpdySession]:
    """Ports over SPDY in a WebSocket, as kubectl has them forwarded since 1.31."""
    async with aiohttp.ClientSession() as http, http.ws_connect(url, protocols=[TUNNEL]) as socket:
        assert socket.protocol == TUNNEL
        async with spdy_session(_MessageLink(socket), is_client=True) as session:
            yield session
