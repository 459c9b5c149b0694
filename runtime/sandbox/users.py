"""Who a container runs as: `user[:group]` of an image, by the passwd and group files of its root filesystem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InvalidArgument


@dataclass(frozen=True)
class Identity:
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def identity(rootfs: Path, said: str) -> Identity:
    """Raises InvalidArgument where a name is in neither file."""
    user, _, group = said.partition(":")
    passwd = [line.split(":") for line in _lines(rootfs / "etc/passwd") if line.count(":") >= 6]
    groups = [line.split(":") for line in _lines(rootfs / "etc/group") if line.count(":") >= 3]
    user = user or "0"
    entry = next((row for row in passwd if user in (row[0], row[2])), None)
    if entry is None and not user.isdigit():
        raise InvalidArgument(f"unable to find user {user}: no matching entries in passwd file")
    uid = int(entry[2]) if entry else int(user)
    gid = int(entry[3]) if entry else 0
    if group:
        found = next((row for row in groups if group in (row[0], row[2])), None)
        if found is None and not group.isdigit():
            raise InvalidArgument(f"unable to find group {group}: no matching entries in group file")
        gid = int(found[2]) if found else int(group)
    more = tuple(int(row[2]) for row in groups if entry and entry[0] in row[3].split(",")) if not group else ()
    return Identity(uid, gid, more, entry[5] if entry else "/")


def _lines(path: Path) -> list[str]:
    """The file's lines; nothing where it is absent or leads out of the root filesystem."""
    if path.is_symlink():
        return []
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
