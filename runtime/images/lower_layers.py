"""The layers below the one being unpacked, seen from inside the chroot through descriptors opened before it.

Only plain names are walked, and no link is ever followed, so nothing outside a layer can be reached through them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


class LowerLayers:
    def __init__(self, directories: Sequence[str]) -> None:
        self._roots = [os.open(directory, _DIRECTORY) for directory in directories]

    def directory(self, path: str) -> os.stat_result | None:
        """The nearest layer's directory at `path`, unless a nearer layer removed or replaced it."""
        found = self._find(path)
        if found is None:
            return None
        parent, name = found
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        os.close(parent)
        return status if stat.S_ISDIR(status.st_mode) else None

    def copy_file(self, path: str, target: str) -> bool:
        """Copies the regular file at `path`, with owner, mode, times and attributes; False if there is none."""
        found = self._find(path)
        if found is None:
            return False
        parent, name = found
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                return False
            with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent), "rb") as source:
                _copy(source.fileno(), target, status)
        finally:
            os.close(parent)
        return True

    def _find(self, path: str) -> tuple[int, str] | None:
        *directories, name = path.strip("/").split("/")
        for root in self._roots:
            descriptor = os.dup(root)
            for step, directory in enumerate([*directories, name]):
                try:
                    status = os.stat(directory, dir_fd=descriptor, follow_symlinks=False)
                except (FileNotFoundError, NotADirectoryError):
                    break
                if step == len(directories) and not _is_whiteout(status):
                    return descriptor, name
                # Here a nearer layer removed the path, or made a file or a link of what leads to it.
                if not stat.S_ISDIR(status.st_mode):
                    os.close(descriptor)
                    return None
                inner = os.open(directory, _DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            os.close(descriptor)
        return None


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _copy(source: int, target: str, status: os.stat_result) -> None:
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    try:
        while os.sendfile(descriptor, source, None, 1 << 24):
            pass
        os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
        for name in os.listxattr(source):
            with suppress(OSError):
                os.setxattr(descriptor, name, os.getxattr(source, name))
        os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(descriptor)
