"""A client that costs little: prepared requests over a kept-alive TLS connection, answers whole or as they come."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import orjson


@dataclass(frozen=True)
class Target:
    """A server to ask; `token` goes into every request."""

    host: str
    port: int
    token: str
    context: ssl.SSLContext
    pid: int

    def cpu_seconds(self) -> float:
        """What the server's process has taken of the cores so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def request(self, method: str, path: str, body: bytes = b"", /, **headers: str) -> bytes:
        """The request's bytes; header names are written with underscores for dashes."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}", f"Authorization: Bearer {self.token}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body

    async def connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(
            Connection, self.host, self.port, ssl=self.context, server_hostname=self.host
        )
        return protocol


class Connection(asyncio.Protocol):
    """One request at a time; the answer's body as bytes, or piece by piece to a callback for a stream."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._pieces: list[bytes] = []
        self._missing = 0
        self._waiting: asyncio.Future[None] | None = None
        self._listener: Callable[[bytes], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionResetError("closed by the server"))

    def data_received(self, data: bytes) -> None:
        if self._listener is not None:
            self._listener(data)
            return
        if not self._missing:
            head, separator, data = (self._head + data).partition(b"\r\n\r\n")
            self._head = head
            if not separator:
                return
            self._missing = _length(head)
        self._pieces.append(data)
        self._missing -= len(data)
        if self._missing == 0 and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def ask(self, request: bytes) -> bytes:
        """The answer's body; raises RuntimeError where it is not a success."""
        assert self._transport is not None
        self._head, self._pieces, self._missing = b"", [], 0
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await self._waiting
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        if int(self._head[9:12]) >= 300:
            raise RuntimeError(f"{request[:80]!r} was answered {self._head[9:12]!r}: {body[:300]!r}")
        return body

    def listen(self, request: bytes, listener: Callable[[bytes], None]) -> None:
        """Sends a request whose answer never ends; the listener gets its bytes, head and framing with them."""
        assert self._transport is not None
        self._listener = listener
        self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def follow(
    target: Target, asking: Connection, watching: Connection, path: str, look: Callable[[bytes], None]
) -> None:
    """`look` gets each event that tells of a change below the path, a line of JSON, from now on."""
    listed = orjson.loads(await asking.ask(target.request("GET", f"{path}?limit=1")))
    version = listed["metadata"]["resourceVersion"]
    pending = b""

    def got(data: bytes) -> None:
        nonlocal pending
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            if line.startswith(b'{"type":"MODIFIED"'):
                look(line)

    watching.listen(target.request("GET", f"{path}?watch=true&resourceVersion={version}"), got)


def _length(head: bytes) -> int:
    lowered = head.lower() + b"\r\n"
    at = lowered.find(b"\r\ncontent-length:")
    if at < 0:
        raise RuntimeError(f"an answer without a length: {head!r}")
    return int(lowered[at + 17 : lowered.index(b"\r\n", at + 17)])
