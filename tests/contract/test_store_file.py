"""The embedded store's file: who may open it, what happens when it is damaged, foreign, newer or the disk is full."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from apiserver.storage.compaction import INTERVAL, MOST_REVISIONS, Compaction
from apiserver.storage.sqlite import SqliteStore
from apiserver.storage.sqlite_file import SCHEMA, open_file
from apiserver.storage.sqlite_log import REVISION_BLOCK
from apiserver.storage.store import StoreUnavailableError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


async def fill(path: Path, count: int) -> int:
    store = await SqliteStore.open(path)
    for number in range(count):
        done = await store.put(f"/registry/pods/{number}", b"x" * 1000, expected=0)
    await store.close()
    return done.revision


async def why_not(path: Path) -> str:
    with pytest.raises(StoreUnavailableError) as refused:
        await SqliteStore.open(path)
    said = str(refused.value)
    assert "\n" not in said
    assert str(path) in said
    return said


async def test_what_was_written_is_there_again_and_revisions_go_on(path: Path) -> None:
    last = await fill(path, 3)
    store = await SqliteStore.open(path)
    assert await store.current_revision() == last
    assert [item.key[-1] for item in (await store.range("/registry/pods/")).items] == ["0", "1", "2"]
    assert (await store.put("/registry/pods/3", b"", expected=0)).revision == last + 1
    await store.close()


async def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.put("/registry/secrets/a", b"", expected=0)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    await store.close()


async def test_a_second_process_is_told_who_has_the_store(path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert child.stdout is not None
    with child:
        child.stdout.readline()
        assert f"is in use by process {child.pid}" in await why_not(path)
        child.communicate(b"\n")
    store = await SqliteStore.open(path)
    await store.close()


HOLD = """
import sys
from pathlib import Path
from apiserver.storage.sqlite_file import open_file
held = open_file(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


async def test_a_newer_schema_is_refused(path: Path) -> None:
    await fill(path, 1)
    with apsw.Connection(str(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    assert f"it has schema {SCHEMA + 1}" in await why_not(path)


async def test_another_programs_database_is_refused(path: Path) -> None:
    with apsw.Connection(str(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    assert "another program" in await why_not(path)


async def test_what_is_no_database_is_refused_and_left_as_it_is(path: Path) -> None:
    path.write_bytes(b"not a database " * 1000)
    assert "is damaged" in await why_not(path)
    assert path.read_bytes() == b"not a database " * 1000


async def test_a_damaged_page_is_found_at_the_start(path: Path) -> None:
    await fill(path, 200)
    with path.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(os.urandom(4096 * 4))
    assert "is damaged" in await why_not(path)
    # Nothing is held afterwards: the user may put back a copy.
    path.unlink()
    await fill(path, 1)


async def test_a_directory_that_cant_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "can't be opened" in await why_not(tmp_path / "file" / "state.db")


async def test_an_unclean_end_skips_the_reserved_block(path: Path) -> None:
    last = await fill(path, 1)
    log, lock = open_file(path)
    log.transact([lambda log: log.put("/registry/leases/a", b"", 0, 0)], durable=False)
    # The process ends here without a close.
    lock.release()
    store = await SqliteStore.open(path)
    assert await store.current_revision() == last + REVISION_BLOCK
    assert (await store.put("/registry/pods/b", b"", expected=0)).revision == last + REVISION_BLOCK + 1
    await store.close()


async def test_a_full_disk_refuses_writes_and_loses_nothing(small_disk: Path) -> None:
    store = await SqliteStore.open(small_disk / "state.db")
    written: list[str] = []

    async def write(writer: int) -> None:
        for number in range(100):
            key = f"/registry/pods/{writer}-{number}"
            await store.put(key, os.urandom(20_000), expected=0)
            written.append(key)

    refused = await asyncio.gather(*(write(writer) for writer in range(4)), return_exceptions=True)
    assert {type(error) for error in refused} == {StoreUnavailableError}
    assert "disk is full" in str(refused[0])
    newest = await store.current_revision()
    assert sorted(item.key for item in (await store.range("/registry/")).items) == sorted(written)
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert (await store.put("/registry/pods/again", b"", expected=0)).revision == newest + 1
    await store.close()
    store = await SqliteStore.open(small_disk / "state.db")
    assert (await store.range("/registry/")).count == len(written) + 1
    await store.close()


async def test_the_file_stays_bounded_while_one_object_changes(path: Path) -> None:
    store = await SqliteStore.open(path)
    revisions = [0] * 50

    async def rewrite(index: int) -> None:
        for _ in range(MOST_REVISIONS // 10):
            key = f"/registry/leases/{index}"
            done = await store.put(key, b"x" * 200, expected=revisions[index], relaxed=True)
            revisions[index] = done.revision

    await asyncio.gather(*(rewrite(index) for index in range(50)))
    await store.close()
    # Of 50,000 revisions at most 20,000 are kept, some 300 bytes each.
    assert path.stat().st_size < 12_000_000


def test_compaction_keeps_five_minutes_and_a_bounded_number() -> None:
    compaction = Compaction(10, most=100)
    assert compaction.due(20, 0, 1000.0) == 0
    assert compaction.due(30, 0, 1000.0 + INTERVAL) == 10
    assert compaction.due(40, 10, 1000.0 + INTERVAL + 1) == 0
    assert compaction.due(209, 10, 1000.0 + INTERVAL + 1) == 0
    assert compaction.due(210, 10, 1000.0 + INTERVAL + 1) == 110
    assert compaction.due(220, 110, 1000.0 + 2 * INTERVAL) == 0
    assert Compaction(10).due(10_000_000, 0, 5.0) == 0
