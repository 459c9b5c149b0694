"""A container's log file as clients ask for it: lines of the CRI format, chosen by tail, time and size. Mostly pure."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from pathlib import Path

from machinery.structs import Struct

BLOCK = 1 << 16


class LogOptions(Struct, frozen=True):
    """`tail` is None for all lines; `limit` bytes at most are given, None for no limit."""

    follow: bool = False
    tail: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit: int | None = None


def line_of(raw: bytes, options: LogOptions, *, continues: bool = False) -> bytes:
    """What is given of one line `time stream P|F text`; nothing of a line that is too old or no CRI line.

    `continues` tells that the line before was a part: then this one gets no timestamp of its own.
    """
    parts = raw.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3:
        return b""
    try:
        if options.since is not None and _time(parts[0]) < options.since:
            return b""
    except ValueError:
        return b""
    text = parts[3] if len(parts) == 4 else b""
    stamp = parts[0] + b" " if options.timestamps and not continues else b""
    return stamp + text + (b"" if is_part(raw) else b"\n")


def is_part(raw: bytes) -> bool:
    """Whether the line's text goes on in the next one."""
    tag = raw.split(b" ", 3)[2:3]
    return bool(tag) and tag[0].startswith(b"P")


def _time(stamp: bytes) -> datetime:
    text = stamp.decode(errors="replace")
    head, dot, rest = text.partition(".")
    digits = rest.rstrip("Z").partition("+")[0].partition("-")[0]
    zone = rest[len(digits) :]
    return datetime.fromisoformat(f"{head}{dot}{digits[:6]}{zone}" if dot else text)


def tail_offset(path: Path, lines: int) -> int:
    """Where the last `lines` lines begin, found from the end in blocks."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        if lines <= 0 or end == 0:
            return end
        # The newline that ends the last line begins none.
        position, left = end - 1, lines
        while position > 0:
            begin = max(0, position - BLOCK)
            file.seek(begin)
            block = file.read(position - begin)
            at = len(block)
            while (at := block.rfind(b"\n", 0, at)) >= 0:
                left -= 1
                if left == 0:
                    return begin + at + 1
            position = begin
    return 0


async def read(path: Path, options: LogOptions, is_over: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
    """The log in pieces; with `follow` until the container is gone (`is_over`) and all that it wrote is given."""
    left = options.limit
    async with aclosing(_pieces(path, options, is_over)) as pieces:
        async for piece in pieces:
            if left is None:
                yield piece
                continue
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return


async def _pieces(path: Path, options: LogOptions, is_over: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
    watch = _Growth(path) if options.follow else None
    try:
        log = await asyncio.to_thread(_Log, path, options)
        try:
            while True:
                # Asked before the file is read: what was written until the end is given, too.
                over = watch is None or is_over()
                while given := await asyncio.to_thread(log.more):
                    yield given
                if await asyncio.to_thread(log.reopen):
                    continue
                if over:
                    if rest := log.unfinished():
                        yield rest
                    return
                if watch is not None:
                    await watch.wait()
        finally:
            log.close()
    finally:
        if watch is not None:
            watch.close()


class _Log:
    """The open file, so that a renamed one is read to its end before the new one of its name is begun."""

    def __init__(self, path: Path, options: LogOptions) -> None:
        self._path = path
        self._options = options
        self._offset = tail_offset(path, options.tail) if options.tail is not None else 0
        self._file = path.open("rb", buffering=0)
        self._rest = b""
        self._continues = False

    def more(self) -> bytes:
        """What the next lines give; nothing at the end of the file. Blocks."""
        if os.fstat(self._file.fileno()).st_size < self._offset:
            # Truncated in place: what is there now is new.
            self._offset, self._rest, self._continues = 0, b"", False
        self._file.seek(self._offset)
        while chunk := self._file.read(BLOCK):
            self._offset += len(chunk)
            whole, _, self._rest = (self._rest + chunk).rpartition(b"\n")
            if given := b"".join(self._line(raw) for raw in whole.split(b"\n")):
                return given
        return b""

    def _line(self, raw: bytes) -> bytes:
        given = line_of(raw, self._options, continues=self._continues)
        self._continues = is_part(raw)
        return given

    def unfinished(self) -> bytes:
        """The last line where its writer died before the newline."""
        return self._line(self._rest) if self._rest else b""

    def reopen(self) -> bool:
        """Whether another file has the path now; it is read from its beginning then."""
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        if os.path.samestat(named, os.fstat(self._file.fileno())):
            return False
        try:
            file = self._path.open("rb", buffering=0)
        except FileNotFoundError:
            return False
        self._file.close()
        self._file, self._offset, self._rest = file, 0, b""
        return True

    def close(self) -> None:
        self._file.close()


class _Growth:
    """Waits until the folder of a log changes, by inotify; at most for a second, as an end may leave no trace."""

    def __init__(self, path: Path) -> None:
        from inotify_simple import INotify, flags

        self._inotify = INotify()
        self._inotify.add_watch(path.parent, flags.MODIFY | flags.CREATE | flags.MOVED_TO | flags.DELETE)
        self._event = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._read)

    def _read(self) -> None:
        self._inotify.read(timeout=0)
        self._event.set()

    async def wait(self) -> None:
        try:
            async with asyncio.timeout(1.0):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._inotify.fileno())
        self._inotify.close()
