"""What a snapshotter is: filesystems stacked by layer, named as they grow.

A snapshot is *active* under a key while something writes to it and *committed* under a name when done; a committed
one can be the parent of others. Layers are committed under their chain id. `mounts` gives mount values: whoever wants
the filesystem carries them out. Every call blocks: the callers use threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from machinery.linux.mount import Mount
from machinery.structs import Struct


class Kind(StrEnum):
    ACTIVE = "active"
    COMMITTED = "committed"


@dataclass(frozen=True)
class Usage:
    bytes: int = 0
    inodes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.bytes + other.bytes, self.inodes + other.inodes)


@dataclass(frozen=True)
class Snapshot:
    """One snapshot: `name` is the key of an active one and the name of a committed one."""

    id: str
    name: str
    kind: Kind
    parent: str = ""
    usage: Usage = Usage()


class Unpacking(Struct, frozen=True):
    """Where a layer's tar goes: `directory` takes its entries.

    `marks` says that removals are written as overlay's own whiteouts; otherwise they are carried out. Directories that
    the tar leaves out take their mode and owner from the first of `lower` that has them.
    """

    directory: Path
    marks: bool
    lower: tuple[Path, ...] = ()


class Snapshotter(Protocol):
    def prepare(self, key: str, parent: str = "") -> Snapshot:
        """A new active snapshot on a committed parent (or on nothing); raises AlreadyExists, NotFound."""

    def mounts(self, key: str, target: Path) -> tuple[Mount, ...]:
        """What to mount so that `target` is the snapshot: an active one to write, a committed one to read."""

    def unpacking(self, key: str) -> Unpacking:
        """Where a layer is unpacked to become the active snapshot `key`."""

    def commit(self, name: str, key: str, usage: Usage) -> Snapshot:
        """Turns the active `key` into the committed `name`; raises AlreadyExists, NotFound."""

    def stat(self, name: str) -> Snapshot:
        """Raises NotFound."""

    def walk(self) -> Iterator[Snapshot]:
        """Every snapshot there is."""

    def usage(self, name: str) -> Usage:
        """What the snapshot itself takes, without its parents."""

    def remove(self, name: str) -> None:
        """Raises NotFound, and FailedPrecondition while another snapshot stands on it."""


def chain_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    """The OCI image spec's name of each layer together with those below it."""
    chain: list[str] = []
    for diff_id in diff_ids:
        text = f"{chain[-1]} {diff_id}" if chain else ""
        chain.append("sha256:" + hashlib.sha256(text.encode()).hexdigest() if chain else diff_id)
    return tuple(chain)
