"""Ends of containers as they happen: conmon writes a file, inotify tells, nobody polls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path


class ExitWatch:
    """Calls `on_exit(container id)` in the loop's thread for each exit file that appears."""

    def __init__(self, folder: Path, on_exit: Callable[[str], None]) -> None:
        from inotify_simple import INotify, flags

        folder.mkdir(parents=True, exist_ok=True)
        self._on_exit = on_exit
        self._inotify = INotify()
        # conmon writes beside and renames, older ones write in place.
        self._inotify.add_watch(folder, flags.MOVED_TO | flags.CLOSE_WRITE)
        asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._read)

    def _read(self) -> None:
        for event in self._inotify.read(timeout=0):
            if event.name and not event.name.startswith("."):
                self._on_exit(event.name)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._inotify.fileno())
        self._inotify.close()
