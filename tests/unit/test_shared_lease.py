"""Keys of one minute share a lease, those of the next have another."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from apiserver.storage.shared_lease import SharedLease
from apiserver.storage.sqlite import SqliteStore


class SetClock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def awake_since(self) -> datetime:
        return self.now()

    def wake_on_jump(self, event: asyncio.Event) -> None:
        """Nobody waits for it."""


async def test_a_lease_is_shared_for_a_minute() -> None:
    store, clock = await SqliteStore.open(None), SetClock()
    lease = SharedLease(store, clock)
    first = await lease.get()
    clock.seconds += 59
    assert await lease.get() == first
    clock.seconds += 1
    second = await lease.get()
    assert second != first
    done = await store.put("/registry/events/default/a", b"{}", expected=0, lease=second, relaxed=True)
    assert done.succeeded
    await store.close()
