"""Answers: an object, a list, a Status or text becomes bytes and headers in the form that the client asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from apiserver.cache_entry import Entry
from apiserver.http.incoming import Incoming
from apiserver.http.negotiation import JSON, Media, is_pretty
from apiserver.registry.conversion import from_stored, stored_resource
from apiserver.registry.lists import Page
from apiserver.registry.scale import SCALES
from machinery.api import names
from machinery.api.errors import StatusError
from machinery.api.resource import Object, Resource

_CACHE_CONTROL = "no-cache, private"


def respond(
    incoming: Incoming,
    status: int,
    body: bytes,
    content_type: str = "application/json",
    *,
    headers: Mapping[str, str] | None = None,
    warnings: Iterable[str] = (),
) -> web.Response:
    """The response with the headers that every answer has."""
    response = web.Response(status=status, body=body)
    if status != 304:
        # Caches take the headers of a 304 for those of what they keep.
        response.headers["Content-Type"] = content_type
    response.headers["Cache-Control"] = _CACHE_CONTROL
    response.headers["Audit-Id"] = audit_id(incoming)
    for name, value in (headers or {}).items():
        response.headers[name] = value
    for text in warnings:
        response.headers.add("Warning", warning(text))
    return response


def audit_id(incoming: Incoming) -> str:
    return incoming.headers.get("Audit-Id") or names.uid()


def warning(text: str) -> str:
    """A `Warning` header's value."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\r", " ")
    return f'299 - "{escaped}"'


def text(incoming: Incoming, status: int, said: str) -> web.Response:
    response = respond(incoming, status, said.encode(), "text/plain; charset=utf-8")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def status_error(incoming: Incoming, error: StatusError, warnings: Iterable[str] = ()) -> web.Response:
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    body = encode(incoming, error.status(), _is_yaml(incoming))
    content_type = "application/yaml" if _is_yaml(incoming) else "application/json"
    return respond(incoming, error.code, body, content_type, headers=headers, warnings=warnings)


def _is_yaml(incoming: Incoming) -> bool:
    return incoming.accept.split(";")[0].split(",")[0].strip() == "application/yaml"


def encode(incoming: Incoming, obj: Any, is_yaml: bool = False) -> bytes:  # noqa: FBT001, FBT002
    """The object's bytes, indented where a human reads them."""
    if is_yaml:
        import yaml

        dumped: str = yaml.dump(obj, Dumper=yaml.CSafeDumper, sort_keys=True, allow_unicode=True)
        return dumped.encode()
    if is_pretty(incoming.query.get("pretty"), incoming.user_agent):
        return orjson.dumps(obj, option=orjson.OPT_INDENT_2)
    return orjson.dumps(obj)


def one(
    incoming: Incoming,
    status: int,
    found: Entry | Object,
    resource: Resource,
    media: Media = JSON,
    *,
    warnings: Iterable[str] = (),
) -> web.Response:
    """The answer with one object."""
    content_type = "application/yaml" if media.is_yaml else "application/json"
    is_plain = media == JSON and not is_pretty(incoming.query.get("pretty"), incoming.user_agent)
    if isinstance(found, Entry):
        if is_plain:
            return respond(incoming, status, found.json, content_type, warnings=warnings)
        found = from_stored(found.object, resource)
    if found.get("kind") == SCALES.kind:
        resource = SCALES
    if media.form == "table" and found.get("kind") == resource.kind:
        found = tabled(incoming, resource, [found], media, {"resourceVersion": found["metadata"]["resourceVersion"]})
    elif media.form == "partial" and found.get("kind") == resource.kind:
        found = partial(found, media)
    return respond(incoming, status, encode(incoming, found, media.is_yaml), content_type, warnings=warnings)


def many(
    incoming: Incoming, page: Page, resource: Resource, media: Media = JSON, *, warnings: Iterable[str] = ()
) -> web.Response:
    """The answer with a list."""
    metadata: Object = {"resourceVersion": str(page.revision)}
    if page.continue_token:
        metadata["continue"] = page.continue_token
    if page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    if media == JSON and not is_pretty(incoming.query.get("pretty"), incoming.user_agent):
        return respond(incoming, 200, joined(page.entries, resource, metadata), warnings=warnings)
    objects = [from_stored(entry.object, resource) for entry in page.entries]
    if media.form == "table":
        body = tabled(incoming, resource, objects, media, metadata)
    elif media.form == "partial":
        items = [partial(obj, media) for obj in objects]
        version = f"meta.k8s.io/{media.version}"
        body = {"kind": "PartialObjectMetadataList", "apiVersion": version, "metadata": metadata, "items": items}
    else:
        body = listed(resource, objects, metadata)
    content_type = "application/yaml" if media.is_yaml else "application/json"
    return respond(incoming, 200, encode(incoming, body, media.is_yaml), content_type, warnings=warnings)


def listed(resource: Resource, objects: Sequence[Object], metadata: Object) -> Object:
    """A typed list, whose items do not repeat kind and version."""
    items = [{key: value for key, value in obj.items() if key not in ("kind", "apiVersion")} for obj in objects]
    return {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": metadata, "items": items}


def joined(entries: Sequence[Entry], resource: Resource, metadata: Object) -> bytes:
    """The list's JSON from the entries' own bytes, without parsing one of them."""
    row = stored_resource(resource)
    head = orjson.dumps({"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": metadata})
    pieces = [item(entry, resource, row) for entry in entries]
    return b'%b,"items":[%b]}' % (head[:-1], b",".join(pieces))


def item(entry: Entry, resource: Resource, row: Resource) -> bytes:
    """One item of a list."""
    expected = b'{"kind":"%b","apiVersion":"%b","metadata":{"resourceVersion":"' % (
        row.kind.encode(), row.api_version.encode(),
    )  # fmt: skip
    if row == resource and entry.head == expected:
        return b'{"metadata":{"resourceVersion":"%d%b' % (entry.revision, entry.tail)
    obj = from_stored(entry.object, resource)
    return orjson.dumps({key: value for key, value in obj.items() if key not in ("kind", "apiVersion")})


def tabled(
    incoming: Incoming,
    resource: Resource,
    objects: Sequence[Object],
    media: Media,
    metadata: Object,
    *,
    columns: bool = True,
) -> Object:
    from apiserver.table import table

    include = incoming.query.get("includeObject") or "Metadata"
    made = table(resource, objects, datetime.now(UTC), include, columns=columns)
    return {**made, "apiVersion": f"meta.k8s.io/{media.version}", "metadata": metadata}


def partial(obj: Object, media: Media) -> Object:
    version = f"meta.k8s.io/{media.version}"
    return {"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": obj["metadata"]}
