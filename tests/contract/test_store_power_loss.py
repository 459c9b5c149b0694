"""A power loss: of what was written and not yet synced, a random part reaches the disk, whole, torn or not at all.

kill -9 can't show this, since the kernel keeps what a killed process wrote. SQLite runs on a file system that notes
writes and syncs; at a random one of them the disk is taken as it might be found after the loss.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from apiserver.storage.sqlite_file import open_file, prepared

ROUNDS = 40


class PowerLoss(Exception):
    """Ends the round."""


@dataclass
class Disk(apsw.VFS):
    """Files as they are synced, and the writes since."""

    chance: random.Random
    calls_left: int
    synced: dict[str, bytes] = field(default_factory=dict)
    pending: dict[str, list[tuple[int, bytes | None]]] = field(default_factory=dict)
    after_loss: dict[str, bytes] | None = None

    def __post_init__(self) -> None:
        self.name = f"lossy-{id(self)}"
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> LossyFile:  # noqa: N802 - apsw's name
        return LossyFile(self, name, flags)

    def xDelete(self, name: str, sync_directory: bool) -> None:  # noqa: N802 - apsw's name
        super().xDelete(name, sync_directory)
        self.synced.pop(name, None)
        self.pending.pop(name, None)

    def note(self, path: str, offset: int, data: bytes | None) -> None:
        """A write, or a truncation to `offset`."""
        self.count()
        self.pending.setdefault(path, []).append((offset, data))

    def sync(self, path: str) -> None:
        self.count()
        self.synced[path] = Path(path).read_bytes()
        self.pending[path] = []

    def count(self) -> None:
        self.calls_left -= 1
        if self.calls_left == 0:
            self.after_loss = {path: self.left_of(path) for path in self.synced.keys() | self.pending.keys()}

    def left_of(self, path: str) -> bytes:
        content = bytearray(self.synced.get(path, b""))
        for offset, data in self.pending.get(path, []):
            fate = self.chance.random()
            if fate < 0.5:
                continue
            if data is None:
                del content[offset:]
                continue
            kept = data if fate < 0.9 else data[: self.chance.randrange(len(data) + 1) // 512 * 512]
            content.extend(b"\0" * (offset + len(kept) - len(content)))
            content[offset : offset + len(kept)] = kept
        return bytes(content)


class LossyFile(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - apsw's name
        super().xWrite(data, offset)
        self._disk.note(self._path, offset, bytes(data))

    def xTruncate(self, size: int) -> None:  # noqa: N802 - apsw's name
        super().xTruncate(size)
        self._disk.note(self._path, size, None)

    def xSync(self, flags: int) -> None:  # noqa: N802 - apsw's name
        super().xSync(flags)
        self._disk.sync(self._path)


@dataclass
class Writer:
    """Writes in commits of several keys, one in three relaxed, and knows what it was told."""

    disk: Disk
    chance: random.Random
    durable: dict[str, int] = field(default_factory=dict)
    issued: int = 0

    def run(self, path: Path) -> None:
        db = apsw.Connection(str(path), vfs=self.disk.name)
        # Shared memory is not part of apsw's files, and one process needs none.
        db.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        log = prepared(db)
        db.execute("PRAGMA wal_autocheckpoint = 20").fetchall()
        try:
            number = 0
            while True:
                keys = [f"/registry/pods/{number + index}" for index in range(self.chance.randrange(1, 40))]
                number += len(keys)
                is_durable = self.chance.random() < 0.66
                works = [lambda log, key=key: log.put(key, key.encode() * 30, 0, 0) for key in keys]
                results, _ = log.transact(works, durable=is_durable)
                if self.disk.after_loss is not None:
                    raise PowerLoss
                self.issued = log.revision
                if is_durable:
                    self.durable.update({key: result.revision for key, result in zip(keys, results, strict=True)})
        finally:
            db.close()


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_power_loss_takes_nothing_durable_and_no_revision_is_given_twice(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    (tmp_path / "before").mkdir()
    disk = Disk(chance, calls_left=chance.randrange(60, 900))
    writer = Writer(disk, chance)
    with pytest.raises(PowerLoss):
        writer.run(tmp_path / "before" / "state.db")
    assert disk.after_loss is not None
    after = tmp_path / "after"
    after.mkdir()
    for path, content in disk.after_loss.items():
        (after / Path(path).name).write_bytes(content)
    log, lock = open_file(after / "state.db")
    found = {item.key: item.mod_revision for item in log.range("/registry/", 0, 0, "").items}
    assert writer.durable.items() <= found.items()
    assert log.revision >= writer.issued
    results, _ = log.transact([lambda log: log.put("/registry/marks/a", b"", 0, 0)], durable=True)
    assert results[0].revision > max(writer.issued, *found.values(), 0)
    log.close()
    lock.release()
