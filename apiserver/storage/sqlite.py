"""The embedded store: etcd's contract over SQLite, one thread for the file, one commit for all that waits.

In memory (for tests) the same log runs inline, without a thread. Nothing is acknowledged before the commit that
covers it, and events reach watchers in the same turn of the loop as the answers reach writers.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any, TypeVar

from apiserver.storage.compaction import MOST_REVISIONS, Compaction
from apiserver.storage.feed import Feed, Subscription
from apiserver.storage.sqlite_file import FileLock, open_file, open_memory
from apiserver.storage.sqlite_log import History, SqliteLog
from apiserver.storage.store import RangeResult, StoreEvent, StoreUnavailableError, TxnResult
from machinery.structs import Struct

T = TypeVar("T")

_MOST_IN_A_COMMIT = 256
_HISTORY_CHUNK = 500
_VACUUM_PAGES = 512
_log = logging.getLogger(__name__)


class _Need(Enum):
    """What must have happened before the answer."""

    READ = auto()
    COMMIT = auto()
    FSYNC = auto()


class _Job(Struct):
    work: Callable[[SqliteLog], Any]
    need: _Need
    answer: asyncio.Future[Any]


class SqliteStore:
    """`Store` in one file, or in memory."""

    def __init__(self, log: SqliteLog, path: Path | None, lock: FileLock | None) -> None:
        self.path = path
        self._log = log
        self._lock = lock
        self._loop = asyncio.get_running_loop()
        self._feed = Feed()
        self._revision = log.revision
        self._compaction = Compaction(log.revision, most=MOST_REVISIONS)
        self._expiry: asyncio.TimerHandle | None = None
        self._expires_at: float | None = None
        self._is_closed = False
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread: threading.Thread | None = None

    @classmethod
    async def open(cls, path: Path | None) -> SqliteStore:
        """The store in `path`, or one in memory; raises StoreUnavailableError in one line."""
        if path is None:
            return cls(open_memory(), None, None)
        log, lock = await asyncio.to_thread(open_file, path)
        store = cls(log, path, lock)
        store._start()
        return store

    def _start(self) -> None:
        # A daemon: what is acknowledged is on the disk already, so an exit need not wait for it.
        self._thread = threading.Thread(target=self._serve, name="store", daemon=True)
        self._thread.start()
        self._arm(self._log.next_expiry())

    async def range(self, prefix: str, *, revision: int = 0, limit: int = 0, start_after: str = "") -> RangeResult:
        return await self._do(lambda log: log.range(prefix, revision, limit, start_after), _Need.READ)

    async def put(self, key: str, value: bytes, *, expected: int, lease: int = 0, relaxed: bool = False) -> TxnResult:
        need = _Need.COMMIT if relaxed else _Need.FSYNC
        return await self._do(lambda log: log.put(key, value, expected, lease), need)

    async def delete(self, key: str, *, expected: int) -> TxnResult:
        return await self._do(lambda log: log.delete(key, expected), _Need.FSYNC)

    async def grant_lease(self, seconds: int) -> int:
        now = time.time()
        lease = await self._do(lambda log: log.grant(seconds, now), _Need.COMMIT)
        if self._expires_at is None or now + seconds < self._expires_at:
            self._arm(now + seconds)
        return lease

    async def compact(self, revision: int) -> None:
        await self._do(lambda log: log.compact(revision), _Need.COMMIT)

    async def current_revision(self) -> int:
        # Whatever was acknowledged was published in the same turn, so this needs no question to the thread.
        if self._is_closed:
            raise StoreUnavailableError("the store is closed")
        return self._revision

    @asynccontextmanager
    async def watch(self, prefix: str, *, start: int) -> AsyncIterator[AsyncIterator[Sequence[StoreEvent]]]:
        subscription = self._feed.subscribe(prefix)
        events = self._events(subscription, prefix, start)
        try:
            yield events
        finally:
            self._feed.unsubscribe(subscription)
            await events.aclose()

    async def _events(self, subscription: Subscription, prefix: str, start: int) -> Any:
        while True:
            if subscription.is_behind:
                subscription.reset()
                is_complete = False
                while not is_complete:
                    past = await self._past(prefix, start)
                    start, is_complete = past.next_revision, past.complete
                    if past.events:
                        yield past.events
            # What the log has told already comes again from the queue.
            events = [event for event in await subscription.take() if event.revision >= start]
            if events:
                start = events[-1].revision + 1
                yield events

    async def _past(self, prefix: str, start: int) -> History:
        return await self._do(lambda log: log.history(prefix, start, _HISTORY_CHUNK), _Need.READ)

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._expiry is not None:
            self._expiry.cancel()
        self._feed.close()
        if self._thread is None:
            self._log.close()
            return
        self._queue.put(None)
        await self._ended
        self._thread.join()

    async def _do(self, work: Callable[[SqliteLog], T], need: _Need) -> T:
        if self._is_closed:
            raise StoreUnavailableError("the store is closed")
        job = _Job(work, need, self._loop.create_future())
        if self._thread is None:
            self._settle([job], *_carry_out(self._log, [job]))
            self._compact()
        else:
            self._queue.put(job)
        answer: T = await job.answer
        return answer

    def _settle(self, jobs: Sequence[_Job], results: Sequence[Any], events: Sequence[StoreEvent]) -> None:
        """In the loop: publish first, so that the watch cache runs before those who wait for it."""
        if events:
            self._revision = events[-1].revision
            self._feed.publish(events)
        for job, result in zip(jobs, results, strict=True):
            if job.answer.done():
                continue
            if isinstance(result, Exception):
                job.answer.set_exception(result)
            else:
                job.answer.set_result(result)

    def _serve(self) -> None:
        """The thread: take all that waits, commit it once, answer it by one call into the loop."""
        jobs: list[_Job] = []
        try:
            is_open = True
            while is_open:
                jobs, is_open = self._take()
                if jobs:
                    self._loop.call_soon_threadsafe(self._settle, jobs, *_carry_out(self._log, jobs))
                    jobs = []
                    self._compact()
            self._log.close()
        finally:
            if self._lock is not None:
                self._lock.release()
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._end, jobs)

    def _take(self) -> tuple[list[_Job], bool]:
        jobs: list[_Job] = []
        try:
            job = self._queue.get()
            while job is not None:
                jobs.append(job)
                if len(jobs) == _MOST_IN_A_COMMIT:
                    return jobs, True
                job = self._queue.get_nowait()
        except queue.Empty:
            return jobs, True
        return jobs, False

    def _compact(self) -> None:
        """In the log's thread: forgets the past that nobody may ask for any more, and shrinks the file."""
        revision = self._compaction.due(self._log.revision, self._log.compacted, time.monotonic())
        if not revision:
            return
        try:
            self._log.transact([lambda log: log.compact(revision)], durable=False)
            while self._log.give_back_space(_VACUUM_PAGES):
                pass
        except StoreUnavailableError as error:
            _log.warning("compaction to %d failed: %s", revision, error)

    def _end(self, jobs: Sequence[_Job]) -> None:
        """In the loop, when the thread is gone: nobody waits for an answer that can't come."""
        self._is_closed = True
        self._feed.close()
        waiting = list(jobs)
        while not self._queue.empty():
            job = self._queue.get_nowait()
            if job is not None:
                waiting.append(job)
        self._settle(waiting, [StoreUnavailableError("the store is closed")] * len(waiting), [])
        if not self._ended.done():
            self._ended.set_result(None)

    def _arm(self, expires: float | None) -> None:
        """Wakes when the next lease ends."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._expires_at, self._expiry = expires, None
        if expires is not None and not self._is_closed:
            self._expiry = self._loop.call_later(max(0.0, expires - time.time()), self._expire)

    def _expire(self) -> None:
        now = time.time()

        def expire(log: SqliteLog) -> float | None:
            log.expire(now)
            return log.next_expiry()

        job = _Job(expire, _Need.COMMIT, self._loop.create_future())
        job.answer.add_done_callback(self._rearm)
        if self._thread is None:
            self._settle([job], *_carry_out(self._log, [job]))
        else:
            self._queue.put(job)

    def _rearm(self, answer: asyncio.Future[float | None]) -> None:
        if self._is_closed or answer.cancelled():
            return
        error = answer.exception()
        if error is not None:
            _log.warning("leases can't be ended now: %s", error)
        self._arm(time.time() + 10 if error is not None else answer.result())


def _carry_out(log: SqliteLog, jobs: Sequence[_Job]) -> tuple[Sequence[Any], Sequence[StoreEvent]]:
    """The jobs' results in their order, and what they changed."""
    if any(job.need is not _Need.READ for job in jobs):
        try:
            return log.transact([job.work for job in jobs], durable=any(job.need is _Need.FSYNC for job in jobs))
        except StoreUnavailableError as error:
            # A full disk can still be read.
            return [error if job.need is not _Need.READ else _read(log, job) for job in jobs], ()
    return [_read(log, job) for job in jobs], ()


def _read(log: SqliteLog, job: _Job) -> Any:
    try:
        return log.read(job.work)
    except StoreUnavailableError as error:
        return error
