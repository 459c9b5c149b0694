"""A directory whose files change all at once: readers see the old set or the new one, never a mixture.

Files stand in a dated directory, `..data` points to it, and each visible name points through `..data`. That layout is
what programs which watch a ConfigMap volume rely on.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from machinery.structs import Struct

_DATA = "..data"


class File(Struct, frozen=True):
    content: bytes
    mode: int = 0o644
    uid: int = -1


def write_atomically(directory: Path, files: Mapping[str, File], gid: int | None = None) -> bool:
    """Makes `directory` hold `files` (relative path -> File) and no others; False where it did already."""
    directory.mkdir(parents=True, exist_ok=True)
    current = directory / _DATA
    is_new = not (current.is_symlink() and _holds(current, files))
    if is_new:
        _point(directory, _written(directory, files, gid))
    # Also where nothing is new: whoever wrote it may have ended before this.
    _show(directory, {name.split("/", 1)[0] for name in files})
    return is_new


def _written(directory: Path, files: Mapping[str, File], gid: int | None) -> Path:
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=directory))
    fresh.chmod(0o755)
    for name, file in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode | (0o440 if gid is not None else 0))
        if gid is not None or file.uid >= 0:
            os.chown(path, file.uid, gid if gid is not None else -1)
    return fresh


def _show(directory: Path, names: set[str]) -> None:
    """Makes the visible names those, and takes away what `..data` does not point to."""
    for name in names:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")
    kept = {*names, _DATA, os.readlink(directory / _DATA)}
    for entry in directory.iterdir():
        if entry.name not in kept:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _point(directory: Path, fresh: Path) -> None:
    new = directory / "..data_tmp"
    new.unlink(missing_ok=True)
    new.symlink_to(fresh.name)
    new.rename(directory / _DATA)


def _holds(current: Path, files: Mapping[str, File]) -> bool:
    there = {str(path.relative_to(current)) for path in current.rglob("*") if path.is_file()}
    return there == set(files) and all((current / name).read_bytes() == f.content for name, f in files.items())
