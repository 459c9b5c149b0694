"""Reads files of a root filesystem that nobody trusts: its symbolic links never lead out of it (openat2(2))."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_OPENAT2, _RESOLVE_IN_ROOT, _RESOLVE_BENEATH, _RESOLVE_NO_MAGICLINKS = 437, 0x10, 0x08, 0x02
_libc = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_within(root: Path, path: str) -> int:
    """A descriptor to read `path` as a process with that root would find it; raises OSError."""
    # A FIFO in place of the file must not hold us.
    return _open(root, path, os.O_RDONLY | os.O_NONBLOCK, _RESOLVE_IN_ROOT)


def path_within(root: Path, path: str) -> Path:
    """Where `path` is, all links resolved as a process with that root would; raises OSError. For what nobody writes."""
    descriptor = _open(root, path or ".", os.O_PATH, _RESOLVE_IN_ROOT)
    try:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}"))
    finally:
        os.close(descriptor)


def handle_below(root: Path, path: str) -> int:
    """A descriptor (O_PATH) of what is at `path`; raises OSError, EXDEV where a link leads out of the root."""
    return _open(root, path, os.O_PATH, _RESOLVE_BENEATH)


def _open(root: Path, path: str, flags: int, resolve: int) -> int:
    how = _How(flags | os.O_CLOEXEC, 0, resolve | _RESOLVE_NO_MAGICLINKS)
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = _libc.syscall(_OPENAT2, folder, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
        if found < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
        return int(found)
    finally:
        os.close(folder)


def read_text(root: Path, path: str, longest: int = 1 << 20) -> str:
    """The file's text, at most `longest` bytes of it; raises OSError."""
    with os.fdopen(open_within(root, path), "rb") as file:
        return file.read(longest).decode(errors="replace")
