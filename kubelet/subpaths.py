"""Parts of volumes that containers mount: pinned below the pod's folder, so that no container can move them meanwhile.

A container that writes to a volume may replace a folder by a link to the host's /etc between the look and the mount.
So what was looked at is held by a descriptor, and that is mounted where only the node writes.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from kubelet.volumecontent import VolumeFailure
from machinery.linux.mount import Mount, mount, unmount
from machinery.linux.rooted import handle_below


class _NotMade(Exception):
    """A folder of the path is not there and can't be made."""


def sub_path(volume: Path, relative: str, place: Path, about: str) -> Path:
    """Where the part of the volume is to be mounted from; made where it lacks. Raises VolumeFailure. Blocks.

    What is wrong with the host's files is not told: a pod must not learn of them.
    """
    parts = PurePosixPath(relative).parts
    if relative.startswith("/"):
        raise VolumeFailure(f"error SubPath `{relative}` must not be an absolute path")
    if ".." in parts:
        raise VolumeFailure(f"unable to provision SubPath `{relative}`: must not contain '..'")
    try:
        handle = _found_or_made(volume, parts)
    except _NotMade as error:
        raise VolumeFailure(f"failed to create subPath directory for {about}") from error
    except OSError as error:
        raise VolumeFailure(f"failed to prepare subPath for {about}") from error
    try:
        return _pinned(handle, place)
    except PermissionError:
        # A kubelet that may not mount has containers that may not trick it either.
        return Path(os.readlink(f"/proc/self/fd/{handle}"))
    finally:
        os.close(handle)


def _found_or_made(volume: Path, parts: tuple[str, ...]) -> int:
    for depth in range(1, len(parts) + 1):
        try:
            os.close(handle_below(volume, "/".join(parts[:depth])))
        except FileNotFoundError:
            try:
                _make(volume, parts[: depth - 1], parts[depth - 1])
            except OSError as error:
                raise _NotMade from error
    return handle_below(volume, "/".join(parts) or ".")


def _make(volume: Path, above: tuple[str, ...], name: str) -> None:
    """A folder as open as the volume itself, whoever runs in the container."""
    parent = handle_below(volume, "/".join(above) or ".")
    try:
        os.mkdir(name, 0o750, dir_fd=parent)
        made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.fchmod(made, stat.S_IMODE(volume.stat().st_mode))
        finally:
            os.close(made)
    finally:
        os.close(parent)


def _pinned(handle: int, place: Path) -> Path:
    """What the descriptor holds, bound to the place; what was bound there before is a former container's."""
    place.parent.mkdir(parents=True, exist_ok=True)
    unmount(place, lazily=True)
    if stat.S_ISDIR(os.fstat(handle).st_mode):
        if place.is_file():
            place.unlink()
        place.mkdir(exist_ok=True)
    else:
        if place.is_dir():
            place.rmdir()
        place.touch()
    mount(Mount("", f"/proc/self/fd/{handle}", str(place), ("bind",)))
    return place
