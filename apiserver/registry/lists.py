"""Lists: which revision is meant, which page of it, and what the answer says about itself."""

from __future__ import annotations

import asyncio
import base64
import posixpath
import re
from collections.abc import Sequence

import orjson

from apiserver.cache_entry import Entry
from apiserver.registry.call import options_invalid
from apiserver.registry.selection import Selection
from apiserver.rules.field_errors import forbidden, not_supported
from apiserver.rules.field_errors import said as shown
from apiserver.watchcache import WatchCache
from machinery.api.errors import BadRequest, Cause, Expired, Timeout, UnknownError
from machinery.api.go_json import syntax_error
from machinery.api.resource import Resource
from machinery.structs import Struct

_PATIENCE = 3.0
_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
_MATCH = "resourceVersionMatch"
_FORBIDDEN = "resourceVersionMatch is forbidden "


class ListOptions(Struct, frozen=True):
    """The query of a list or watch."""

    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    send_initial_events: bool | None = None
    timeout_seconds: int = 0
    allow_bookmarks: bool = False


class Whole(Struct, frozen=True):
    """All objects of a resource, or of a namespace, as they are since the revision `changed`."""

    resource: Resource
    namespace: str
    changed: int

    def is_older_than(self, other: Whole) -> bool:
        return self.resource == other.resource and self.namespace == other.namespace and self.changed < other.changed


class Page(Struct, frozen=True):
    """`remaining` is None where upstream leaves it out; `whole` tells what else would be the very same items."""

    entries: Sequence[Entry]
    revision: int
    continue_token: str = ""
    remaining: int | None = None
    whole: Whole | None = None


class ExpiredContinue(Expired):
    """An old continue token; `token` goes on at the newest revision instead."""

    def __init__(self, token: str) -> None:
        super().__init__(_EXPIRED)
        self.token = token

    def status(self) -> dict[str, object]:
        return {**super().status(), "metadata": {"continue": self.token}}


def check_options(options: ListOptions, *, is_watch: bool) -> None:
    """Raises Invalid where the parts of the query contradict each other."""
    causes = _watch_causes(options) if is_watch else _list_causes(options)
    if causes:
        raise options_invalid("ListOptions", causes)


