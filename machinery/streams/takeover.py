"""The socket of an HTTP request whose client asks to switch protocols, taken over from aiohttp.

aiohttp's parser lets `Upgrade: websocket` alone through to its own framing; any other upgrade it gives to the handler
as a request without a body. A client must not send on before it has read the 101 (RFC 9110 7.8), so at that moment
nothing of the new protocol has been read, and the transport can change hands.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

LIMIT = 1 << 16
"""Bytes that are read ahead of whoever takes them; beyond twice that the peer waits."""


def is_upgrade(headers: Mapping[str, str]) -> bool:
    """Whether the client asks for another protocol (RFC 9110 7.8)."""
    return any(each.strip().lower() == "upgrade" for each in headers.get("Connection", "").split(","))


def wants_websocket(headers: Mapping[str, str]) -> bool:
    return is_upgrade(headers) and headers.get("Upgrade", "").lower() == "websocket"


def switching(headers: Iterable[tuple[str, str]]) -> bytes:
    """The head of the answer that switches protocols."""
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    return f"HTTP/1.1 101 Switching Protocols\r\n{''.join(lines)}\r\n".encode("latin-1")


@asynccontextmanager
async def taken_over(
    request: web.BaseRequest, head: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Answers with `head` and gives the two directions of the connection, which is closed with the block.

    Raises ConnectionResetError where the client has left. The handler must stay within the block as long as the
    connection is used; the response that it returns afterwards is seen by nobody.
    """
    transport, before = request.transport, request.protocol
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client has left")
    reader = asyncio.StreamReader(LIMIT, asyncio.get_running_loop())
    protocol = _Streams(reader)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
    try:
        writer.write(head)
        yield reader, writer
    finally:
        writer.close()
        protocol.give_back(before)


class _Streams(asyncio.StreamReaderProtocol):
    """Tells the protocol before of the connection's end, once it is given back: aiohttp counts its connections."""

    _is_lost = False
    _before: asyncio.Protocol | None = None

    def give_back(self, before: asyncio.Protocol) -> None:
        if self._is_lost:
            before.connection_lost(None)
        self._before = before

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._is_lost = True
        if self._before is not None:
            self._before.connection_lost(exc)
