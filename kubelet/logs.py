"""A container's log file as clients ask for it: lines of the CRI format, chosen by tail, time and size. Mostly pure."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

BLOCK = 1 << 16


@dataclass(frozen=True)
class LogOptions:
    """`tail` is None for all lines; `limit` bytes at most are given, None for no limit."""

    follow: bool = False
    tail: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit: int | None = None


def line_of(raw: bytes, options: LogOptions) -> bytes:
    """What is given of one line `time stream P|F text`; nothing of a line that is too old or no CRI line."""
    parts = raw.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3:
        return b""
    text = parts[3] if len(parts) == 4 else b""
    if options.since is not None and _time(parts[0]) < options.since:
        return b""
    # P marks a part of a line that goes on in the next entry.
    end = b"" if parts[2].startswith(b"P") else b"\n"
    return (parts[0] + b" " if options.timestamps else b"") + text + end


def _time(stamp: bytes) -> datetime:
    text = stamp.decode(errors="replace")
    head, dot, rest = text.partition(".")
    digits = rest.rstrip("Z").partition("+")[0].partition("-")[0]
    zone = rest[len(digits) :]
    return datetime.fromisoformat(f"{head}{dot}{digits[:6]}{zone}" if dot else text)


def tail_offset(path: Path, lines: int) -> int:
    """Where the last `lines` lines begin, found from the end in blocks."""
    if lines <= 0:
        return path.stat().st_size
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        found = -1
        while position > 0:
            step = min(BLOCK, position)
            position -= step
            file.seek(position)
            block = file.read(step)
            for index in range(len(block) - 1, -1, -1):
                if block[index] == 0x0A:
                    found += 1
                    if found == lines:
                        return position + index + 1
    return 0


async def read(path: Path, options: LogOptions, is_over: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The log in pieces; with `follow` until the container is gone (`is_over`) and all that it wrote is given."""
    left = options.limit
    async for piece in _pieces(path, options, is_over):
        if left is None:
            yield piece
            continue
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


async def _pieces(path: Path, options: LogOptions, is_over: Callable[[], bool]) -> AsyncIterator[bytes]:
    offset = await asyncio.to_thread(tail_offset, path, options.tail) if options.tail is not None else 0
    watch = _Growth(path) if options.follow else None
    try:
        rest = b""
        while True:
            over = is_over()
            while chunk := await asyncio.to_thread(_read_at, path, offset):
                offset += len(chunk)
                head, newline, rest = (rest + chunk).rpartition(b"\n")
                given = b"".join(line_of(raw, options) for raw in head.split(b"\n")) if newline else b""
                if given:
                    yield given
            if watch is None or over:
                return
            await watch.wait()
            if _was_rotated(path, offset):
                offset, rest = 0, b""
    finally:
        if watch is not None:
            watch.close()


def _read_at(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(BLOCK)
    except FileNotFoundError:
        return b""


def _was_rotated(path: Path, offset: int) -> bool:
    try:
        return path.stat().st_size < offset
    except FileNotFoundError:
        return False


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
