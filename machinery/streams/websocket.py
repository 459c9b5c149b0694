"""A WebSocket as channels, and as the link of a SPDY connection in it; aiohttp does the framing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiohttp import WSMsgType, web

from machinery.streams.channels import ChannelProtocol
from machinery.streams.inbox import Inbox

_LONGEST = 16 << 20
_PIECE = 1 << 16
_CLOSE_SECONDS = 5.0


def asked_protocols(request: web.BaseRequest) -> list[str]:
    """The sub-protocols that the client asks for, in its order."""
    said = ",".join(request.headers.getall("Sec-WebSocket-Protocol", ()))
    return [each.strip() for each in said.split(",") if each.strip()]


async def accepted(request: web.BaseRequest, protocol: str) -> web.WebSocketResponse:
    """The open WebSocket; raises aiohttp's HTTPBadRequest for a handshake that is none."""
    protocols = [protocol] if protocol else []
    socket = web.WebSocketResponse(
        protocols=protocols, compress=False, max_msg_size=_LONGEST, timeout=_CLOSE_SECONDS, autoclose=True
    )
    await socket.prepare(request)
    return socket


async def message(socket: web.WebSocketResponse) -> bytes | None:
    """The next message, text as its bytes; None once the client has left."""
    received = await socket.receive()
    if received.type == WSMsgType.BINARY:
        return bytes(received.data)
    return received.data.encode() if received.type == WSMsgType.TEXT else None


class WebSocketLink:
    """Messages as pieces of one stream of bytes."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> bytes:
        while (data := await message(self._socket)) == b"":
            continue
        return data or b""

    async def send(self, data: bytes) -> None:
        await self._socket.send_bytes(data)


class Channels:
    """Channels that are read and written; those not in `inboxes` are never read."""

    def __init__(self, socket: web.WebSocketResponse, protocol: ChannelProtocol, readable: Iterable[int]) -> None:
        self._socket, self._protocol = socket, protocol
        self.inboxes = {number: Inbox() for number in readable}
        self.ended = asyncio.Event()

    async def send(self, channel: int, data: bytes) -> None:
        """Returns when more may be sent; raises ConnectionResetError where the client is gone."""
        try:
            for start in range(0, len(data) or 1, _PIECE):
                said = self._protocol.encode(channel, data[start : start + _PIECE])
                if self._protocol.is_text:
                    await self._socket.send_str(said.decode())
                else:
                    await self._socket.send_bytes(said)
        except ConnectionError:
            # Reading may be waiting for a reader and can't see it.
            self._end()
            raise

    async def read_in(self) -> None:
        while (said := await message(self._socket)) is not None:
            found = self._protocol.decode(said)
            inbox = self.inboxes.get(found.channel) if found is not None else None
            if found is None or inbox is None:
                continue
            await inbox.put(found.data)
            if found.is_end:
                inbox.end()
        self._end()

    def _end(self) -> None:
        self.ended.set()
        for inbox in self.inboxes.values():
            inbox.end()


@asynccontextmanager
async def channels(
    socket: web.WebSocketResponse, protocol: ChannelProtocol, readable: Iterable[int]
) -> AsyncIterator[Channels]:
    """Channels that are read as long as the block runs; the socket is closed with it."""
    found = Channels(socket, protocol, readable)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(found.read_in())
        try:
            yield found
        finally:
            reading.cancel()
    await socket.close()
