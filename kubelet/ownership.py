"""What a pod's fsGroup does to a volume: all that is in it belongs to the group, and the group may read and write.

The volume may be another pod's too, whose containers change it meanwhile: each entry is held by a descriptor, so that
no link that takes its place leads outside.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_FILE = 0o660
_FOLDER = 0o770 | stat.S_ISGID


def give_to_group(volume: Path, group: int, *, only_if_needed: bool = False) -> None:
    """Walks the whole volume, unless its root shows that this was done and `only_if_needed`. Blocks."""
    if only_if_needed and _is_given(volume.lstat(), group):
        return
    for _, folders, files, handle in os.fwalk(volume):
        for name in (*folders, *files):
            _give(name, handle, group)
    # Last: the root says that the rest is done.
    _give(str(volume), None, group)


def _is_given(found: os.stat_result, group: int) -> bool:
    return found.st_gid == group and found.st_mode & _FOLDER == _FOLDER


def _give(name: str, folder: int | None, group: int) -> None:
    try:
        entry = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return
    try:
        mode = os.fstat(entry).st_mode
        if stat.S_ISLNK(mode):
            os.chown(name, -1, group, dir_fd=folder, follow_symlinks=False)
            return
        held = f"/proc/self/fd/{entry}"
        os.chown(held, -1, group)
        os.chmod(held, stat.S_IMODE(mode) | (_FOLDER if stat.S_ISDIR(mode) else _FILE))
    finally:
        os.close(entry)
