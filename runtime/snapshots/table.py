"""The snapshots that exist, one directory each with its own record, so that a kill leaves no half made one.

A directory is filled under a name that starts with `new-` and renamed when it is whole, and renamed to `old-` before it
is removed; opening the table removes what has such a name. A record changes by an atomic rename of its file.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from machinery.structs import replace
from runtime.errors import AlreadyExists, FailedPrecondition, NotFound
from runtime.snapshots.snapshot import Kind, Snapshot, Usage

RECORD = "snapshot.json"


class SnapshotTable:
    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._by_name: dict[str, Snapshot] = {}
        self._reserved: set[str] = set()
        root.mkdir(parents=True, exist_ok=True)
        for path in root.iterdir():
            if path.name.startswith(("new-", "old-")):
                shutil.rmtree(path, ignore_errors=True)
            elif path.name.isdecimal():
                self._load(path)
        self._next = 1 + max((int(snapshot.id) for snapshot in self._by_name.values()), default=0)

    def _load(self, path: Path) -> None:
        try:
            snapshot = _decoded(path.name, (path / RECORD).read_bytes())
        except (OSError, ValueError, KeyError, TypeError):
            # Only a broken disk leaves this; the image that needs it is unpacked anew.
            shutil.rmtree(path, ignore_errors=True)
            return
        self._by_name[snapshot.name] = snapshot

    def path(self, snapshot: Snapshot) -> Path:
        return self.root / snapshot.id

    def stat(self, name: str) -> Snapshot:
        """Raises NotFound."""
        with self._lock:
            return self._get(name)

    def walk(self) -> list[Snapshot]:
        with self._lock:
            return list(self._by_name.values())

    def parents(self, snapshot: Snapshot) -> list[Snapshot]:
        """What `snapshot` stands on, the nearest first."""
        chain: list[Snapshot] = []
        with self._lock:
            while snapshot.parent:
                snapshot = self._get(snapshot.parent)
                chain.append(snapshot)
        return chain

    def create(self, key: str, parent: str, fill: Callable[[Path], None]) -> Snapshot:
        """A new active snapshot whose directory `fill` makes; raises AlreadyExists, NotFound, FailedPrecondition."""
        snapshot = self._reserve(key, parent)
        unfinished = self.root / f"new-{snapshot.id}"
        try:
            unfinished.mkdir(mode=0o700)
            fill(unfinished)
            _write(unfinished, snapshot)
            os.rename(unfinished, self.path(snapshot))
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            with self._lock:
                self._by_name.pop(key, None)
            raise
        finally:
            with self._lock:
                self._reserved.discard(key)
        return snapshot

    def _reserve(self, key: str, parent: str) -> Snapshot:
        with self._lock:
            if key in self._by_name:
                raise AlreadyExists(f"snapshot {key}: already exists")
            if parent and self._get(parent).kind is not Kind.COMMITTED:
                raise FailedPrecondition(f"parent {parent} is not committed snapshot: failed precondition")
            snapshot = Snapshot(str(self._next), key, Kind.ACTIVE, parent)
            self._next += 1
            self._by_name[key] = snapshot
            self._reserved.add(key)
            return snapshot

    def commit(self, name: str, key: str, usage: Usage) -> Snapshot:
        """Raises AlreadyExists, NotFound, FailedPrecondition."""
        with self._lock:
            active = self._get(key)
            if active.kind is not Kind.ACTIVE:
                raise FailedPrecondition(f"snapshot {key} is not active: failed precondition")
            if name in self._by_name:
                raise AlreadyExists(f"snapshot {name}: already exists")
            committed = replace(active, name=name, kind=Kind.COMMITTED, usage=usage)
            _write(self.path(active), committed)
            del self._by_name[key]
            self._by_name[name] = committed
            return committed

    def remove(self, name: str) -> None:
        """Raises NotFound, and FailedPrecondition while another snapshot stands on it."""
        with self._lock:
            snapshot = self._get(name)
            if name in self._reserved:
                raise FailedPrecondition(f"snapshot {name} is being prepared: failed precondition")
            if any(other.parent == name for other in self._by_name.values()):
                raise FailedPrecondition("cannot remove snapshot with child: failed precondition")
            doomed = self.root / f"old-{snapshot.id}"
            os.rename(self.path(snapshot), doomed)
            del self._by_name[name]
        shutil.rmtree(doomed)

    def _get(self, name: str) -> Snapshot:
        try:
            return self._by_name[name]
        except KeyError:
            raise NotFound(f"snapshot {name} does not exist: not found") from None


def measured(directory: Path) -> Usage:
    """Bytes on disk and inodes of a tree; a hard link counts once, and what vanishes meanwhile doesn't."""
    size, seen, pending = 0, set[int](), [directory]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if status.st_ino not in seen:
                        seen.add(status.st_ino)
                        size += status.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
        except FileNotFoundError:
            continue
    return Usage(size, len(seen))


def _decoded(identifier: str, body: bytes) -> Snapshot:
    record = json.loads(body)
    return Snapshot(identifier, record["name"], Kind(record["kind"]), record["parent"], Usage(**record["usage"]))


def _write(directory: Path, snapshot: Snapshot) -> None:
    temporary = directory / f"{RECORD}.new"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(asdict(snapshot), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, directory / RECORD)
