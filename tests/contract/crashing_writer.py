"""The child of the crash test: writes to a store until it is killed, and prints what was acknowledged, at once."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from apiserver.storage.sqlite import SqliteStore


def say(what: str, revision: int, key: str) -> None:
    # One write of a short line to a pipe is atomic, and nothing is left in a buffer of a killed process.
    os.write(1, f"{what} {revision} {key}\n".encode())


async def create(store: SqliteStore, prefix: str, *, relaxed: bool) -> None:
    for number in range(1_000_000):
        key = f"/registry/{prefix}/{number:06}"
        done = await store.put(key, key.encode() * 20, expected=0, relaxed=relaxed)
        say("put", done.revision, key)


async def create_and_delete(store: SqliteStore, prefix: str) -> None:
    for number in range(1_000_000):
        key = f"/registry/{prefix}/{number:06}"
        done = await store.put(key, b"{}", expected=0)
        say("put", done.revision, key)
        done = await store.delete(key, expected=done.revision)
        say("delete", done.revision, key)


async def follow(store: SqliteStore) -> None:
    async with store.watch("/registry/", start=await store.current_revision() + 1) as batches:
        async for batch in batches:
            say("seen", batch[-1].revision, "")


async def main(path: str, name: str) -> None:
    store = await SqliteStore.open(Path(path))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(store))
        tasks.create_task(create(store, f"{name}-relaxed", relaxed=True))
        for writer in range(4):
            tasks.create_task(create(store, f"{name}-{writer}", relaxed=False))
            tasks.create_task(create_and_delete(store, f"{name}-{writer}-short"))


asyncio.run(main(*sys.argv[1:]))
