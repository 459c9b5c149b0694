"""kill -9 in the middle of writes: nothing acknowledged is lost, and no revision is given twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from apiserver.storage.sqlite import SqliteStore
from apiserver.storage.store import Store
from tests.etcd_server import etcd_server, free_ports

ROUNDS = 50
ROOT = Path(__file__).parents[2]


@dataclass
class Acknowledged:
    """What the writers were told, over all rounds."""

    there: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    revisions: list[int] = field(default_factory=list)
    newest: int = 0

    def note(self, what: str, revision: int, key: str) -> None:
        self.newest = max(self.newest, revision)
        if what == "seen":
            return
        self.revisions.append(revision)
        if what == "put":
            self.there[key] = revision
        else:
            self.there.pop(key, None)
            self.gone.add(key)

    async def check(self, store: Store) -> None:
        found = {item.key: item.mod_revision for item in (await store.range("/registry/")).items}
        # Of short-lived keys the delete may have happened and its answer have been lost.
        lost = {key for key in self.there if key not in found and "-short/" not in key}
        assert not lost
        assert not self.gone & found.keys()
        assert {key: found[key] for key in self.there if key in found}.items() <= self.there.items()
        assert len(set(self.revisions)) == len(self.revisions)


def write_until_killed(path: Path, name: str, lines: int) -> list[tuple[str, int, str]]:
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("crashing_writer.py")), str(path), name],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    with child, child.stdout as said:
        told = [said.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        told += said.readlines()
    assert child.returncode == -signal.SIGKILL
    return [(what.decode(), int(revision), key.decode()) for what, revision, key in (line.split(b" ") for line in told)]


async def test_a_killed_process_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path, chance = tmp_path / "state.db", random.Random(4)
    known = Acknowledged()
    for number in range(ROUNDS):
        before = known.newest
        told = await asyncio.to_thread(write_until_killed, path, f"r{number}", chance.randrange(1, 150))
        for what, revision, key in told:
            assert revision > before
            known.note(what, revision, key.strip())
        store = await SqliteStore.open(path)
        await known.check(store)
        marked = await store.put(f"/registry/marks/{number}", b"{}", expected=0)
        assert marked.revision > known.newest
        known.note("put", marked.revision, f"/registry/marks/{number}")
        # The child's end was a crash, this one is clean: both kinds follow each other.
        await store.close()
    assert len(known.revisions) > ROUNDS


class Writers:
    """Eight that write to a store and one that watches, while its server comes and goes."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.known = Acknowledged()
        self.seen: list[int] = []

    async def write(self, name: str, until: int) -> None:
        number = 0
        while len(self.known.revisions) < until:
            key = f"/registry/{name}/{number:06}"
            self.known.note("put", (await self.store.put(key, b"{}", expected=0)).revision, key)
            number += 1

    async def follow(self, start: int, last_key: str) -> None:
        async with self.store.watch("/registry/", start=start) as batches:
            async for batch in batches:
                self.seen += [event.revision for event in batch]
                if batch[-1].key == last_key:
                    return

    async def write_and_kill(self, name: str, pid: int, until: int) -> None:
        """Kills the server when `until` writes are acknowledged and the others are under way."""
        async with asyncio.TaskGroup() as tasks:
            others = [tasks.create_task(self.write(f"{name}-{writer}", 1_000_000)) for writer in range(8)]
            await self.write(name, until)
            os.kill(pid, signal.SIGKILL)
            for other in others:
                other.cancel()


@pytest.mark.etcd
async def test_a_killed_etcd_loses_nothing_acknowledged_and_the_watch_goes_on(tmp_path: Path) -> None:
    from apiserver.storage.etcd import EtcdStore

    (port,) = free_ports(1)
    chance = random.Random(4)
    with etcd_server(tmp_path, client_port=port) as (url, pid):
        store = await EtcdStore.connect([url])
        writers = Writers(store)
        start = await store.current_revision() + 1
        await writers.write_and_kill("first", pid, 100)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(writers.follow(start, "/registry/end"))
        for number in range(5):
            with etcd_server(tmp_path, client_port=port) as (_, pid):
                await writers.known.check(store)
                until = len(writers.known.revisions) + chance.randrange(1, 300)
                await writers.write_and_kill(f"r{number}", pid, until)
        with etcd_server(tmp_path, client_port=port):
            await writers.known.check(store)
            last = await store.put("/registry/end", b"{}", expected=0)
            while last.revision not in writers.seen:
                await store.current_revision()
    await store.close()
    assert writers.seen == sorted(set(writers.seen))
    assert set(writers.known.revisions) <= set(writers.seen)
