"""The revision log in SQLite: what a transaction reads and writes, without threads and without a loop.

Each row is one revision of one key and points to the row it replaced, so that compaction and historic watches cost
what has changed, not what is there. Whoever calls `transact` owns the connection for that time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw

from apiserver.storage.store import (
    CompactedError,
    FutureRevisionError,
    KeyValue,
    LeaseExpiredError,
    RangeResult,
    StoreEvent,
    StoreUnavailableError,
    TxnResult,
)
from machinery.structs import Struct

REVISION_BLOCK = 1000
"""Revisions are reserved durably by this many: a start after a power loss goes on behind the block."""

_ROW = "SELECT key, value, create_revision, revision, lease, deleted FROM log"
_LATEST = f"{_ROW} WHERE key = ? AND revision <= ? ORDER BY revision DESC LIMIT 1"
_INSERT = "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)"
# The index alone tells each key's newest row, however often a hot key was written.
_LIVE_AT = """FROM (
        SELECT max(revision) AS newest FROM log WHERE key >= ? AND key < ? AND revision <= ? GROUP BY key ORDER BY key
    ) CROSS JOIN log ON revision = newest WHERE NOT deleted"""
# The unary plus keeps the planner on the revisions: the key index would have to be sorted.
_HISTORY = """SELECT l.revision, l.key, l.value, l.create_revision, l.deleted,
        p.revision, p.value, p.create_revision, p.lease, p.deleted
    FROM log AS l LEFT JOIN log AS p ON p.revision = l.previous
    WHERE l.revision >= ? AND +l.key >= ? AND +l.key < ? ORDER BY l.revision LIMIT ?"""
_LEASED = """SELECT key, revision FROM log AS l WHERE lease = ? AND lease != 0 AND NOT deleted
    AND revision = (SELECT max(revision) FROM log WHERE key = l.key)"""


class History(Struct, frozen=True):
    """Events in order; `next_revision` is where to read on, `complete` says that nothing is left to read now."""

    events: Sequence[StoreEvent]
    next_revision: int
    complete: bool


class SqliteLog:
    """The log of one open file; `revision` is the newest one, `compacted` the oldest that can be read."""

    def __init__(self, connection: apsw.Connection, *, revision: int, compacted: int, reserved: int) -> None:
        self._db = connection
        self._reserved = reserved
        self._events: list[StoreEvent] = []
        self._is_durable = True
        self.revision = revision
        self.compacted = compacted

    def transact(
        self, works: Sequence[Callable[[SqliteLog], Any]], *, durable: bool
    ) -> tuple[list[Any], list[StoreEvent]]:
        """Carries out all works in one commit; a result is what the work returned or the contract's error it raised.

        Raises StoreUnavailableError when nothing of it was written.
        """
        before, reserved, compacted = self.revision, self._reserved, self.compacted
        self._events = []
        try:
            self._begin(len(works), durable=durable)
            results = [_outcome(work, self) for work in works]
            self._db.execute("COMMIT")
        except apsw.Error as error:
            self.revision, self._reserved, self.compacted = before, reserved, compacted
            self._roll_back()
            raise unavailable(error, self._db.filename) from error
        return results, self._events

    def read(self, work: Callable[[SqliteLog], Any]) -> Any:
        """The result of a work that only reads, or the contract's error it raised."""
        try:
            return _outcome(work, self)
        except apsw.Error as error:
            raise unavailable(error, self._db.filename) from error

    def _begin(self, count: int, *, durable: bool) -> None:
        # A work writes one revision, an expiry those of its keys: it extends the block by itself.
        extends = self.revision + count > self._reserved
        if self._is_durable != (durable or extends):
            self._is_durable = durable or extends
            self._db.execute(f"PRAGMA synchronous = {'FULL' if self._is_durable else 'NORMAL'}")
        self._db.execute("BEGIN IMMEDIATE")
        if extends:
            self._reserve(self.revision + count + REVISION_BLOCK)

    def _reserve(self, revision: int) -> None:
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'reserved'", (revision,))
        self._reserved = revision

    def _roll_back(self) -> None:
        # Some errors have rolled back already.
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except apsw.Error:
                return

    def put(self, key: str, value: bytes, expected: int, lease: int) -> TxnResult:
        latest, current = self._latest(key)
        if (current.mod_revision if current else 0) != expected:
            return TxnResult(succeeded=False, revision=self.revision, current=current)
        if lease and self._db.execute("SELECT 1 FROM lease WHERE id = ?", (lease,)).fetchone() is None:
            raise LeaseExpiredError(f"the lease {lease} has ended")
        revision = self.revision + 1
        created = current.create_revision if current else revision
        self._db.execute(_INSERT, (revision, key, value, created, latest, False, lease))
        self.revision = revision
        self._events.append(StoreEvent("put", key, value, revision, created, current))
        return TxnResult(succeeded=True, revision=revision)

    def delete(self, key: str, expected: int) -> TxnResult:
        latest, current = self._latest(key)
        if (current.mod_revision if current else 0) != expected:
            return TxnResult(succeeded=False, revision=self.revision, current=current)
        if current is not None:
            self._remove(key, latest, current)
        return TxnResult(succeeded=True, revision=self.revision)

    def _remove(self, key: str, latest: int, current: KeyValue) -> None:
        self.revision += 1
        self._db.execute(_INSERT, (self.revision, key, b"", current.create_revision, latest, True, 0))
        self._events.append(StoreEvent("delete", key, b"", self.revision, current.create_revision, current))

    def _rows(self, sql: str, bindings: tuple[Any, ...] = ()) -> Any:
        return self._db.execute(sql, bindings).fetchall()

    def _latest(self, key: str) -> tuple[int, KeyValue | None]:
        """The revision of the key's newest row and, unless that deletes it, what it holds."""
        return self._latest_at(key, self.revision)

    def _latest_at(self, key: str, revision: int) -> tuple[int, KeyValue | None]:
        for *fields, deleted in self._rows(_LATEST, (key, revision)):
            found = KeyValue(*fields)
            return found.mod_revision, None if deleted else found
        return 0, None

    def range(self, prefix: str, revision: int, limit: int, start_after: str) -> RangeResult:
        if revision > self.revision:
            raise FutureRevisionError(f"revision {revision} has not happened, the newest is {self.revision}")
        if revision and revision < self.compacted:
            raise CompactedError(self.compacted)
        if not prefix.endswith("/"):
            found = self._latest_at(prefix, revision or self.revision)[1]
            return RangeResult([found] if found else [], self.revision, 1 if found else 0)
        first, end = bounds(prefix)
        if start_after >= first:
            first = f"{start_after}\0"
        span = (first, end, revision or self.revision)
        sql = f"SELECT key, value, create_revision, revision, lease {_LIVE_AT}"
        # SQLite's limit of -1 is none. The rows come in the inner order; sorting keys that are sorted costs nothing,
        # sorting rows in SQLite would copy every value.
        items = [KeyValue(*row) for row in self._rows(f"{sql} LIMIT ?", (*span, limit or -1))]
        items.sort(key=lambda item: item.key)
        count = len(items)
        if count == limit:
            count = self._rows(f"SELECT count(*) {_LIVE_AT}", span)[0][0]
        return RangeResult(items, self.revision, count, more=count > len(items))

    def history(self, prefix: str, start: int, limit: int) -> History:
        """What happened to the keys from `start` on."""
        if start < self.compacted:
            raise CompactedError(self.compacted)
        events = [_event(*row) for row in self._rows(_HISTORY, (start, *bounds(prefix), limit))]
        if len(events) == limit:
            return History(events, events[-1].revision + 1, complete=False)
        return History(events, max(start, self.revision + 1), complete=True)

    def grant(self, seconds: int, now: float) -> int:
        self._db.execute("INSERT INTO lease (expires) VALUES (?)", (now + seconds,))
        return self._db.last_insert_rowid()

    def expire(self, now: float) -> None:
        """Deletes the keys of the leases that have ended."""
        for (lease,) in self._rows("SELECT id FROM lease WHERE expires <= ?", (now,)):
            leased = self._rows(_LEASED, (lease,))
            if self.revision + len(leased) > self._reserved:
                self._reserve(self.revision + len(leased) + REVISION_BLOCK)
            for key, revision in leased:
                current = self._latest(key)[1]
                assert current is not None
                self._remove(key, revision, current)
            self._db.execute("DELETE FROM lease WHERE id = ?", (lease,))

    def next_expiry(self) -> float | None:
        """When the next lease ends, on the wall clock."""
        expires: float | None = self._rows("SELECT min(expires) FROM lease")[0][0]
        return expires

    def compact(self, revision: int) -> None:
        """Forgets what is no key's state at `revision` or later."""
        if revision > self.revision:
            raise FutureRevisionError(f"revision {revision} has not happened, the newest is {self.revision}")
        if revision <= self.compacted:
            raise CompactedError(self.compacted)
        # What was replaced goes first: it is found by the rows that replaced it.
        self._db.execute(
            "DELETE FROM log WHERE revision IN (SELECT previous FROM log WHERE revision > ? AND revision <= ?)",
            (self.compacted, revision),
        )
        # A watch may start at the compacted revision itself, so a deletion there stays until the next time.
        self._db.execute("DELETE FROM log WHERE deleted AND revision >= ? AND revision < ?", (self.compacted, revision))
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (revision,))
        self.compacted = revision

    def give_back_space(self, pages: int) -> bool:
        """Returns free pages to the file system, at most `pages`; True if there are more."""
        free: int = self._rows("PRAGMA freelist_count")[0][0]
        if free:
            # The pragma frees one page a step, so all its rows must be asked for.
            self._db.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
        return free > pages

    def close(self) -> None:
        """Records a clean end: the next start goes on with the next revision."""
        self._is_durable = True
        self._db.execute("PRAGMA synchronous = FULL")
        with self._db:
            self._db.execute("UPDATE meta SET value = ? WHERE name = 'revision'", (self.revision,))
            self._db.execute("UPDATE meta SET value = 1 WHERE name = 'clean'")
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._db.close()


