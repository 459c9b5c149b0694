"""A watch over HTTP: one frame of JSON a line, all that one turn of the loop brought in one write."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import orjson
from aiohttp import ClientConnectionResetError, web

from apiserver.http.answer import audit_id, partial, tabled, warning
from apiserver.http.incoming import Incoming
from apiserver.http.negotiation import Media
from apiserver.registry.conversion import from_stored, stored_resource
from apiserver.registry.watches import Seen
from machinery.api.errors import StatusError
from machinery.api.resource import Object, Resource

INITIAL_END = "k8s.io/initial-events-end"


async def stream(
    incoming: Incoming,
    batches: AsyncGenerator[Sequence[Seen], None],
    resource: Resource,
    media: Media,
    warnings: Sequence[str] = (),
) -> web.StreamResponse:
    """Writes until the watch ends or the client leaves; an Expired start is an ERROR event, as upstream's."""
    response = web.StreamResponse(status=200)
    response.headers["Content-Type"] = "application/json"
    response.headers["Cache-Control"] = "no-cache, private"
    response.headers["Audit-Id"] = audit_id(incoming)
    for each in warnings:
        response.headers.add("Warning", warning(each))
    response.enable_chunked_encoding()
    frames = Frames(incoming, resource, media)
    async with aclosing(batches):
        await response.prepare(incoming.raw)
        try:
            try:
                async for batch in batches:
                    await response.write(frames.join(batch))
            except StatusError as error:
                await response.write(_frame(b"ERROR", orjson.dumps(error.status())))
            await response.write_eof()
        except (ConnectionResetError, ClientConnectionResetError):
            # The client left: nobody is to be told.
            pass
    return response


class Frames:
    """Makes the frames of one watcher; only a Table needs to know which is the first."""

    def __init__(self, incoming: Incoming, resource: Resource, media: Media) -> None:
        self._incoming = incoming
        self._resource = resource
        self._media = media
        self._is_plain = media.form == "object" and stored_resource(resource) == resource
        self._has_columns = False

    def join(self, batch: Sequence[Seen]) -> bytes:
        return b"".join([self._one(seen) for seen in batch])

    def _one(self, seen: Seen) -> bytes:
        if seen.entry is None:
            return _frame(b"BOOKMARK", orjson.dumps(self._bookmark(seen)))
        if self._is_plain:
            return _frame(seen.type.encode(), seen.entry.json)
        return _frame(seen.type.encode(), orjson.dumps(self._formed(from_stored(seen.entry.object, self._resource))))

    def _formed(self, obj: Object) -> Object:
        if self._media.form == "partial":
            return partial(obj, self._media)
        if self._media.form == "object":
            return obj
        columns, self._has_columns = not self._has_columns, True
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        return tabled(self._incoming, self._resource, [obj], self._media, metadata, columns=columns)

    def _bookmark(self, seen: Seen) -> Object:
        metadata: Object = {"resourceVersion": str(seen.revision), "creationTimestamp": None}
        if seen.is_initial_end:
            metadata["annotations"] = {INITIAL_END: "true"}
        resource = self._resource
        obj: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self._media.form == "partial":
            return partial(obj, self._media)
        if self._media.form == "table":
            columns, self._has_columns = not self._has_columns, True
            return tabled(self._incoming, resource, [obj], self._media, {"resourceVersion": str(seen.revision)},
                          columns=columns)  # fmt: skip
        return obj


def _frame(kind: bytes, obj: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind, obj)
