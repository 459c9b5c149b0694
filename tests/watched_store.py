"""A real watch cache over the in-memory store, filled by hand: what these rooms read from."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

from apiserver.cache_view import CacheView
from apiserver.storage.sqlite import SqliteStore
from apiserver.watchcache import WatchCache
from machinery.api.resource import Object, Resource


class Stage:
    """`cache` follows what `put` and `delete` write."""

    def __init__(self, store: SqliteStore, watched: WatchCache) -> None:
        self.store = store
        self.watched = watched
        self.cache = CacheView(watched)

    async def put(self, resource: Resource, obj: Object) -> Object:
        key = self._key(resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        there = await self.store.range(key)
        expected = there.items[0].mod_revision if there.items else 0
        stored = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
        result = await self.store.put(key, json.dumps(stored).encode(), expected=expected)
        await self.watched.wait_for(result.revision)
        return stored

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        key = self._key(resource, namespace, name)
        there = await self.store.range(key)
        result = await self.store.delete(key, expected=there.items[0].mod_revision)
        await self.watched.wait_for(result.revision)

    def _key(self, resource: Resource, namespace: str, name: str) -> str:
        scope = f"{namespace}/" if resource.namespaced else ""
        return f"/registry/{resource.storage_prefix}/{scope}{name}"


class SetClock:
    """The time that a test says it is."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC).replace(microsecond=0)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def awake_since(self) -> datetime:
        return self.time

    def wake_on_jump(self, event: asyncio.Event) -> None:
        """Nobody waits for it."""
