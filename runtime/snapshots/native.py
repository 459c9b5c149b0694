"""Snapshots as whole copies, for filesystems that overlayfs can't stand on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from machinery.linux.mount import Mount
from runtime.errors import Internal
from runtime.snapshots.snapshot import Kind, Snapshot, Unpacking, Usage
from runtime.snapshots.table import SnapshotTable, measured


class NativeSnapshotter:
    def __init__(self, root: Path) -> None:
        self._table = SnapshotTable(root)

    def prepare(self, key: str, parent: str = "") -> Snapshot:
        below = self._tree(self._table.stat(parent)) if parent else None

        def fill(directory: Path) -> None:
            tree = directory / "fs"
            tree.mkdir()
            tree.chmod(0o755)
            if below:
                _copy(below, tree)

        return self._table.create(key, parent, fill)

    def mounts(self, key: str, target: Path) -> tuple[Mount, ...]:
        snapshot = self._table.stat(key)
        access = "ro" if snapshot.kind is Kind.COMMITTED else "rw"
        return (Mount("bind", str(self._tree(snapshot)), str(target), ("rbind", access)),)

    def unpacking(self, key: str) -> Unpacking:
        return Unpacking(self._tree(self._table.stat(key)), marks=False)

    def commit(self, name: str, key: str, usage: Usage) -> Snapshot:
        # A copy takes what it holds, whatever its last layer brought.
        return self._table.commit(name, key, measured(self._tree(self._table.stat(key))))

    def stat(self, name: str) -> Snapshot:
        return self._table.stat(name)

    def walk(self) -> Iterator[Snapshot]:
        return iter(self._table.walk())

    def usage(self, name: str) -> Usage:
        snapshot = self._table.stat(name)
        return snapshot.usage if snapshot.kind is Kind.COMMITTED else measured(self._tree(snapshot))

    def remove(self, name: str) -> None:
        self._table.remove(name)

    def _tree(self, snapshot: Snapshot) -> Path:
        return self._table.path(snapshot) / "fs"


def _copy(source: Path, target: Path) -> None:
    # coreutils keeps hard links, holes, attributes and devices, and shares blocks where the filesystem can.
    argv = ["cp", "--archive", "--reflink=auto", "--sparse=auto", "--", f"{source}/.", str(target)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Internal(f"failed to copy snapshot: {done.stderr.strip()}")
