"""Watches: the cache's events as one watcher's selectors see them, with initial events, bookmarks and an end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from typing import Literal

from apiserver.audience import Audience, Encode, Listener
from apiserver.cache_entry import Entry
from apiserver.registry.lists import ListOptions, check_options, reach, revision_of
from apiserver.registry.selection import Selection
from apiserver.watchcache import CacheEvent, WatchCache
from machinery.structs import Struct

_BOOKMARK_EVERY = 60.0
_SHORTEST, _LONGEST = 1800, 3600


class Seen(Struct, frozen=True):
    """One event of a watcher; a BOOKMARK has a revision and no entry."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    revision: int
    entry: Entry | None = None
    is_initial_end: bool = False


class Watching:
    """One watch: `start` it, then take its batches, or its initial events and what a listener gets."""

    def __init__(self, cache: WatchCache, chosen: Selection, namespace: str, options: ListOptions) -> None:
        self._cache = cache
        self._chosen = chosen
        self._namespace = namespace
        self._options = options
        self._ends = 0.0
        self.since = 0
        self.initial: Sequence[Seen] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it sees everything of its namespace, or of all."""
        return self._chosen.is_all

    @property
    def allows_bookmarks(self) -> bool:
        return self._options.allow_bookmarks

    @property
    def revision(self) -> int:
        return self._cache.revision

    async def start(self) -> None:
        """Raises what is wrong with the query; afterwards `since` is known, and `initial` where that is to be sent."""
        options = self._options
        check_options(options, is_watch=True)
        since = revision_of(options.resource_version)
        if since:
            await reach(self._cache, since)
        elif options.resource_version != "0" and options.send_initial_events is not False:
            await self._cache.refresh()
        sends_initial = options.send_initial_events or (options.send_initial_events is None and not since)
        self.since = self._cache.revision if sends_initial or not since else since
        self.initial = self._initial() if sends_initial else None
        seconds = options.timeout_seconds or random.uniform(_SHORTEST, _LONGEST)
        self._ends = asyncio.get_running_loop().time() + seconds

    def _initial(self) -> list[Seen]:
        entries = self._cache.list(self._chosen.resource, self._namespace)
        chosen = self._chosen
        found = [Seen("ADDED", entry.revision, entry) for entry in entries if chosen.is_all or chosen.matches(entry)]
        if self._options.send_initial_events and self._options.allow_bookmarks:
            found.append(Seen("BOOKMARK", self.since, is_initial_end=True))
        return found

    def patience(self) -> float:
        """Seconds until a bookmark is due or, 0 or less then, the watch is over.

        Named by the client or not, a watch that ends by its time-out tells first where to go on.
        """
        left = self._ends - asyncio.get_running_loop().time()
        return left if left <= _BOOKMARK_EVERY else _BOOKMARK_EVERY

    def listen(self, listener: Listener, encode: Encode) -> Audience:
        """Hands all that follows `since` to the listener, the selectors being none; raises Expired."""
        return self._cache.listen(self._chosen.resource, self._namespace, self.since, listener, encode)

    async def batches(self) -> AsyncGenerator[Sequence[Seen], None]:
        """Batches of events, each as large as one turn of the loop gave; raises Expired before the first."""
        with self._cache.watch(self._chosen.resource, self._namespace, self.since) as watcher:
            if self.initial is not None:
                # Nobody needs them for as long as the watch lasts.
                initial, self.initial = self.initial, None
                yield initial
            while not watcher.is_ended and (patience := self.patience()) > 0:
                batch = await watcher.batch(patience)
                seen = [each for event in batch for each in observed(event, self._chosen)]
                if seen:
                    yield seen
                elif not batch and self.allows_bookmarks and not watcher.is_ended:
                    yield [Seen("BOOKMARK", watcher.revision or self._cache.revision)]


def observed(event: CacheEvent, chosen: Selection) -> Sequence[Seen]:
    """The event as the selectors see it: an object that comes into view is ADDED, one that leaves it DELETED."""
    entry, previous = event.entry, event.previous
    if chosen.is_all:
        return (Seen(event.type, entry.revision, entry),)
    is_in = event.type != "DELETED" and chosen.matches(entry)
    was_in = previous is not None and chosen.matches(previous)
    if is_in:
        return (Seen("MODIFIED" if was_in else "ADDED", entry.revision, entry),)
    if not was_in:
        return ()
    if event.type == "DELETED" or previous is None:
        return (Seen("DELETED", entry.revision, entry),)
    # As upstream: the last state in view, under the revision at which it left.
    return (Seen("DELETED", entry.revision, previous.deleted_at(entry.revision)),)
