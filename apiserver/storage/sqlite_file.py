"""Opens the store's file: locks it, checks it, makes or verifies its schema, and finds where revisions go on."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import apsw

from apiserver.storage.sqlite_log import REVISION_BLOCK, SqliteLog, unavailable
from apiserver.storage.store import StoreUnavailableError

SCHEMA = 1
"""Raised with every change that an older program would not understand."""
APPLICATION_ID = 0x6D6B7079

_WAL_LIMIT = 16 * 1024 * 1024
_TABLES = """
CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    create_revision INTEGER NOT NULL,
    previous INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    lease INTEGER NOT NULL
);
CREATE INDEX log_key ON log (key, revision);
CREATE INDEX log_lease ON log (lease) WHERE lease != 0;
CREATE TABLE lease (id INTEGER PRIMARY KEY AUTOINCREMENT, expires REAL NOT NULL);
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('revision', 1), ('reserved', 1), ('compacted', 0), ('clean', 1);
"""


class FileLock:
    """Holds the file beside the data for this process; a second one learns who has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise StoreUnavailableError(
                f"the store {path.with_suffix('')} is in use by process {holder or 'unknown'}"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        # The file stays: removing it would let two processes lock two files of one name.
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def open_memory() -> SqliteLog:
    """A log that ends with the process."""
    db = apsw.Connection(":memory:")
    return prepared(db)


def open_file(path: Path) -> tuple[SqliteLog, FileLock]:
    """The log in `path`, made if need be; raises StoreUnavailableError, in one line, if it can't be used."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f"{path.name}.lock"))
    except OSError as error:
        raise StoreUnavailableError(f"the store {path} can't be opened: {error.strerror}") from error
    try:
        return _open_locked(path), lock
    except BaseException:
        lock.release()
        raise


def _open_locked(path: Path) -> SqliteLog:
    try:
        _make_private(path)
        db = apsw.Connection(str(path))
    except OSError as error:
        raise StoreUnavailableError(f"the store {path} can't be opened: {error.strerror}") from error
    except apsw.Error as error:
        raise unavailable(error, str(path)) from error
    try:
        return prepared(db)
    except apsw.Error as error:
        db.close()
        raise unavailable(error, str(path)) from error
    except StoreUnavailableError:
        db.close()
        raise


def _make_private(path: Path) -> None:
    """The file holds Secrets, and SQLite gives its companions the same mode."""
    is_new = not path.exists()
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    if is_new:
        directory = os.open(path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)


def prepared(db: apsw.Connection) -> SqliteLog:
    """The log of an open database, after its checks; raises apsw.Error or StoreUnavailableError."""
    _check_owner(db)
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}").fetchall()
    _check_pages(db)
    if _number(db, "user_version") == 0:
        with db:
            db.execute(_TABLES)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA}")
    return _resume(db)


def _check_owner(db: apsw.Connection) -> None:
    schema, application = _number(db, "user_version"), _number(db, "application_id")
    has_tables = db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
    if application != APPLICATION_ID and (has_tables or application or schema):
        raise StoreUnavailableError(f"{db.filename} is a database of another program")
    if schema > SCHEMA:
        raise StoreUnavailableError(
            f"the store {db.filename} is a newer version's: it has schema {schema}, this program knows {SCHEMA}"
        )


def _check_pages(db: apsw.Connection) -> None:
    found: str = db.execute("PRAGMA quick_check(1)").get
    if found != "ok":
        raise apsw.CorruptError(found.splitlines()[-1])


def _resume(db: apsw.Connection) -> SqliteLog:
    """The log after its last end: behind the reserved block if that was not a clean one."""
    rows: Any = db.execute("SELECT name, value FROM meta").fetchall()
    meta: dict[str, int] = dict(rows)
    revision = meta["revision"] if meta["clean"] else meta["reserved"]
    reserved = revision + REVISION_BLOCK
    with db:
        db.execute("UPDATE meta SET value = ? WHERE name = 'reserved'", (reserved,))
        db.execute("UPDATE meta SET value = 0 WHERE name = 'clean'")
    return SqliteLog(db, revision=revision, compacted=meta["compacted"], reserved=reserved)


def _number(db: apsw.Connection, pragma: str) -> int:
    value: int = db.execute(f"PRAGMA {pragma}").get
    return value
