"""The watched store for each test, and the time as the test sets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from apiserver.storage.sqlite import SqliteStore
from apiserver.watchcache import WatchCache
from machinery.pki import Pki
from tests.watched_store import SetClock, Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    store = await SqliteStore.open(None)
    watched = WatchCache(store)
    await watched.start()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(watched.run())
        yield Stage(store, watched)
        following.cancel()
    await store.close()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.load_or_create(tmp_path_factory.mktemp("pki"))
