"""A request for another protocol sent on to a backend, and the two connections joined once that has switched.

Neither end is understood, so whatever protocol they agree on passes. Each direction waits for whoever takes it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDict

from machinery.streams.takeover import LIMIT, taken_over

LOG = logging.getLogger("streams")
_LONGEST_BODY = 1 << 20
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 60.0
_NOT_PASSED_ON = ("host", "content-length", "transfer-encoding", "authorization")


class UnreachableError(Exception):
    """The backend can't be connected to, or ends the connection instead of an answer; the message is Go's wording."""


@dataclass(frozen=True)
class Backend:
    """Where the request goes: an http or https URL with its query; TLS by `context`."""

    url: str
    context: ssl.SSLContext | None = None


async def relay(request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
    """Serves the request's connection to its end; a backend that does not switch has its answer returned.

    Raises UnreachableError.
    """
    parts = urlsplit(backend.url)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=backend.context, limit=LIMIT)
    except (OSError, TimeoutError) as error:
        raise UnreachableError(_words(error, parts.netloc)) from error
    try:
        writer.write(_head(request, parts.netloc, parts.path + (f"?{parts.query}" if parts.query else "")))
        async with asyncio.timeout(_ANSWER_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
            status, headers = _parsed(head)
            if status != 101:
                return await _answer(status, headers, reader)
        async with taken_over(request, head) as (from_client, to_client):
            await _join((from_client, writer), (reader, to_client))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError) as error:
        raise UnreachableError("unexpected EOF" if not isinstance(error, TimeoutError) else "i/o timeout") from error
    finally:
        writer.close()
    return web.Response()


async def _join(*ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    """Returns when either way has ended: what came before the end is written by then."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_copy(reader, writer)) for reader, writer in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(LIMIT):
            writer.write(data)
            await writer.drain()
    except OSError as error:
        # A peer that leaves in the middle is no failure of ours, whether TCP or TLS notices.
        LOG.debug("a stream broke: %s", error)


def _head(request: web.BaseRequest, host: str, target: str) -> bytes:
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in _passed_on(request.headers.items())]
    lines += ["Content-Length: 0"] if request.method == "POST" else []
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def _passed_on(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Credentials are for us alone."""
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in _NOT_PASSED_ON and not name.lower().startswith("impersonate-")
    ]


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


async def _answer(status: int, headers: CIMultiDict[str], reader: asyncio.StreamReader) -> web.Response:
    """The backend's own answer, with its body as far as it is told or the connection lasts."""
    length = headers.get("Content-Length", "")
    most = min(int(length), _LONGEST_BODY) if length.isdigit() else _LONGEST_BODY
    body = b""
    while len(body) < most and (data := await reader.read(most - len(body))):
        body += data
    kind = {"Content-Type": headers.get("Content-Type", "text/plain; charset=utf-8")}
    more = {name: value for name, value in headers.items() if name.lower().startswith("x-")}
    return web.Response(status=status, body=body, headers=kind | more)


def _words(error: OSError | TimeoutError, address: str) -> str:
    if isinstance(error, TimeoutError):
        return f"dial tcp {address}: i/o timeout"
    # asyncio words the error itself.
    why = os.strerror(error.errno) if isinstance(error.errno, int) and error.errno > 0 else str(error)
    return f"dial tcp {address}: connect: {why.lower()}"
