"""All objects of one resource: sorted, indexed, with a ring of their last events and those who watch."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import Literal

from apiserver.audience import Audience, Encode
from apiserver.cache_entry import KEY_PREFIX, Entry
from machinery.api.errors import Expired
from machinery.structs import Struct

RING = 1024
SLOW_WATCHER = 4096


class CacheEvent(Struct, frozen=True):
    """`previous` is the entry before (None: ADDED); a DELETED entry is the last state under the deletion's revision."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    entry: Entry
    previous: Entry | None

    @property
    def revision(self) -> int:
        return self.entry.revision


Handler = Callable[[CacheEvent], None]


class Watcher:
    """The events of one watch, in order. It ends by itself when its reader is too slow or the past is lost."""

    def __init__(self, bucket: Bucket, namespace: str, revision: Callable[[], int], *, since: int) -> None:
        self._bucket = bucket
        self._namespace = namespace
        self._revision = revision
        self._since = since
        self._pending: list[CacheEvent] = []
        self._wake = asyncio.Event()
        self.is_ended = False

    def push(self, events: Iterable[CacheEvent]) -> None:
        if self.is_ended:
            return
        for event in events:
            # A client may come with a revision that this cache has yet to see.
            if event.revision > self._since and self._namespace in ("", event.entry.namespace):
                self._pending.append(event)
        if len(self._pending) > SLOW_WATCHER:
            self.end()
        elif self._pending:
            self._wake.set()

    @property
    def revision(self) -> int:
        """Everything up to here has been taken: what a bookmark may say; 0 while events wait or after the end."""
        return 0 if self._pending or self.is_ended else self._revision()

    async def batch(self, seconds: float | None = None) -> list[CacheEvent]:
        """All events that wait, at least one; none after `seconds` or, with `is_ended`, at the end."""
        if not self._pending and not self.is_ended:
            self._wake.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                # What came in the same turn as the timer is handed out all the same.
                pass
        taken, self._pending = self._pending, []
        return taken

    def end(self) -> None:
        """What has been queued is still handed out, then the stream is over: the client resumes from what it saw."""
        self.is_ended = True
        self._bucket.watchers.discard(self)
        self._wake.set()

    def __aiter__(self) -> AsyncIterator[CacheEvent]:
        return self._events()

    async def _events(self) -> AsyncIterator[CacheEvent]:
        while True:
            events = await self.batch()
            for event in events:
                yield event
            if self.is_ended and not self._pending:
                return

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


