"""A blob that a client sends by pieces under a name of its own (`ref`), perhaps before anyone knows its digest.

What was sent outlives a broken connection: whoever opens the same ref goes on at `offset`. Every call blocks.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from machinery.structs import Struct
from runtime.errors import AlreadyExists, FailedPrecondition, NotFound, Unavailable
from runtime.images.content import CHUNK, ContentStore, sync_directory


class DraftStatus(Struct, frozen=True):
    """Times are Unix nanoseconds; `expected` and `total` are empty where the sender did not say."""

    ref: str
    offset: int
    total: int
    expected: str
    started_at: int
    updated_at: int


class Drafts:
    """The drafts of one content store; one writer at a time for each ref."""

    def __init__(self, content: ContentStore) -> None:
        self._content = content
        self._folder = content.drafts
        self._open: set[str] = set()

    def open(self, ref: str, total: int, expected: str) -> Draft:
        """Raises AlreadyExists where the blob is there, Unavailable while another writes to the ref."""
        if expected and self._content.has(expected):
            raise AlreadyExists(f"content {expected}: already exists")
        if ref in self._open:
            raise Unavailable(f"ref {ref} locked: unavailable")
        self._open.add(ref)
        try:
            return Draft(self, self._content, _path(self._folder, ref), ref, total, expected)
        except BaseException:
            self._open.discard(ref)
            raise

    def closed(self, ref: str) -> None:
        self._open.discard(ref)

    def status(self, ref: str) -> DraftStatus:
        """Raises NotFound."""
        found = _status(_path(self._folder, ref))
        if found is None:
            raise NotFound(f"ingest ref {ref}: not found")
        return found

    def statuses(self) -> Iterator[DraftStatus]:
        for path in self._folder.glob("*.ref"):
            if found := _status(path.with_suffix("")):
                yield found

    def abort(self, ref: str) -> None:
        """Forgets what was sent; raises NotFound."""
        self.status(ref)
        _forget(_path(self._folder, ref))


class Draft:
    """`write` from `offset`, then `commit` or `close`."""

    def __init__(self, drafts: Drafts, content: ContentStore, path: Path, ref: str, total: int, expected: str) -> None:
        self._drafts, self._content, self._path = drafts, content, path
        self.ref, self.total, self.expected, self.offset = ref, total, expected, 0
        self._hash = hashlib.sha256()
        note = {"ref": ref, "total": total, "expected": expected, "started_at": time.time_ns()}
        if not path.with_suffix(".ref").exists():
            path.with_suffix(".ref").write_text(json.dumps(note))
        self._file = open(path, "a+b")  # noqa: SIM115 - closed by commit or close
        self._file.seek(0)
        while chunk := self._file.read(CHUNK):
            self._hash.update(chunk)
            self.offset += len(chunk)

    @property
    def digest(self) -> str:
        """Of what was written so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def restart(self) -> None:
        self._file.truncate(0)
        self._hash, self.offset = hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)
        self.offset += len(data)

    def commit(self, total: int, expected: str, labels: Mapping[str, str]) -> str:
        """The blob's digest, once it is in the store with its labels; raises FailedPrecondition, AlreadyExists."""
        digest = self.digest
        if total and total != self.offset:
            raise FailedPrecondition(f"unexpected commit size {self.offset}, expected {total}: failed precondition")
        if expected and expected != digest:
            _forget(self._path)
            raise FailedPrecondition(f"unexpected commit digest {digest}, expected {expected}: failed precondition")
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._content.has(digest):
            _forget(self._path)
            raise AlreadyExists(f"content {digest}: already exists")
        final = self._content.path(digest)
        os.replace(self._path, final)
        sync_directory(final.parent)
        _forget(self._path)
        self._content.add_labels(digest, labels)
        return digest

    def close(self) -> None:
        """Keeps what was sent for the next attempt."""
        self._file.close()
        self._drafts.closed(self.ref)


def _path(folder: Path, ref: str) -> Path:
    return folder / hashlib.sha256(ref.encode()).hexdigest()[:32]


def _forget(path: Path) -> None:
    for each in (path, path.with_suffix(".ref")):
        each.unlink(missing_ok=True)


def _status(path: Path) -> DraftStatus | None:
    try:
        note = json.loads(path.with_suffix(".ref").read_bytes())
        found = path.stat()
    except (FileNotFoundError, ValueError):
        return None
    return DraftStatus(offset=found.st_size, updated_at=found.st_mtime_ns, **note)
