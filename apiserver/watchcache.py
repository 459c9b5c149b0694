"""The one watch cache: the store's events in order of revisions, lists that are consistent, watches that resume.

`run` follows the store; everything else is synchronous in the loop's thread. What one revision changed becomes visible
at once. Handlers run in the order of revisions, watchers are never waited for.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter

from apiserver.audience import Audience, Encode, Listener
from apiserver.cache_bucket import Bucket, CacheEvent, Handler, Watcher
from apiserver.cache_entry import KEY_PREFIX, Entry, ParsedObjects, bucket_prefix
from apiserver.set_aside import SetAside
from apiserver.storage.store import CompactedError, Store, StoreEvent, StoreUnavailableError
from apiserver.stored_value import UnreadableError, readable
from machinery.api.resource import Object, Resource
from machinery.api.resources import PODS
from machinery.contain import contain

__all__ = ["CacheEvent", "Entry", "WatchCache", "Watcher"]

_PAST = 1000
_PAGE = 500
# Seconds; a change that many components hear of takes most of a millisecond.
_HOLDS_THE_LOOP = 0.004
_PATIENCE = 0.5
_PROGRESS_KEY = f"{KEY_PREFIX}minikube-py/progress"
_PROGRESS = b'{"metadata":{}}'
_log = logging.getLogger(__name__)


class WatchCache:
    """All objects of the store: `start` it, then keep `run` in a TaskGroup."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._parsed = ParsedObjects()
        self._buckets: dict[str, Bucket] = {}
        self._by_resource: dict[Resource, Bucket] = {}
        self._floor = 0
        self._revision = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._is_ended = False
        self._vouched: dict[bytes, Object] = {}
        self.set_aside = SetAside()

    @property
    def revision(self) -> int:
        """The newest revision that the cache has seen."""
        return self._revision

    async def start(self) -> None:
        """Loads the store, and of its past what watches may want to resume from."""
        try:
            # An event of our own is one that the watch will surely reach, whoever else counts revisions up.
            newest = await self._mark_progress()
            await self._load(max(1, newest - _PAST))
            async with self._store.watch(KEY_PREFIX, start=self._revision + 1) as events:
                await self._follow(events, until=newest)
        except (CompactedError, StoreUnavailableError) as reason:
            # Compacted lately, or a disk too full for the mark: then without the past.
            _log.info("the past is not loaded: %s", reason)
            self._buckets.clear()
            self._by_resource.clear()
            self.set_aside.clear()
            await self._load(0)

    async def _load(self, revision: int) -> None:
        """The objects at `revision`, or now."""
        more, last = True, ""
        while more:
            page = await self._store.range(KEY_PREFIX, revision=revision, limit=_PAGE, start_after=last)
            revision = self._floor = revision or page.revision
            for item in page.items:
                with contain("stored object", about=item.key):
                    bucket = self._bucket(bucket_prefix(item.key))
                    value = self._readable(item.key, item.value, item.mod_revision)
                    if value is not None:
                        entry = Entry.loaded(item.key, value, item.mod_revision, item.create_revision, self._parsed)
                        bucket.load(entry)
            more, last = page.more, page.items[-1].key if page.items else ""
            await asyncio.sleep(0)
        self._revision = revision

    async def run(self) -> None:
        """Follows the store for good; raises StoreUnavailableError when that is closed."""
        try:
            while True:
                try:
                    async with self._store.watch(KEY_PREFIX, start=self._revision + 1) as events:
                        await self._follow(events)
                except CompactedError:
                    _log.warning("the store has forgotten what followed %d: loading it anew", self._revision)
                    await self._reload()
        finally:
            self._end()

    async def _follow(self, events: AsyncIterator[Sequence[StoreEvent]], *, until: int = 0) -> None:
        async for batch in events:
            began = time.monotonic()
            for revision, group in itertools.groupby(batch, attrgetter("revision")):
                self._apply(revision, list(group))
                if time.monotonic() - began > _HOLDS_THE_LOOP:
                    await asyncio.sleep(0)
                    began = time.monotonic()
            if until and self._revision >= until:
                return

    def _apply(self, revision: int, events: Sequence[StoreEvent]) -> None:
        """Makes all of one revision visible, then tells it."""
        changes: list[tuple[Bucket, CacheEvent]] = []
        for event in events:
            with contain("stored object", about=event.key):
                bucket = self._bucket(bucket_prefix(event.key))
                change: CacheEvent | None
                entry = (
                    self._entry(event.key, event.value, revision, event.create_revision)
                    if event.type == "put"
                    else None
                )
                change = bucket.put(entry) if entry is not None else bucket.remove(event.key, revision)
                if event.type == "delete":
                    self.set_aside.forget(event.key)
                if change is not None:
                    changes.append((bucket, change))
        self._tell(revision, changes)

    def _tell(self, revision: int, changes: Sequence[tuple[Bucket, CacheEvent]]) -> None:
        self._revision = max(self._revision, revision)
        # Who subscribes from within a handler has seen all of this revision already.
        told = [(bucket.handlers, tuple(bucket.watchers), change) for bucket, change in changes]
        for bucket, change in changes:
            bucket.tell_audiences(change)
        for handlers, watchers, change in told:
            for watcher in watchers:
                watcher.push((change,))
            for handler in handlers:
                with contain("cache handler", about=change.entry.key):
                    handler(change)
        for _, change in changes:
            if change.previous is not None:
                # Whoever still wants what it was has heard of it now.
                change.previous.forget()
        while self._waiting and self._waiting[0][0] <= self._revision:
            waiter = heapq.heappop(self._waiting)[2]
            if not waiter.done():
                waiter.set_result(None)

    async def _reload(self) -> None:
        """After a gap: components get the difference, watchers end and start anew with a list."""
        found = await self._store.range(KEY_PREFIX)
        self._floor = found.revision
        for bucket in self._buckets.values():
            bucket.lose_the_past(found.revision)
        there = {item.key for item in found.items}
        self.set_aside.clear()
        changes = []
        for item in sorted(found.items, key=attrgetter("mod_revision")):
            bucket = self._bucket(bucket_prefix(item.key))
            known = bucket.entries.get(item.key)
            if known is None or known.revision < item.mod_revision:
                with contain("stored object", about=item.key):
                    entry = self._entry(item.key, item.value, item.mod_revision, item.create_revision)
                    if entry is not None:
                        changes.append((bucket, bucket.put(entry)))
                    elif (gone := bucket.remove(item.key, item.mod_revision)) is not None:
                        changes.append((bucket, gone))
        for bucket in self._buckets.values():
            for key in [key for key in bucket.entries if key not in there]:
                change = bucket.remove(key, found.revision)
                assert change is not None
                changes.append((bucket, change))
        for bucket in self._buckets.values():
            bucket.lose_the_past(found.revision)
        self._tell(found.revision, changes)

    @contextmanager
    def vouch(self, value: bytes, obj: Object) -> Iterator[None]:
        """Within, `value` is taken to be `obj`, unparsed: whoever writes it has checked it already."""
        self._vouched[value] = obj
        try:
            yield
        finally:
            self._vouched.pop(value, None)

    def _entry(self, key: str, value: bytes, revision: int, create_revision: int) -> Entry | None:
        """The entry of a stored value, None where that can't be read and is set aside."""
        obj = self._vouched.get(value)
        made = self._readable(key, value, revision) if obj is None else value
        if made is None:
            return None
        self.set_aside.forget(key)
        return Entry(key, made, revision, create_revision, self._parsed, obj)

    def _readable(self, key: str, value: bytes, revision: int) -> bytes | None:
        """The value as it may be shown."""
        try:
            return readable(key, value)
        except UnreadableError as error:
            _log.warning("what is stored under %s is set aside: %s", key, error)
            self.set_aside.add(key, revision, str(error))
            return None

    def _bucket(self, prefix: str) -> Bucket:
        bucket = self._buckets.get(prefix)
        if bucket is None:
            bucket = self._buckets[prefix] = Bucket(prefix, self._floor)
        return bucket

    def _of(self, resource: Resource) -> Bucket:
        bucket = self._by_resource.get(resource)
        if bucket is None:
            bucket = self._by_resource[resource] = self._bucket(f"{KEY_PREFIX}{resource.storage_prefix}/")
        return bucket

    def get(self, resource: Resource, namespace: str, name: str) -> Entry | None:
        bucket = self._of(resource)
        return bucket.entries.get(f"{bucket.prefix}{namespace}/{name}" if namespace else f"{bucket.prefix}{name}")

    def list(self, resource: Resource, namespace: str = "", *, revision: int = 0) -> Sequence[Entry]:
        """In the order of keys; as it was at `revision`, or raises Expired where that is not known any more."""
        bucket = self._of(resource)
        return bucket.list_at(namespace, revision) if revision else bucket.list(namespace)

    def changed(self, resource: Resource) -> int:
        """The revision of the last change among the objects: what is derived of a list stays true so long."""
        return self._of(resource).changed

    def owned_by(self, resource: Resource, uid: str) -> Sequence[Entry]:
        return self._of(resource).owned_by(uid)

    def orphans(self, resource: Resource, namespace: str) -> Sequence[Entry]:
        return self._of(resource).orphans(namespace)

    def on_node(self, node: str) -> Sequence[Entry]:
        """Pods whose `spec.nodeName` is `node`; "" gives those not yet bound."""
        return self._of(PODS).on_node(node)

    def labelled(self, resource: Resource, key: str, value: str) -> Sequence[Entry]:
        """Objects that have this label, of any namespace."""
        return self._of(resource).labelled(key, value)

    def watch(self, resource: Resource, namespace: str, since: int) -> Watcher:
        """Events after `since`, at once or as they come; raises Expired if some of them are gone."""
        bucket = self._of(resource)
        past = bucket.since(since)
        watcher = Watcher(bucket, namespace, lambda: self._revision, since=since)
        watcher.push(past)
        bucket.watchers.add(watcher)
        return watcher

    def listen(self, resource: Resource, namespace: str, since: int, listener: Listener, encode: Encode) -> Audience:
        """Hands the listener what `encode` makes of the events after `since`, then of all that come; raises Expired."""
        bucket = self._of(resource)
        past = [event for event in bucket.since(since) if namespace in ("", event.entry.namespace)]
        audience = bucket.audience(namespace, encode)
        audience.join(listener)
        if past:
            listener.take(encode(past), past[-1].revision)
        return audience

    def subscribe(self, resource: Resource, handler: Handler) -> Callable[[], None]:
        """Calls `handler` for each object there is, then at each change; returns what ends that."""
        bucket = self._of(resource)
        for entry in bucket.list(""):
            with contain("cache handler", about=entry.key):
                handler(CacheEvent("ADDED", entry, None))
        bucket.handlers = (*bucket.handlers, handler)

        def end() -> None:
            bucket.handlers = tuple(other for other in bucket.handlers if other is not handler)

        return end

    async def wait_for(self, revision: int) -> None:
        """Returns when the cache has seen `revision`."""
        if revision <= self._revision:
            return
        if self._is_ended:
            raise StoreUnavailableError("the watch cache has ended")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (revision, next(self._order), waiter))
        await waiter

    async def refresh(self) -> None:
        """Returns when the cache has seen all that was acknowledged before: what a consistent read waits for."""
        newest = await self._store.current_revision()
        if newest <= self._revision:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                await self.wait_for(newest)
        except TimeoutError:
            # Revisions that others made outside of our keys bring no event: make one.
            await self.wait_for(await self._mark_progress())

    async def _mark_progress(self) -> int:
        """The revision of an event made for the purpose, behind all that was acknowledged before."""
        while True:
            there = (await self._store.range(_PROGRESS_KEY)).items
            expected = there[0].mod_revision if there else 0
            marked = await self._store.put(_PROGRESS_KEY, _PROGRESS, expected=expected, relaxed=True)
            if marked.succeeded:
                return marked.revision

    def _end(self) -> None:
        self._is_ended = True
        for bucket in self._buckets.values():
            bucket.end_watches()
        for *_, waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(StoreUnavailableError("the watch cache has ended"))
        self._waiting.clear()
