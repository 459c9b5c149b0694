"""Waits for files by inotify(7)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def appears(path: Path, ask: Callable[[], None], seconds: float) -> bool:
    """Whether the file is there within the time after `ask`; watched before, so that it can't be missed. Blocks."""
    from inotify_simple import INotify, flags

    with INotify() as watch:
        watch.add_watch(path.parent, flags.CREATE | flags.MOVED_TO)
        ask()
        while not path.exists():
            if not watch.read(timeout=int(seconds * 1000)):
                return path.exists()
        return True
