"""Who a container runs as: `user[:group]` of an image, by the passwd and group files of its root filesystem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from machinery.linux.rooted import read_text
from machinery.structs import Struct
from runtime.errors import InvalidArgument


class Identity(Struct, frozen=True):
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


class Wanted(Struct, frozen=True):
    """Who it shall be: `said` is `user[:group]`; `strict` takes no groups from the group file."""

    said: str = ""
    supplemental: tuple[int, ...] = ()
    strict: bool = False


def identity(rootfs: Path, wanted: Wanted) -> Identity:
    """Raises InvalidArgument where a name is in neither file."""
    return resolve(wanted, _rows(rootfs, "etc/passwd", 7), _rows(rootfs, "etc/group", 4))


def resolve(wanted: Wanted, passwd: Sequence[Sequence[str]], groups: Sequence[Sequence[str]]) -> Identity:
    """The decision of `identity`, over the rows of the two files."""
    user, _, group = wanted.said.partition(":")
    user = user or "0"
    entry = next((row for row in passwd if user in (row[0], row[2])), None)
    if entry is None and not user.isdigit():
        raise InvalidArgument(f"unable to find user {user}: no matching entries in passwd file")
    gid = int(entry[3]) if entry else 0
    if group:
        found = next((row for row in groups if group in (row[0], row[2])), None)
        if found is None and not group.isdigit():
            raise InvalidArgument(f"unable to find group {group}: no matching entries in group file")
        gid = int(found[2]) if found else int(group)
    member = () if wanted.strict or entry is None else (int(row[2]) for row in groups if entry[0] in row[3].split(","))
    # The primary group comes first, and none twice, as containerd has it.
    more = dict.fromkeys((gid, *member, *wanted.supplemental))
    return Identity(int(entry[2]) if entry else int(user), gid, tuple(more), entry[5] if entry else "/")


def _rows(rootfs: Path, path: str, columns: int) -> list[list[str]]:
    """The file's sound rows; none where it is absent."""
    try:
        lines = read_text(rootfs, path).splitlines()
    except OSError:
        return []
    rows = [line.split(":") for line in lines]
    return [row for row in rows if len(row) == columns and row[2].isdigit() and (columns == 4 or row[3].isdigit())]
