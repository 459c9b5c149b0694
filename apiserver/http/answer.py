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
from apiserver.registry.conversion import from_stored
from apiserver.registry.scale import SCALES
from apiserver.rules.field_errors import invalid_value
from machinery.api import names
from machinery.api.errors import BadRequest, NotAcceptable, StatusError
from machinery.api.resource import Object, Resource

INITIAL_END = "k8s.io/initial-events-end"
_MOST_WARNED, _LONGEST_WARNING = 4096, 256
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
    for text in fitting(warnings):
        response.headers.add("Warning", warning(text))
    return response


def fitting(warnings: Iterable[str]) -> list[str]:
    """Those that clients have room for, long ones cut as soon as all of them would be too much, as upstream does."""
    texts = list(warnings)
    if sum(map(len, texts)) <= _MOST_WARNED:
        return texts
    cut, found, left = [text[:_LONGEST_WARNING] for text in texts], [], _MOST_WARNED
    for text in cut:
        if len(text) > left:
            break
        found.append(text)
        left -= len(text)
    return found


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
    """The object's bytes: a line, indented where a human reads them."""
    if is_yaml:
        import yaml

        # A copy, as YAML would write an anchor for what stands in two places.
        copied = orjson.loads(orjson.dumps(obj))
        dumped: str = yaml.dump(copied, Dumper=yaml.CSafeDumper, sort_keys=True, allow_unicode=True)
        return dumped.encode()
    if is_pretty(incoming.query.get("pretty"), incoming.user_agent):
        return indented(obj)
    return orjson.dumps(obj, option=orjson.OPT_APPEND_NEWLINE)


def indented(obj: Any) -> bytes:
    """JSON as humans read it, without a newline at its end, as Go writes it."""
    return orjson.dumps(obj, option=orjson.OPT_INDENT_2)


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
            return respond(incoming, status, found.json + b"\n", content_type, warnings=warnings)
        found = from_stored(found.object, resource)
    if found.get("kind") == SCALES.kind:
        resource = SCALES
    if media.form == "table" and found.get("kind") == resource.kind:
        # What isn't stored, like a review or a dry run's object, has no revision.
        revision = found["metadata"].get("resourceVersion")
        found = tabled(incoming, resource, [found], media, {"resourceVersion": revision} if revision else {})
    elif media.form == "partial" and found.get("kind") == resource.kind:
        if media.is_list:
            shown = f"the requested object is not a list (*{internal_type(resource)})"
            raise NotAcceptable(f"you requested PartialObjectMetadataList, but {shown}")
        found = partial(found, media)
    return respond(incoming, status, encode(incoming, found, media.is_yaml), content_type, warnings=warnings)


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
    if include not in ("Metadata", "None", "Object"):
        why = invalid_value("includeObject", include, "must be 'Metadata', 'Object', 'None', or empty").message
        raise BadRequest(f"Unable to convert to Table as requested: includeObject: {why}")
    if include == "None" and any(INITIAL_END in (obj["metadata"].get("annotations") or {}) for obj in objects):
        # Whoever asks for no objects is told all the same that there are no more of the first ones.
        include = "Metadata"
    made = table(resource, objects, datetime.now(UTC), include, columns=columns, version=media.version)
    return {**made, "metadata": metadata}


def internal_type(resource: Resource) -> str:
    """What Go calls the type that upstream keeps such objects in."""
    package = "core" if resource.kind == "Event" else resource.group.partition(".")[0] or "core"
    return f"{package}.{resource.kind}"


def partial(obj: Object, media: Media) -> Object:
    version = f"meta.k8s.io/{media.version}"
    return {"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": obj["metadata"]}
