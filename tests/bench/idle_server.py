"""The server that does nothing: aiohttp on uvloop with TLS, fixed answers, each event once to each watcher.

    python -m tests.bench.idle_server CERT KEY      prints its port

`GET /size/N` is answered with N bytes, `POST /size/N` likewise after the body was read. `GET /watch` goes on for
good; a `POST /event` writes its body once to each watcher.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

import uvloop
from aiohttp import web


class Idle:
    """Bodies by their size, and who watches."""

    def __init__(self) -> None:
        self._bodies: dict[int, bytes] = {}
        self._watchers: set[web.StreamResponse] = set()
        self._events: list[bytes] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        if path == "/watch":
            return await self._watch(request)
        sent = await request.read()
        if path == "/event":
            self._publish(sent)
            return web.Response(body=sent)
        size = int(path.rpartition("/")[2])
        body = self._bodies.get(size)
        if body is None:
            body = self._bodies[size] = b"x" * size
        return web.Response(body=body, content_type="application/json")

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        self._watchers.add(response)
        await asyncio.Event().wait()
        return response

    def _publish(self, event: bytes) -> None:
        if not self._events:
            asyncio.get_running_loop().call_soon(self._flush)
        self._events.append(event)

    def _flush(self) -> None:
        """All events of one turn of the loop in one write a watcher: the least that can be done."""
        frames = b"".join(b'{"type":"ADDED","object":%b}\n' % event for event in self._events)
        self._events.clear()
        chunk = b"%x\r\n%b\r\n" % (len(frames), frames)
        for watcher in self._watchers:
            request = watcher._req  # noqa: SLF001 - the response knows its transport by the request alone
            if request is not None and request.transport is not None:
                request.transport.write(chunk)


async def main(cert: str, key: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    server = await asyncio.get_running_loop().create_server(web.Server(Idle()), "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
