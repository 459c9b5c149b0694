"""Mounts as values, and the two system calls that carry them out.

Whoever decides on a mount returns a `Mount`; only this module calls mount(2) and umount2(2), by ctypes, so no
`mount` binary is needed and an error keeps its errno. Each raises an audit event first, `mount.mount` and
`mount.unmount`, as Python does for the calls that it makes itself.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from machinery.structs import Struct

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
MS_REMOUNT, MS_NOATIME, MS_BIND, MS_REC = 0x20, 0x400, 0x1000, 0x4000
MS_RELATIME, MS_STRICTATIME = 0x200000, 0x1000000
MNT_DETACH, UMOUNT_NOFOLLOW = 0x2, 0x8
CLONE_FS = 0x200

FLAGS: dict[str, int] = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "remount": MS_REMOUNT,
    "noatime": MS_NOATIME,
    "bind": MS_BIND,
    "rbind": MS_BIND | MS_REC,
    "relatime": MS_RELATIME,
    "strictatime": MS_STRICTATIME,
}
PROPAGATIONS: dict[str, int] = {
    "shared": 1 << 20,
    "rshared": 1 << 20 | MS_REC,
    "private": 1 << 18,
    "rprivate": 1 << 18 | MS_REC,
    "slave": 1 << 19,
    "rslave": 1 << 19 | MS_REC,
    "unbindable": 1 << 17,
    "runbindable": 1 << 17 | MS_REC,
}
# mount(2) copies one page of data at most.
PAGE = 4096

_libc = ctypes.CDLL(None, use_errno=True)


class Mount(Struct, frozen=True):
    """One mount(2) call: `options` as mount(8) spells them; unknown ones go to the filesystem.

    `directory`, where given, is the working directory of the call, so that options may hold paths relative to it.
    """

    type: str
    source: str
    target: str
    options: tuple[str, ...] = ()
    directory: str = ""


def mount(value: Mount) -> None:
    """Carries `value` out; raises OSError with the call's errno, and the target as its file name."""
    if value.directory:
        _mount_in_thread(value)
    else:
        _mount(value)


def _mount_in_thread(value: Mount) -> None:
    # The working directory belongs to the process; a thread that ends here may unshare its own.
    failures: list[OSError] = []

    def run() -> None:
        try:
            if _libc.unshare(CLONE_FS) != 0:
                raise _failure("unshare")
            os.chdir(value.directory)
            _mount(value)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="mount")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _mount(value: Mount) -> None:
    flags, propagation, data = _parse(value.options)
    payload = ",".join(data)
    if len(os.fsencode(payload)) >= PAGE:
        raise OSError(errno.E2BIG, "mount options exceed one page", value.target)
    binds = bool(flags & MS_BIND) and not flags & MS_REMOUNT
    attributes = flags & ~(MS_BIND | MS_REC)
    _call(value.source, value.target, value.type, flags & (MS_BIND | MS_REC) if binds else flags, payload)
    if binds and attributes:
        # Linux ignores the attributes of the call that binds.
        _call("none", value.target, "", MS_REMOUNT | MS_BIND | attributes, "")
    if propagation:
        _call("none", value.target, "", propagation, "")


def unmount(target: str | Path, *, lazily: bool = False) -> None:
    """Takes every mount off `target`; a target that is absent or no mount point is none of an error."""
    flags = UMOUNT_NOFOLLOW | (MNT_DETACH if lazily else 0)
    sys.audit("mount.unmount", str(target))
    while True:
        if _libc.umount2(os.fsencode(str(target)), flags) != 0:
            failure = _failure(str(target))
            if failure.errno in (errno.EINVAL, errno.ENOENT):
                return
            raise failure


def mount_points(under: str | Path = "/") -> list[str]:
    """The mount points at or below `under`, in the order they were mounted."""
    return [point for point in _mount_points() if _is_within(point, str(under))]


def is_mount_point(target: str | Path) -> bool:
    """Whether something is mounted on `target` in this namespace; sees bind mounts too."""
    return str(target) in set(_mount_points())


def _mount_points() -> Iterator[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            yield _unescape(line.split(" ", 5)[4])


def _unescape(path: str) -> str:
    for escaped, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(escaped, character)
    return path


def _is_within(path: str, top: str) -> bool:
    return top == "/" or path == top or path.startswith(top + "/")


def _parse(options: tuple[str, ...]) -> tuple[int, int, list[str]]:
    flags = propagation = 0
    data: list[str] = []
    for option in options:
        if option in FLAGS:
            flags |= FLAGS[option]
        elif option in PROPAGATIONS:
            propagation |= PROPAGATIONS[option]
        elif option not in ("rw", "defaults"):
            data.append(option)
    return flags, propagation, data


def _call(source: str, target: str, kind: str, flags: int, data: str) -> None:
    sys.audit("mount.mount", target)
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        os.fsencode(kind) or None,
        ctypes.c_ulong(flags),
        os.fsencode(data) or None,
    )
    if result != 0:
        raise _failure(target)


def _failure(target: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), target)
