"""Snapshots as overlayfs layers: a snapshot is one directory of differences, its parents are the lower ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from machinery.linux.mount import PAGE, Mount
from runtime.snapshots.snapshot import Kind, Snapshot, Unpacking, Usage
from runtime.snapshots.table import SnapshotTable, measured


class OverlaySnapshotter:
    def __init__(self, root: Path) -> None:
        self._table = SnapshotTable(root)

    def prepare(self, key: str, parent: str = "") -> Snapshot:
        below = self._layer(self._table.stat(parent)) if parent else None

        def fill(directory: Path) -> None:
            (directory / "work").mkdir(mode=0o711)
            layer = directory / "fs"
            layer.mkdir()
            # The uppermost directory is the root that a container sees, and its umask is ours.
            status = below.stat() if below else None
            os.chown(layer, status.st_uid if status else 0, status.st_gid if status else 0)
            layer.chmod(status.st_mode & 0o7777 if status else 0o755)

        return self._table.create(key, parent, fill)

    def mounts(self, key: str, target: Path) -> tuple[Mount, ...]:
        snapshot = self._table.stat(key)
        layers = [self._layer(parent) for parent in self._table.parents(snapshot)]
        own = self._layer(snapshot)
        if snapshot.kind is Kind.COMMITTED:
            layers.insert(0, own)
            if len(layers) == 1:
                return (Mount("bind", str(own), str(target), ("rbind", "ro")),)
            return (self._overlay(layers, (), target),)
        if not layers:
            return (Mount("bind", str(own), str(target), ("rbind", "rw")),)
        upper = (f"upperdir={own}", f"workdir={own.parent / 'work'}")
        return (self._overlay(layers, upper, target),)

    def _overlay(self, layers: list[Path], upper: tuple[str, ...], target: Path) -> Mount:
        options = ("index=off", *upper, "lowerdir=" + ":".join(map(str, layers)))
        if len(os.fsencode(",".join(options))) < PAGE:
            return Mount("overlay", "overlay", str(target), options)
        # Too long for mount(2), so the call is made from the snapshots' directory, with names relative to it.
        relative = tuple(option.replace(f"{self._table.root}/", "") for option in options)
        return Mount("overlay", "overlay", str(target), relative, str(self._table.root))

    def unpacking(self, key: str) -> Unpacking:
        snapshot = self._table.stat(key)
        lower = tuple(self._layer(parent) for parent in self._table.parents(snapshot))
        return Unpacking(self._layer(snapshot), marks=bool(lower), lower=lower)

    def commit(self, name: str, key: str, usage: Usage) -> Snapshot:
        return self._table.commit(name, key, usage)

    def stat(self, name: str) -> Snapshot:
        return self._table.stat(name)

    def walk(self) -> Iterator[Snapshot]:
        return iter(self._table.walk())

    def usage(self, name: str) -> Usage:
        snapshot = self._table.stat(name)
        return snapshot.usage if snapshot.kind is Kind.COMMITTED else measured(self._layer(snapshot))

    def remove(self, name: str) -> None:
        self._table.remove(name)

    def _layer(self, snapshot: Snapshot) -> Path:
        return self._table.path(snapshot) / "fs"
