"""Answers with lists: the entries' own bytes joined where they will do, else objects in the form asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson
from aiohttp import web

from apiserver.cache_entry import Entry
from apiserver.http.answer import encode, internal_type, partial, respond, tabled
from apiserver.http.compression import HEADERS, accepts_gzip
from apiserver.http.incoming import Incoming
from apiserver.http.list_bodies import ListBodies
from apiserver.http.negotiation import JSON, Media, is_pretty
from apiserver.registry.conversion import from_stored, stored_resource
from apiserver.registry.lists import Page
from machinery.api.errors import NotAcceptable
from machinery.api.resource import Object, Resource


class Listing:
    """Knows the bodies of the lists that were answered last."""

    def __init__(self) -> None:
        self._bodies = ListBodies()

    async def answer(
        self, incoming: Incoming, page: Page, resource: Resource, media: Media = JSON, *, warnings: Iterable[str] = ()
    ) -> web.Response:
        """The answer with a list."""
        metadata: Object = {"resourceVersion": str(page.revision)}
        if page.continue_token:
            metadata["continue"] = page.continue_token
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
        if media == JSON and not is_pretty(incoming.query.get("pretty"), incoming.user_agent):
            return await self._joined(incoming, page, resource, metadata, warnings)
        objects = [from_stored(entry.object, resource) for entry in page.entries]
        if media.form == "table":
            body = tabled(incoming, resource, objects, media, metadata)
        elif media.form == "partial":
            if not media.is_list:
                shown = f"the requested object is a list (*{internal_type(resource)}List)"
                raise NotAcceptable(f"you requested PartialObjectMetadata, but {shown}")
            items = [partial(obj, media) for obj in objects]
            version = f"meta.k8s.io/{media.version}"
            body = {"kind": "PartialObjectMetadataList", "apiVersion": version, "metadata": metadata, "items": items}
        else:
            body = listed(resource, objects, metadata)
        content_type = "application/yaml" if media.is_yaml else "application/json"
        return respond(incoming, 200, encode(incoming, body, media.is_yaml), content_type, warnings=warnings)

    async def _joined(
        self, incoming: Incoming, page: Page, resource: Resource, metadata: Object, warnings: Iterable[str]
    ) -> web.Response:
        row = stored_resource(resource)
        head = orjson.dumps({"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": metadata})
        body = await self._bodies.body(
            page.whole if row == resource else None,
            b'%b,"items":[' % head[:-1],
            lambda: b",".join([item(entry, resource, row) for entry in page.entries]),
            may_pack=accepts_gzip(incoming.headers.get("Accept-Encoding", "")),
        )
        return respond(incoming, 200, body.data, headers=HEADERS if body.is_packed else None, warnings=warnings)


def listed(resource: Resource, objects: Sequence[Object], metadata: Object) -> Object:
    """A typed list, whose items do not repeat kind and version."""
    items = [{key: value for key, value in obj.items() if key not in ("kind", "apiVersion")} for obj in objects]
    return {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": metadata, "items": items}


def item(entry: Entry, resource: Resource, row: Resource) -> bytes:
    """One item of a list, without parsing it."""
    expected = b'{"kind":"%b","apiVersion":"%b","metadata":{"resourceVersion":"' % (
        row.kind.encode(), row.api_version.encode(),
    )  # fmt: skip
    if row == resource and entry.head == expected:
        return b'{"metadata":{"resourceVersion":"%d%b' % (entry.revision, entry.tail)
    obj = from_stored(entry.object, resource)
    return orjson.dumps({key: value for key, value in obj.items() if key not in ("kind", "apiVersion")})
