"""A request as the handlers read it: path and query taken apart once, the body read up to its limit."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from typing import ParamSpec, TypeVar
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from apiserver.registry.call import options_invalid, unsupported_dry_run
from apiserver.registry.lists import ListOptions
from apiserver.rules.field_errors import forbidden, invalid_value, not_supported, required, said, too_long
from machinery.api.errors import BadRequest, Cause, RequestEntityTooLarge, Timeout

MOST_BODY = 3 * 1024 * 1024
BODY_SECONDS = 60.0
_LARGE_BODY = 128 * 1024
_LONGEST_MANAGER = 128
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NO_QUERY: Mapping[str, str] = {}

P = ParamSpec("P")
T = TypeVar("T")


class Incoming:
    """Wraps aiohttp's request; `raw` is needed for streams alone."""

    def __init__(self, raw: web.BaseRequest) -> None:
        self.raw = raw
        self.method = raw.method
        self.path, _, query = raw.raw_path.partition("?")
        self.pairs = parse_qsl(query, keep_blank_values=True, errors="replace") if query else []
        self.query: Mapping[str, str] = dict(reversed(self.pairs)) if query else _NO_QUERY
        """The first value of each parameter."""

    @property
    def plain_path(self) -> str:
        return unquote(self.path)

    @property
    def headers(self) -> Mapping[str, str]:
        return self.raw.headers

    @property
    def accept(self) -> str:
        return ",".join(self.raw.headers.getall("Accept", ()))

    @property
    def user_agent(self) -> str:
        return self.raw.headers.get("User-Agent", "")

    @property
    def content_type(self) -> str:
        return self.raw.headers.get("Content-Type", "")

    @property
    def peer_certificate(self) -> bytes | None:
        """The client's certificate in DER, as TLS checked it."""
        tls = self.raw.get_extra_info("ssl_object")
        return tls.getpeercert(binary_form=True) if tls is not None else None

    async def body(self) -> bytes:
        """The whole body; raises RequestEntityTooLarge, Timeout where it does not come."""
        if (self.raw.content_length or 0) > MOST_BODY:
            raise _too_large()
        if self.raw.headers.get("Expect", "").lower() == "100-continue" and self.raw.transport is not None:
            self.raw.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        content = self.raw.content
        if content.is_eof() and content.exception() is None and content.total_bytes <= MOST_BODY:
            # It came with the head, as nearly all do: there is nothing to wait for.
            return content.read_nowait()
        pieces, size = [], 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for piece in content.iter_any():
                    size += len(piece)
                    if size > MOST_BODY:
                        raise _too_large()
                    pieces.append(piece)
        except TimeoutError:
            raise Timeout("Timeout: request did not complete within the allotted timeout") from None
        except RequestPayloadError as error:
            raise BadRequest(f"the body of the request is malformed: {error}") from None
        return b"".join(pieces)

    def flag(self, name: str) -> bool:
        """Whether a boolean of the query is set, as Go's conversion reads it."""
        value = self.query.get(name)
        return value is not None and value != "0" and value.lower() != "false"

    def number(self, name: str) -> int | None:
        value = self.query.get(name)
        if value is None:
            return None
        why = "" if _INTEGER.fullmatch(value) else "invalid syntax"
        if not why and (len(value) > 20 or not -(1 << 63) <= int(value) < 1 << 63):
            why = "value out of range"
        if why:
            raise BadRequest(f"strconv.ParseInt: parsing {said(value)}: {why}")
        return int(value)

    @property
    def field_manager(self) -> str:
        """The query's, else what the client's name begins with."""
        return self.query.get("fieldManager") or self.user_agent.partition("/")[0][:128] or "unknown"

    def list_options(self) -> ListOptions:
        return ListOptions(
            limit=self.number("limit") or 0,
            continue_token=self.query.get("continue", ""),
            resource_version=self.query.get("resourceVersion", ""),
            resource_version_match=self.query.get("resourceVersionMatch", ""),
            send_initial_events=self.flag("sendInitialEvents") if "sendInitialEvents" in self.query else None,
            timeout_seconds=self.number("timeoutSeconds") or 0,
            allow_bookmarks=self.flag("allowWatchBookmarks"),
        )

    def write_options(self, kind: str, *, is_apply: bool | None = None) -> tuple[bool, str]:
        """Whether this is a dry run, and how fields are validated; raises Invalid (as of `kind`, CreateOptions …).

        `is_apply` is None where it is no patch at all.
        """
        if not self.query and not is_apply:
            return False, "Warn"
        causes = []
        manager = self.query.get("fieldManager", "")
        if is_apply and not manager:
            causes.append(required("fieldManager", "is required for apply patch"))
        if is_apply is False and "force" in self.query:
            causes.append(forbidden("force", "may not be specified for non-apply patch"))
        causes += _manager_errors(manager)
        dry_run = [value for name, value in self.pairs if name == "dryRun"]
        if any(value != "All" for value in dry_run):
            causes.append(unsupported_dry_run(dry_run))
        validation = self.query.get("fieldValidation", "")
        if validation not in _VALIDATIONS:
            causes.append(not_supported("fieldValidation", validation, _VALIDATIONS))
        if causes:
            raise options_invalid(kind, causes)
        return bool(dry_run), validation or "Warn"


_VALIDATIONS = ("", "Ignore", "Strict", "Warn")


def _manager_errors(manager: str) -> Iterator[Cause]:
    if len(manager.encode()) > _LONGEST_MANAGER:
        yield too_long("fieldManager", _LONGEST_MANAGER)
    at = 0
    for char in manager:
        if not char.isprintable():
            code = f"U+{ord(char):04X}"
            yield invalid_value("fieldManager", manager, f"invalid character {code} (at position {at})")
        at += len(char.encode())


async def apart(body: bytes, decode: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `decode` gives: of a large body in a thread, for the loop has others to serve meanwhile."""
    if len(body) <= _LARGE_BODY:
        return decode(*args, **kwargs)
    return await asyncio.to_thread(decode, *args, **kwargs)


def _too_large() -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"Request entity too large: limit is {MOST_BODY}")
