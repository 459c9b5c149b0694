"""Blobs by digest: a blob is there whole and verified, or it is not there.

Bytes arrive in `ingest/`, and only what hashes to its name is renamed to `blobs/sha256/`, after an fsync; so a kill at
any moment leaves whole blobs and partial ingests, and a partial ingest is continued by the next download.
Every call blocks: the callers use threads.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from runtime.errors import FailedPrecondition, NotFound
from runtime.images.media import Descriptor

CHUNK = 1 << 20
STALE_SECONDS = 24 * 3600.0


class Reader(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


def digest_of(body: bytes) -> str:
    """The digest that names `body`."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def write_atomically(path: Path, body: bytes) -> None:
    """`path` holds `body` on disk, or what it held before."""
    temporary = path.with_name(path.name + ".new")
    with open(temporary, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """The names in `path` are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ContentStore:
    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs" / "sha256"
        self._ingest = root / "ingest"
        self._labelling = threading.Lock()
        self.drafts, self._labels = root / "drafts", root / "labels"
        for folder in (self._blobs, self._ingest, self.drafts, self._labels):
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where the blob of `digest` is or will be; the digest was checked when its document was parsed."""
        return self._blobs / digest.removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def read(self, digest: str) -> bytes:
        """The whole blob; raises NotFound."""
        try:
            return self.path(digest).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"content digest {digest}: not found") from None

    def add(self, body: bytes) -> str:
        """Stores a blob that is in memory; returns its digest."""
        digest = digest_of(body)
        if not self.has(digest):
            # Two pulls may add the same document at once, so each writes a file of its own.
            descriptor, name = tempfile.mkstemp(dir=self._ingest)
            with open(descriptor, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(descriptor)
            os.replace(name, self.path(digest))
            sync_directory(self._blobs)
        return digest

    def put(self, source: Reader, size: int, expected: str) -> str:
        """Stores the next `size` bytes of `source`; returns their digest. Raises ValueError where it ends before.

        Where the blob `expected` is there already, nothing is read.
        """
        if expected and self.has(expected):
            return expected
        descriptor, name = tempfile.mkstemp(dir=self._ingest)
        try:
            digest = hashlib.sha256()
            with open(descriptor, "wb") as file:
                while size > 0:
                    if not (chunk := source.read(min(size, CHUNK))):
                        raise ValueError("unexpected end of data")
                    digest.update(chunk)
                    file.write(chunk)
                    size -= len(chunk)
                file.flush()
                os.fsync(descriptor)
            found = f"sha256:{digest.hexdigest()}"
            os.replace(name, self.path(found))
        except BaseException:
            os.unlink(name)
            raise
        sync_directory(self._blobs)
        return found

    def ingest(self, descriptor: Descriptor) -> Ingest:
        """A writer for the blob; opens a file and no more, so it may be called on the event loop."""
        name = descriptor.digest.removeprefix("sha256:")
        return Ingest(self._ingest / name, self.path(descriptor.digest), descriptor)

    def digests(self) -> Iterator[str]:
        """Every blob's digest."""
        for path in self._blobs.iterdir():
            if len(path.name) == 64:
                yield f"sha256:{path.name}"

    def remove(self, digest: str) -> None:
        # The blob last: what is left of it after a kill is found, labels alone would stay for ever.
        self._label_file(digest).unlink(missing_ok=True)
        self.path(digest).unlink(missing_ok=True)

    def labels(self, digest: str) -> dict[str, str]:
        """What clients of the containerd API wrote on the blob."""
        try:
            found: dict[str, str] = json.loads(self._label_file(digest).read_bytes())
        except FileNotFoundError:
            return {}
        return found

    def label(self, digest: str, labels: Mapping[str, str]) -> None:
        """Replaces the blob's labels."""
        with self._labelling:
            write_atomically(self._label_file(digest), json.dumps(dict(labels)).encode())

    def add_labels(self, digest: str, labels: Mapping[str, str]) -> None:
        with self._labelling:
            known = self.labels(digest)
            if labels.items() - known.items():
                write_atomically(self._label_file(digest), json.dumps({**known, **labels}).encode())

    def _label_file(self, digest: str) -> Path:
        return self._labels / digest.removeprefix("sha256:")

    def remove_stale(self, now: float | None = None) -> None:
        """At start: removes what no download has continued for a day, and labels that were half written."""
        for path in self._labels.glob("*.new"):
            path.unlink()
        limit = (time.time() if now is None else now) - STALE_SECONDS
        for path in (*self._ingest.iterdir(), *self.drafts.iterdir()):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < limit:
                    path.unlink()


class Ingest:
    """One download's file: `resume`, `write` from `offset`, then `commit`; or `close` and continue another time."""

    def __init__(self, partial: Path, final: Path, descriptor: Descriptor) -> None:
        self._partial, self._final, self._descriptor = partial, final, descriptor
        self._hash = hashlib.sha256()
        self.offset = 0
        # Unbuffered: bytes that a full disk refused would stand in the buffer, and truncating writes that out first.
        self._file = open(partial, "a+b", buffering=0)  # noqa: SIM115 - closed by commit or close

    def resume(self) -> None:
        """Takes up what an earlier attempt wrote; `offset` is then where to go on."""
        self._file.seek(0)
        while chunk := self._file.read(CHUNK):
            self._hash.update(chunk)
            self.offset += len(chunk)
        if self.offset > self._descriptor.size:
            self.restart()

    def restart(self) -> None:
        """Forgets what an earlier attempt wrote: the registry can't continue it."""
        self._file.truncate(0)
        self._hash, self.offset = hashlib.sha256(), 0

    def write(self, chunk: bytes) -> None:
        """Appends; raises FailedPrecondition as soon as the blob grows past its size."""
        self.offset += len(chunk)
        if self.offset > self._descriptor.size:
            self._discard()
            raise FailedPrecondition(f"unexpected commit size {self.offset}, expected {self._descriptor.size}")
        self._hash.update(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]

    def commit(self) -> None:
        """The blob is in the store, verified and on disk; raises FailedPrecondition where it is not what was named."""
        found = "sha256:" + self._hash.hexdigest()
        if self.offset != self._descriptor.size:
            self._discard()
            raise FailedPrecondition(f"unexpected commit size {self.offset}, expected {self._descriptor.size}")
        if found != self._descriptor.digest:
            self._discard()
            raise FailedPrecondition(f"unexpected commit digest {found}, expected {self._descriptor.digest}")
        os.fsync(self._file.fileno())
        # Open till then: where there is no room for the name, the bytes are still to be given up.
        os.replace(self._partial, self._final)
        self._file.close()
        sync_directory(self._final.parent)

    def close(self) -> None:
        """Keeps the bytes so far for the next attempt."""
        self._file.close()

    def _discard(self) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)