def bounds(prefix: str) -> tuple[str, str]:
    """First key and the one behind the last of a prefix; of a single key where it ends in no slash."""
    if prefix.endswith("/"):
        return prefix, f"{prefix[:-1]}0"
    return prefix, f"{prefix}\0"


def unavailable(error: apsw.Error, filename: str) -> StoreUnavailableError:
    """What SQLite's error means for the user."""
    if isinstance(error, apsw.FullError):
        return StoreUnavailableError(f"the disk is full: {filename}")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StoreUnavailableError(
            f"the store {filename} is damaged ({error}): put back a copy of it, or move it away to begin anew"
        )
    return StoreUnavailableError(f"the store {filename or 'in memory'} does not answer: {error}")


def _outcome(work: Callable[[SqliteLog], Any], log: SqliteLog) -> Any:
    try:
        return work(log)
    except (CompactedError, FutureRevisionError, LeaseExpiredError, UnicodeError) as refusal:
        # Each refuses before it writes, so the others of the commit are not concerned.
        return refusal


def _event(
    revision: int,
    key: str,
    value: bytes,
    created: int,
    deleted: int,
    previous_revision: int | None,
    previous_value: bytes,
    previous_created: int,
    previous_lease: int,
    previous_deleted: int | None,
) -> StoreEvent:
    previous = None
    if previous_revision is not None and not previous_deleted:
        previous = KeyValue(key, previous_value, previous_created, previous_revision, previous_lease)
    return StoreEvent("delete" if deleted else "put", key, value, revision, created, previous)
