"""A server that is asked to switch protocols on somebody's behalf, and its answer."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDict

from machinery.streams.link import StreamLink
from machinery.streams.takeover import LIMIT
from machinery.structs import Struct

_LONGEST_BODY = 1 << 20
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 60.0


class UnreachableError(Exception):
    """The backend can't be connected to, or ends the connection instead of an answer; the message is Go's wording."""


class Backend(Struct, frozen=True):
    """Where the request goes: an http or https URL with its query; TLS by `context`."""

    url: str
    context: ssl.SSLContext | None = None


class Answer(Struct, frozen=True):
    """What the backend said; `link` is its connection after `head`."""

    head: bytes
    status: int
    headers: CIMultiDict[str]
    link: StreamLink

    @property
    def has_switched(self) -> bool:
        return self.status == 101

    async def response(self) -> web.Response:
        """The answer as it is, for whoever asked, with its body as far as it is told or the connection lasts."""
        length = self.headers.get("Content-Length", "")
        most = min(int(length), _LONGEST_BODY) if length.isdigit() else _LONGEST_BODY
        body = b""
        while len(body) < most and (data := await self.link.receive()):
            body += data
        kind = {"Content-Type": self.headers.get("Content-Type", "text/plain; charset=utf-8")}
        more = {name: value for name, value in self.headers.items() if name.lower().startswith("x-")}
        return web.Response(status=self.status, body=body[:most], headers=kind | more)


@asynccontextmanager
async def asked(backend: Backend, method: str, headers: Iterable[tuple[str, str]]) -> AsyncIterator[Answer]:
    """The backend's answer to a request without a body; its connection is closed with the block.

    Raises UnreachableError.
    """
    parts = urlsplit(backend.url)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=backend.context, limit=LIMIT)
    except (OSError, TimeoutError) as error:
        raise UnreachableError(_words(error, parts.netloc)) from error
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        writer.write(_head(f"{method} {target}", [("Host", parts.netloc), *headers], has_length=method == "POST"))
        yield await _answer(reader, writer)
    finally:
        writer.close()


def _head(what: str, headers: Iterable[tuple[str, str]], *, has_length: bool) -> bytes:
    lines = [f"{what} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    lines += ["Content-Length: 0"] if has_length else []
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        return Answer(head, *_parsed(head), StreamLink(reader, writer))
    except TimeoutError as error:
        raise UnreachableError("i/o timeout") from error
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise UnreachableError("unexpected EOF") from error


def _parsed(head: bytes) -> tuple[int, CIMultiDict[str]]:
    """The status and headers; raises ValueError for what is no HTTP."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, *_ = first.split(" ")
    if not version.startswith("HTTP/"):
        raise ValueError(first)
    headers: CIMultiDict[str] = CIMultiDict()
    for line in filter(None, lines):
        name, _, value = line.partition(":")
        headers.add(name, value.strip())
    return int(status), headers


def _words(error: OSError | TimeoutError, address: str) -> str:
    if isinstance(error, TimeoutError):
        return f"dial tcp {address}: i/o timeout"
    # asyncio words the error itself.
    why = os.strerror(error.errno) if isinstance(error.errno, int) and error.errno > 0 else str(error)
    return f"dial tcp {address}: connect: {why.lower()}"
