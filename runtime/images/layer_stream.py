"""A layer's bytes as tar reads them: decompressed, hashed on the way, and only forward."""

from __future__ import annotations

import hashlib
import io
import zlib
from typing import BinaryIO, Protocol

BUFFER = 1 << 20


class Reader(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


Errors = tuple[type[Exception], ...]


def decompressed(file: io.BufferedReader) -> tuple[Reader, Errors]:
    """A reader, and what a broken layer makes it raise, of the tar in gzip, zstd or nothing.

    The first bytes tell them apart: media types may lie.
    """
    magic = file.peek(4)
    if magic[:2] == b"\x1f\x8b":
        return _gunzip(file)
    if magic[:4] == b"\x28\xb5\x2f\xfd":
        import zstandard

        return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True), (zstandard.ZstdError,)
    return file, ()


def _gunzip(file: BinaryIO) -> tuple[Reader, Errors]:
    try:
        from isal import igzip, isal_zlib
    except ImportError:
        import gzip

        return gzip.GzipFile(fileobj=file), (zlib.error, EOFError)
    errors: Errors = (isal_zlib.error, zlib.error, EOFError)  # type: ignore[assignment]
    return igzip.IGzipFile(fileobj=file), errors  # type: ignore[no-untyped-call]


class _Hashed(io.RawIOBase):
    def __init__(self, source: Reader, errors: Errors) -> None:
        self._source, self._errors, self.hash = source, errors, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        try:
            data = self._source.read(len(view))
        except self._errors as error:
            raise ValueError(f"corrupt layer: {error}") from error
        self.hash.update(data)
        view[: len(data)] = data
        return len(data)


class LayerStream:
    """What tarfile needs of a file: `read`, `tell` and `seek`, which goes forward and at most one byte back."""

    def __init__(self, source: Reader, errors: Errors = ()) -> None:
        self._raw = _Hashed(source, errors)
        self._buffered = io.BufferedReader(self._raw, BUFFER)
        self._position = 0
        self._last = b""
        self._pushed_back = b""

    def read(self, size: int = -1) -> bytes:
        data = self._pushed_back
        self._pushed_back = b""
        if size != len(data):
            data += self._buffered.read(size - len(data) if size >= 0 else -1)
        self._position += len(data)
        self._last = data[-1:] or self._last
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        ahead = position - self._position
        if ahead == -1 and self._last and not self._pushed_back:
            self._pushed_back, self._position = self._last, position
        elif ahead < 0:
            raise OSError("a layer is read forward")
        while ahead > 0 and (data := self.read(min(ahead, BUFFER))):
            ahead -= len(data)
        return self._position

    def finish(self) -> str:
        """The diff id of the whole stream; reads what tar left unread."""
        while self.read(BUFFER):
            pass
        return "sha256:" + self._raw.hash.hexdigest()
