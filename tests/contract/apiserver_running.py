"""A running API server for tests: an in-memory store or a given one, any free port, keys made once a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from apiserver.config import ApiServerConfig
from apiserver.server import ApiServer
from apiserver.storage.sqlite import SqliteStore
from apiserver.storage.store import Store
from machinery.client.clock import Clock
from machinery.pki import Pki
from machinery.usage import UsageSource


@asynccontextmanager
async def running(
    directory: Path, store: Store | None = None, *, usage: UsageSource | None = None, clock: Clock | None = None
) -> AsyncIterator[ApiServer]:
    """Serves once the cluster's own objects are there; everything ends with the block, the store too."""
    if store is None:
        store = await SqliteStore.open(None)
    config = ApiServerConfig(data_dir=directory, pki=Pki.load_or_create(directory / "pki"), port=0)
    server = ApiServer(config, store, clock)
    if usage is not None:
        server.serve_metrics(usage)
    await server.start()
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(server.run())
            await server.ready.wait()
            yield server
            task.cancel()
    finally:
        await server.stop()
        await store.close()
