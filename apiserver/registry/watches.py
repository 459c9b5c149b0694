"""Watches: the cache's events as one watcher's selectors see them, with initial events, bookmarks and an end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal

from apiserver.cache_entry import Entry
from apiserver.registry.lists import ListOptions, check_options, reach, revision_of
from apiserver.registry.selection import Selection
from apiserver.watchcache import CacheEvent, WatchCache

_BOOKMARK_EVERY = 60.0
_SHORTEST, _LONGEST = 1800, 3600


@dataclass(frozen=True, slots=True)
class Seen:
    """One event of a watcher; a BOOKMARK has a revision and no entry."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    revision: int
    entry: Entry | None = None
    is_initial_end: bool = False


async def watch(
    cache: WatchCache, chosen: Selection, namespace: str, options: ListOptions
) -> AsyncGenerator[Sequence[Seen], None]:
    """Batches of events, each as large as one turn of the loop gave; raises Expired before the first."""
    check_options(options, is_watch=True)
    since = revision_of(options.resource_version)
    if since:
        await reach(cache, since)
    elif options.resource_version != "0" and options.send_initial_events is not False:
        await cache.refresh()
    sends_initial = options.send_initial_events or (options.send_initial_events is None and not since)
    revision = cache.revision
    watcher = cache.watch(chosen.resource, namespace, revision if sends_initial or not since else since)
    loop = asyncio.get_running_loop()
    ends = loop.time() + (options.timeout_seconds or random.uniform(_SHORTEST, _LONGEST))
    with watcher:
        if sends_initial:
            yield _initial(cache, chosen, namespace, options, revision)
        while not watcher.is_ended:
            left = ends - loop.time()
            if left <= 0:
                return
            # Named by the client or not, a watch that ends by its time-out tells first where to go on.
            is_last = left <= _BOOKMARK_EVERY
            batch = await watcher.batch(left if is_last else _BOOKMARK_EVERY)
            seen = [each for event in batch for each in observed(event, chosen)]
            if seen:
                yield seen
            elif not batch and options.allow_bookmarks and not watcher.is_ended:
                yield [Seen("BOOKMARK", watcher.revision or cache.revision)]


def _initial(cache: WatchCache, chosen: Selection, namespace: str, options: ListOptions, revision: int) -> list[Seen]:
    entries = cache.list(chosen.resource, namespace)
    found = [Seen("ADDED", entry.revision, entry) for entry in entries if chosen.is_all or chosen.matches(entry)]
    if options.send_initial_events and options.allow_bookmarks:
        found.append(Seen("BOOKMARK", revision, is_initial_end=True))
    return found


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
