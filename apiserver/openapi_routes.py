"""`/openapi/v2` and `/openapi/v3`: the schemas that kubectl explains, validates and patches by.

Documents are made at their first request, in a thread: most servers are asked for few of them, some for none.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import cache
from urllib.parse import parse_qs, urlsplit

import orjson

from apiserver.discovery import Response
from machinery.api.errors import NotAcceptable
from machinery.api.resources import RESOURCES
from machinery.client.clock import Clock

V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_V2_ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_JSON_RANGES = ("application/json", "application/*", "*/*")
_JSON = "application/json"
_SERVED = frozenset((row.group, row.version) for row in RESOURCES)


async def respond(
    path: str, query: Mapping[str, str], *, accept: str, if_none_match: str, clock: Clock
) -> Response | None:
    """The answer to a GET below `/openapi`, None for paths that aren't there; raises NotAcceptable."""
    path = path.rstrip("/")
    if path == "/openapi/v2":
        # Clients ask with the version after an @, which a media type may not hold: the answer has a dot.
        wanted = _accepted(accept, (V2_PROTOBUF, _V2_ASKED, *_JSON_RANGES))
        kind = V2_PROTOBUF if wanted.startswith("application/com.github") else _JSON
        return _unless_known(await asyncio.to_thread(_made, _v2, kind), if_none_match)
    if not path.startswith("/openapi/v3"):
        return None
    _accepted(accept, _JSON_RANGES)
    if path == "/openapi/v3":
        return _unless_known(await asyncio.to_thread(_made, _index), if_none_match)
    served = _group_version(path)
    if served is None:
        return None
    found = await asyncio.to_thread(_made, _v3, *served)
    return _unless_known(_by_hash(path, query.get("hash", ""), found, clock.now()), if_none_match)


_ONE_AT_A_TIME = threading.Lock()


def _made(make: Callable[..., Response], *of: str) -> Response:
    """The document. What is asked for at once is made once: it takes a second, and shares what it is made of."""
    with _ONE_AT_A_TIME:
        return make(*of)


@cache
def _v2(kind: str) -> Response:
    from machinery.api import openapi

    body = openapi.v2_protobuf() if kind == V2_PROTOBUF else orjson.dumps(openapi.v2_document())
    return _document(body, kind)


@cache
def _v3(group: str, version: str) -> Response:
    from machinery.api import openapi

    return _document(openapi.v3_document(group, version), _JSON)


@cache
def _index() -> Response:
    from machinery.api import openapi

    return _document(orjson.dumps(openapi.v3_index(RESOURCES)), _JSON)


def _document(body: bytes, kind: str) -> Response:
    etag = f'"{hashlib.sha512(body).hexdigest().upper()}"'
    return Response(200, {"Content-Type": kind, "ETag": etag, "Vary": "Accept"}, body)


def _by_hash(path: str, asked: str, found: Response, now: datetime) -> Response:
    """A client that asks for this very document may keep it for good, one with an old hash is led to the new one."""
    if not asked:
        return found
    current = _hash_of(path)
    if asked.upper() == current.upper():
        expires = format_datetime(now + timedelta(days=365), usegmt=True)
        return Response(200, {**found.headers, "Cache-Control": "public, immutable", "Expires": expires}, found.body)
    return Response(301, {"Location": f"{path}?hash={current}"})


@cache
def _hash_of(path: str) -> str:
    document = orjson.loads(_index().body)
    url: str = document["paths"][path.removeprefix("/openapi/v3/")]["serverRelativeURL"]
    return parse_qs(urlsplit(url).query).get("hash", [""])[0]


def _unless_known(found: Response, if_none_match: str) -> Response:
    etag = found.headers.get("ETag")
    if found.status == 200 and etag and etag in (each.strip() for each in if_none_match.split(",")):
        return Response(304, {name: value for name, value in found.headers.items() if name != "Content-Type"})
    return found


def _group_version(path: str) -> tuple[str, str] | None:
    match path.removeprefix("/openapi/v3/").split("/"):
        case ["api", version]:
            served = ("", version)
        case ["apis", group, version]:
            served = (group, version)
        case _:
            return None
    return served if served in _SERVED else None


def _accepted(accept: str, offered: tuple[str, ...]) -> str:
    if not accept.strip():
        return "*/*"
    for clause in accept.split(","):
        media = clause.partition(";")[0].strip()
        if media in offered:
            return media
    raise NotAcceptable(f"only the following media types are accepted: {', '.join(offered[:1])}")
