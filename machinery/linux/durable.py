"""Files replaced in one step, and those that matter then on the disk: written beside, synced, renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replaces the file in one step; returns once it is on the disk."""
    _replace(path, data, mode, synced=True)
    sync_folder(path.parent)


def write_soon(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replaces the file in one step; a power cut may undo that, and on some file systems leave it empty."""
    _replace(path, data, mode, synced=False)


def _replace(path: Path, data: bytes, mode: int, *, synced: bool) -> None:
    temporary = path.with_name(f".{path.name}.new")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:
            file.write(data)
            file.flush()
            if synced:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        # A disk that is full shall not keep what it could not take.
        temporary.unlink(missing_ok=True)
        raise


def remove_folder(folder: Path) -> None:
    """Removes it with all that it holds; an absent one is fine. Raises OSError, and another call goes on from there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
