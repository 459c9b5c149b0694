"""Lists: which revision is meant, which page of it, and what the answer says about itself."""

from __future__ import annotations

import asyncio
import base64
import posixpath
from collections.abc import Sequence

import orjson

from apiserver.cache_entry import Entry
from apiserver.registry.call import options_invalid
from apiserver.registry.selection import Selection
from apiserver.rules.field_errors import forbidden, not_supported
from apiserver.watchcache import WatchCache
from machinery.api.errors import BadRequest, Cause, Expired, Timeout
from machinery.api.resource import Resource
from machinery.structs import Struct

_PATIENCE = 3.0
_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
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
    causes = _initial_events(options, is_watch=is_watch) or _match(options, is_watch=is_watch)
    if causes:
        raise options_invalid("ListOptions", causes)


def _initial_events(options: ListOptions, *, is_watch: bool) -> list[Cause]:
    if options.send_initial_events is None:
        return []
    if not is_watch:
        return [forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")]
    if not options.resource_version_match:
        message = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        return [forbidden("resourceVersionMatch", message)]
    if options.resource_version_match != "NotOlderThan":
        return [not_supported("resourceVersionMatch", options.resource_version_match, ("NotOlderThan",))]
    return []


def _match(options: ListOptions, *, is_watch: bool) -> list[Cause]:
    match, version = options.resource_version_match, options.resource_version
    if not match or options.send_initial_events is not None:
        return []
    if is_watch:
        return [forbidden("resourceVersionMatch", _FORBIDDEN + "for watch unless sendInitialEvents is provided")]
    causes = []
    if not version:
        causes.append(forbidden("resourceVersionMatch", _FORBIDDEN + "unless resourceVersion is provided"))
    if options.continue_token:
        causes.append(forbidden("resourceVersionMatch", _FORBIDDEN + "when continue is provided"))
    if match not in ("Exact", "NotOlderThan"):
        causes.append(not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan", "")))
    if match == "Exact" and version == "0":
        message = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        causes.append(forbidden("resourceVersionMatch", message))
    return causes


def revision_of(version: str) -> int:
    """The number of a resourceVersion; raises as upstream does where it is none."""
    if not version:
        return 0
    why = "invalid syntax" if not (version.isascii() and version.isdecimal()) else ""
    if not why and (len(version) > 20 or int(version) >= 1 << 64):
        why = "value out of range"
    if why:
        said = f'Invalid value: "{version}": strconv.ParseUint: parsing "{version}": {why}'
        raise BadRequest(f"resourceVersion: {said}")
    return int(version)


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
    wanted = revision_of(options.resource_version)
    if options.continue_token:
        exact, start = read_token(options.continue_token)
        if options.resource_version and options.resource_version != "0":
            raise BadRequest("specifying resource version is not allowed when using continue")
    elif wanted:
        await reach(cache, wanted)
        is_exact = options.resource_version_match == "Exact" or (
            options.limit > 0 and not options.resource_version_match
        )
        exact = wanted if is_exact else 0
    elif options.resource_version != "0":
        await cache.refresh()
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
    matching = entries if chosen.is_all else [entry for entry in entries if chosen.matches(entry)]
    if start:
        matching = [entry for entry in matching if _position(entry) >= start]
    if options.limit <= 0 or len(matching) <= options.limit:
        is_whole = chosen.is_all and not start and not exact
        whole = Whole(chosen.resource, namespace, cache.changed(chosen.resource)) if is_whole else None
        return Page(matching, revision, whole=whole)
    remaining = len(matching) - options.limit if chosen.is_all else None
    shown = matching[: options.limit]
    return Page(shown, revision, write_token(revision, _position(shown[-1]) + "\0"), remaining)


def _position(entry: Entry) -> str:
    return f"{entry.namespace}/{entry.name}" if entry.namespace else entry.name


def write_token(revision: int, start: str) -> str:
    """A continue token as upstream makes it."""
    body = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def read_token(token: str) -> tuple[int, str]:
    """The revision (-1: the newest) and the key to go on at; raises BadRequest."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise _bad_token("illegal base64 data at input byte 0") from None
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise _bad_token(f"invalid character {_go_rune(raw)} looking for beginning of value") from None
    if not isinstance(body, dict) or body.get("v") != "meta.k8s.io/v1":
        version = body.get("v", "") if isinstance(body, dict) else ""
        raise _bad_token(f'server does not recognize this encoded version "{version}"')
    revision, start = body.get("rv"), body.get("start")
    if not isinstance(revision, int) or revision == 0:
        raise _bad_token("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not isinstance(start, str) or not start:
        raise _bad_token("encoded start key empty (version meta.k8s.io/v1)")
    if posixpath.normpath(f"/{start}") != f"/{start}":
        raise _bad_token(f"invalid start key: {start}")
    return revision, start


def _go_rune(raw: bytes) -> str:
    if not raw:
        return "' '"
    first = raw[0]
    return f"'{chr(first)}'" if 32 <= first < 127 else f"'\\x{first:02x}'"


def _bad_token(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: continue key is not valid: {why}")
