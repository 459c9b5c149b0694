"""A watch over HTTP: one frame of JSON a line, all that one turn of the loop brought in one write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import orjson
from aiohttp import ClientConnectionResetError, web

from apiserver.cache_bucket import CacheEvent
from apiserver.http.answer import INITIAL_END, audit_id, partial, tabled, warning
from apiserver.http.incoming import Incoming
from apiserver.http.negotiation import Media
from apiserver.registry.conversion import from_stored, stored_resource
from apiserver.registry.watches import Seen, Watching
from machinery.api.canonical import canonical
from machinery.api.errors import StatusError
from machinery.api.resource import Object, Resource

_MOST_UNREAD = 8 * 1024 * 1024
_TYPES = {"ADDED": b"ADDED", "MODIFIED": b"MODIFIED", "DELETED": b"DELETED"}


async def stream(
    incoming: Incoming, watching: Watching, resource: Resource, media: Media, warnings: Sequence[str] = ()
) -> web.StreamResponse:
    """Writes until the watch ends or the client leaves; an Expired start is an ERROR event, as upstream's."""
    await watching.start()
    response = web.StreamResponse(status=200)
    response.headers["Content-Type"] = "application/json"
    response.headers["Cache-Control"] = "no-cache, private"
    response.headers["Audit-Id"] = audit_id(incoming)
    for each in warnings:
        response.headers.add("Warning", warning(each))
    response.enable_chunked_encoding()
    frames = Frames(incoming, resource, media)
    await response.prepare(incoming.raw)
    try:
        try:
            if watching.is_whole and frames.is_plain:
                await _listen(response, incoming, watching, frames)
            else:
                async with aclosing(watching.batches()) as batches:
                    async for batch in batches:
                        await response.write(frames.join(batch))
        except StatusError as error:
            await response.write(frame(b"ERROR", orjson.dumps(error.status())))
        await response.write_eof()
    except (ConnectionResetError, ClientConnectionResetError):
        # The client left: nobody is to be told.
        pass
    return response


async def _listen(response: web.StreamResponse, incoming: Incoming, watching: Watching, frames: Frames) -> None:
    """Once what there was is written, the socket gets the pieces that all like it get."""
    if watching.initial:
        await response.write(frames.join(watching.initial))
        watching.initial = None
    transport = incoming.raw.transport
    if transport is None:
        raise ConnectionResetError
    socket = Socket(transport)
    audience = watching.listen(socket, chunk)
    try:
        while not socket.ended.is_set() and (patience := watching.patience()) > 0:
            socket.is_quiet = True
            try:
                async with asyncio.timeout(patience):
                    await socket.ended.wait()
            except TimeoutError:
                audience.flush()
                if socket.is_quiet and watching.allows_bookmarks:
                    await response.write(frames.join([Seen("BOOKMARK", watching.revision)]))
    finally:
        audience.leave(socket)


class Socket:
    """A listener's socket: written to at once, past aiohttp's writer, and given up when its client reads too slowly."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self.ended = asyncio.Event()
        self.is_quiet = True

    def take(self, piece: bytes, revision: int) -> None:
        if self.ended.is_set():
            return
        self.is_quiet = False
        self._transport.write(piece)
        if self._transport.get_write_buffer_size() > _MOST_UNREAD:
            # It resumes from what it has read, if ever it reads again.
            self._transport.abort()
            self.end()

    def end(self) -> None:
        self.ended.set()


def chunk(events: Sequence[CacheEvent]) -> bytes:
    """The events' frames as one chunk of HTTP/1.1 (RFC 9112, 7.1)."""
    frames = b"".join([frame(_TYPES[event.type], event.entry.json) for event in events])
    return b"%x\r\n%b\r\n" % (len(frames), frames)


class Frames:
    """Makes the frames of one watcher; only a Table needs to know which is the first."""

    def __init__(self, incoming: Incoming, resource: Resource, media: Media) -> None:
        self._incoming = incoming
        self._resource = resource
        self._media = media
        self.is_plain = media.form == "object" and stored_resource(resource) == resource
        self._has_columns = False

    def join(self, batch: Sequence[Seen]) -> bytes:
        return b"".join([self._one(seen) for seen in batch])

    def _one(self, seen: Seen) -> bytes:
        if seen.entry is None:
            return frame(b"BOOKMARK", orjson.dumps(self._bookmark(seen)))
        if self.is_plain:
            return frame(seen.type.encode(), seen.entry.json)
        return frame(seen.type.encode(), orjson.dumps(self._formed(from_stored(seen.entry.object, self._resource))))

    def _formed(self, obj: Object) -> Object:
        if self._media.form == "partial":
            return partial(obj, self._media)
        if self._media.form == "object":
            return obj
        columns, self._has_columns = not self._has_columns, True
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        return tabled(self._incoming, self._resource, [obj], self._media, metadata, columns=columns)

    def _bookmark(self, seen: Seen) -> Object:
        """An object of the kind that has a version and else what Go's empty struct shows."""
        metadata: Object = {"resourceVersion": str(seen.revision)}
        if seen.is_initial_end:
            metadata["annotations"] = {INITIAL_END: "true"}
        resource = self._resource
        bare = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        obj = canonical(bare, resource)
        if self._media.form == "partial":
            return partial(obj, self._media)
        if self._media.form == "table":
            columns, self._has_columns = not self._has_columns, True
            return tabled(self._incoming, resource, [obj], self._media, {"resourceVersion": str(seen.revision)},
                          columns=columns)  # fmt: skip
        return obj


def frame(kind: bytes, obj: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind, obj)