def _list_causes(options: ListOptions) -> list[Cause]:
    match, version = options.resource_version_match, options.resource_version
    causes = []
    if match and not version:
        causes.append(forbidden(_MATCH, _FORBIDDEN + "unless resourceVersion is provided"))
    if match and options.continue_token:
        causes.append(forbidden(_MATCH, _FORBIDDEN + "when continue is provided"))
    if match not in ("", "Exact", "NotOlderThan"):
        causes.append(not_supported(_MATCH, match, ("Exact", "NotOlderThan", "")))
    if match == "Exact" and version == "0":
        causes.append(forbidden(_MATCH, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if options.send_initial_events is not None:
        causes.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return causes


def _watch_causes(options: ListOptions) -> list[Cause]:
    match, is_asked = options.resource_version_match, options.send_initial_events is not None
    causes = []
    if is_asked and match != "NotOlderThan":
        message = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        causes.append(forbidden(_MATCH, message))
    if match and not is_asked:
        causes.append(forbidden(_MATCH, _FORBIDDEN + "for watch unless sendInitialEvents is provided"))
    if match not in ("", "NotOlderThan"):
        causes.append(not_supported(_MATCH, match, ("NotOlderThan",)))
    if match and options.continue_token:
        causes.append(forbidden(_MATCH, _FORBIDDEN + "when continue is provided"))
    return causes


def revision_of(version: str) -> int:
    """The number of a resourceVersion; raises UnknownError where it is none, for upstream has no status for that."""
    if not version:
        return 0
    why = "invalid syntax" if not (version.isascii() and version.isdecimal()) else ""
    if not why and (len(version) > 20 or int(version) >= 1 << 64):
        why = "value out of range"
    if why:
        said = f"strconv.ParseUint: parsing {shown(version)}: {why}"
        raise UnknownError(f"resourceVersion: Invalid value: {shown(version)}: {said}")
    return int(version)


def _listed_revision(version: str) -> int:
    try:
        return revision_of(version)
    except UnknownError as error:
        raise BadRequest(f"invalid resource version: {error.message}") from None


async def reach(cache: WatchCache, revision: int) -> None:
    """Waits until the cache has seen `revision`; raises Timeout where that lies too far ahead."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await cache.wait_for(revision)
    except TimeoutError:
        cause = Cause("ResourceVersionTooLarge", "Too large resource version")
        message = f"Timeout: Too large resource version: {revision}, current: {cache.revision}"
        raise Timeout(message, causes=(cause,), retry_after=1) from None


async def page(cache: WatchCache, chosen: Selection, namespace: str, options: ListOptions) -> Page:
    """The page that the query asks for."""
    check_options(options, is_watch=False)
    start, exact = "", 0
    if options.continue_token:
        exact, start = read_token(options.continue_token)
        if options.resource_version not in ("", "0"):
            raise BadRequest("specifying resource version is not allowed when using continue")
    elif wanted := _listed_revision(options.resource_version):
        await reach(cache, wanted)
        is_exact = options.resource_version_match == "Exact" or (
            options.limit > 0 and not options.resource_version_match
        )
        exact = wanted if is_exact else 0
    elif options.resource_version != "0":
        await cache.refresh()
    if not namespace and chosen.resource.namespaced:
        namespace = chosen.namespace
    return _cut(cache, chosen, namespace, options, start=start, exact=max(exact, 0))


def _cut(cache: WatchCache, chosen: Selection, namespace: str, options: ListOptions, *, start: str, exact: int) -> Page:
    revision = exact or cache.revision
    try:
        entries = cache.list(chosen.resource, namespace, revision=exact if exact != cache.revision else 0)
    except Expired:
        if not options.continue_token:
            raise
        raise ExpiredContinue(write_token(-1, start)) from None
    if chosen.name:
        entries = [entry for entry in entries if entry.name == chosen.name]
    if start:
        entries = [entry for entry in entries if _position(entry, namespace) >= start]
    # Upstream has no pages of what may be as old as the cache is.
    limit = options.limit if options.resource_version != "0" else 0
    if chosen.is_all and (limit <= 0 or len(entries) <= limit):
        whole = Whole(chosen.resource, namespace, cache.changed(chosen.resource)) if not start and not exact else None
        return Page(entries, revision, whole=whole)
    found, seen = _matching(entries, chosen, limit)
    if seen == len(entries):
        return Page(found, revision)
    # There is more to look at, whether or not any of it matches: of how many do upstream tells only where all do.
    remaining = len(entries) - limit if chosen.is_all else None
    return Page(found, revision, write_token(revision, _position(found[-1], namespace) + "\0"), remaining)


def _matching(entries: Sequence[Entry], chosen: Selection, limit: int) -> tuple[Sequence[Entry], int]:
    """The first entries that match, no more than a limit over 0, and how many had to be looked at for them."""
    if limit <= 0:
        return [entry for entry in entries if chosen.matches(entry)], len(entries)
    found: list[Entry] = []
    for at, entry in enumerate(entries):
        if chosen.matches(entry):
            found.append(entry)
            if len(found) == limit:
                return found, at + 1
    return found, len(entries)


def _position(entry: Entry, namespace: str) -> str:
    """Where the entry stands in a list of that namespace, or of all."""
    return f"{entry.namespace}/{entry.name}" if entry.namespace and not namespace else entry.name


def write_token(revision: int, start: str) -> str:
    """A continue token as upstream makes it."""
    body = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def read_token(token: str) -> tuple[int, str]:
    """The revision (-1: the newest) and the key to go on at; raises BadRequest."""
    raw = _token_bytes(token)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        said = f"invalid character {_go_rune(raw)} looking for beginning of value"
        raise _bad_token(syntax_error(raw) if raw.isascii() else said) from None
    if body is not None and not isinstance(body, dict):
        kind = {str: "string", bool: "bool", list: "array"}.get(type(body), "number")
        raise _bad_token(f"json: cannot unmarshal {kind} into Go value of type storage.continueToken")
    body = body or {}
    version = body.get("v", "")
    if version != "meta.k8s.io/v1":
        raise _bad_token(f"server does not recognize this encoded version {version}")
    revision, start = body.get("rv"), body.get("start")
    if not isinstance(revision, int) or revision == 0:
        raise _bad_token("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not isinstance(start, str) or not start:
        raise _bad_token("encoded start key empty (version meta.k8s.io/v1)")
    path = start if start.startswith("/") else f"/{start}"
    if path.startswith("//") or posixpath.normpath(path) != path:
        raise _bad_token(start)
    return revision, path[1:]


_OUTSIDE = re.compile("[^A-Za-z0-9_\r\n-]")


def _token_bytes(token: str) -> bytes:
    """The token's bytes, of Base 64 for URLs without padding; raises BadRequest."""
    if wrong := _OUTSIDE.search(token):
        raise _bad_token(f"illegal base64 data at input byte {len(token[: wrong.start()].encode())}")
    text = token.replace("\r", "").replace("\n", "")
    if len(text) % 4 == 1:
        raise _bad_token(f"illegal base64 data at input byte {len(token) - 1}")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _go_rune(raw: bytes) -> str:
    first = raw[0]
    return f"'{chr(first)}'" if 32 <= first < 127 else f"'\\x{first:02x}'"


def _bad_token(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: continue key is not valid: {why}")