class Bucket:
    """The objects under one storage prefix; `changed` is the revision of the last change among them."""

    def __init__(self, prefix: str, floor: int) -> None:
        self.prefix = prefix
        self.floor = floor
        self.changed = floor
        self.entries: dict[str, Entry] = {}
        self.watchers: set[Watcher] = set()
        self.audiences: dict[tuple[str, Encode], Audience] = {}
        self.handlers: tuple[Handler, ...] = ()
        self._keys: list[str] = []
        self._owned: dict[str, dict[str, Entry]] = {}
        self._orphans: dict[str, dict[str, Entry]] | None = None
        self._has_nodes = prefix == f"{KEY_PREFIX}pods/"
        self._on_node: dict[str, dict[str, Entry]] = {}
        self._labelled: dict[str, dict[str, dict[str, Entry]]] = {}
        self._ring: deque[CacheEvent] = deque()
        self._listed: tuple[str, int, Sequence[Entry]] | None = None

    def load(self, entry: Entry) -> None:
        """Adds what was there before the first event."""
        self._listed = None
        self.entries[entry.key] = entry
        # Keys are loaded in order, which insort finds cheap.
        insort(self._keys, entry.key)
        self._index(entry)

    def put(self, entry: Entry) -> CacheEvent:
        previous = self.entries.get(entry.key)
        if previous is None:
            insort(self._keys, entry.key)
        else:
            self._unindex(previous)
        self.entries[entry.key] = entry
        self._index(entry)
        return self._remember(CacheEvent("ADDED" if previous is None else "MODIFIED", entry, previous))

    def remove(self, key: str, revision: int) -> CacheEvent | None:
        previous = self.entries.pop(key, None)
        if previous is None:
            return None
        del self._keys[bisect_left(self._keys, key)]
        self._unindex(previous)
        return self._remember(CacheEvent("DELETED", previous.deleted_at(revision), previous))

    def _remember(self, event: CacheEvent) -> CacheEvent:
        self.changed = event.revision
        self._ring.append(event)
        if len(self._ring) > RING:
            self.floor = self._ring.popleft().revision
            # A revision is dropped whole, or a watch from it would miss its other half.
            while self._ring and self._ring[0].revision == self.floor:
                self._ring.popleft()
        return event

    def lose_the_past(self, revision: int) -> None:
        """After a gap in the store's watch: watchers end, and none may start before `revision`."""
        self._ring.clear()
        self._listed = None
        self.floor = self.changed = revision
        self.end_watches()

    def end_watches(self) -> None:
        for watcher in tuple(self.watchers):
            watcher.end()
        for audience in tuple(self.audiences.values()):
            audience.end()
        self.audiences.clear()

    def audience(self, namespace: str, encode: Encode) -> Audience:
        """Those who watch `namespace` ("" for all) and take what `encode` makes of the events."""
        found = self.audiences.get((namespace, encode))
        if found is None:
            found = self.audiences[namespace, encode] = Audience(encode)
        return found

    def tell_audiences(self, event: CacheEvent) -> None:
        for (namespace, encode), audience in tuple(self.audiences.items()):
            if audience.is_empty:
                del self.audiences[namespace, encode]
            elif namespace in ("", event.entry.namespace):
                audience.tell(event)

    def since(self, revision: int) -> Sequence[CacheEvent]:
        """The events after `revision`; raises Expired if they are gone."""
        if revision < self.floor:
            raise Expired(f"too old resource version: {revision} ({self.floor})")
        found = []
        for event in reversed(self._ring):
            if event.revision <= revision:
                break
            found.append(event)
        found.reverse()
        return found

    def list(self, namespace: str) -> Sequence[Entry]:
        """In the order of keys."""
        if self._listed is not None and self._listed[:2] == (namespace, self.changed):
            return self._listed[2]
        keys = self._keys
        if namespace:
            first = bisect_left(keys, f"{self.prefix}{namespace}/")
            keys = keys[first : bisect_left(keys, f"{self.prefix}{namespace}0")]
        found = tuple([self.entries[key] for key in keys])
        self._listed = (namespace, self.changed, found)
        return found

    def list_at(self, namespace: str, revision: int) -> Sequence[Entry]:
        """As it was: what happened since is taken back; raises Expired if that is not known any more."""
        found = {entry.key: entry for entry in self.list(namespace)}
        for event in reversed(self.since(revision)):
            if namespace and event.entry.namespace != namespace:
                continue
            if event.previous is None:
                found.pop(event.entry.key, None)
            else:
                found[event.entry.key] = event.previous
        return [found[key] for key in sorted(found)]

    def owned_by(self, uid: str) -> Sequence[Entry]:
        return list(self._owned.get(uid, {}).values())

    def orphans(self, namespace: str) -> Sequence[Entry]:
        """Entries that no controller owns; their index is made when they are first asked for."""
        if self._orphans is None:
            self._orphans = {}
            for entry in self.entries.values():
                if not entry.is_controlled:
                    self._orphans.setdefault(entry.namespace, {})[entry.key] = entry
        return list(self._orphans.get(namespace, {}).values())

    def on_node(self, node: str) -> Sequence[Entry]:
        """Pods by their node; other kinds are not indexed so."""
        return list(self._on_node.get(node, {}).values())

    def labelled(self, key: str, value: str) -> Sequence[Entry]:
        """Entries with this label; the index of a label key is made when it is first asked for."""
        values = self._labelled.get(key)
        if values is None:
            values = self._labelled[key] = {}
            for entry in self.entries.values():
                if key in entry.labels:
                    values.setdefault(entry.labels[key], {})[entry.key] = entry
        return list(values.get(value, {}).values())

    def _index(self, entry: Entry) -> None:
        for uid in entry.owners:
            self._owned.setdefault(uid, {})[entry.key] = entry
        if self._orphans is not None and not entry.is_controlled:
            self._orphans.setdefault(entry.namespace, {})[entry.key] = entry
        if self._has_nodes:
            self._on_node.setdefault(entry.node, {})[entry.key] = entry
        for key, values in self._labelled.items():
            if key in entry.labels:
                values.setdefault(entry.labels[key], {})[entry.key] = entry

    def _unindex(self, entry: Entry) -> None:
        for uid in entry.owners:
            _drop(self._owned, uid, entry.key)
        if self._orphans is not None and not entry.is_controlled:
            _drop(self._orphans, entry.namespace, entry.key)
        if self._has_nodes:
            _drop(self._on_node, entry.node, entry.key)
        for key, values in self._labelled.items():
            if key in entry.labels:
                _drop(values, entry.labels[key], entry.key)


def _drop(index: dict[str, dict[str, Entry]], value: str, key: str) -> None:
    found = index.get(value)
    if found is not None:
        found.pop(key, None)
        if not found:
            del index[value]
