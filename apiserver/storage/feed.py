"""Hands committed events to those who watch: each has a bounded queue, and whoever overflows reads the log again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from apiserver.storage.store import StoreEvent, StoreUnavailableError

_MOST_PENDING = 20_000


class Subscription:
    """What has been committed and not yet been taken; `is_behind` says that the queue does not hold all of it."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._pending: list[StoreEvent] = []
        self._wake = asyncio.Event()
        self._is_closed = False
        self.is_behind = True

    def reset(self) -> None:
        """From now on the queue holds everything."""
        self._pending = []
        self.is_behind = False

    def push(self, events: Sequence[StoreEvent]) -> None:
        if self.is_behind:
            return
        self._pending += [event for event in events if event.key.startswith(self._prefix)]
        if len(self._pending) > _MOST_PENDING:
            self._pending = []
            self.is_behind = True
        self._wake.set()

    def close(self) -> None:
        self._is_closed = True
        self._wake.set()

    async def take(self) -> list[StoreEvent]:
        """All that waits, at least one event, or nothing when the queue has overflowed."""
        while not self._pending and not self.is_behind:
            if self._is_closed:
                raise StoreUnavailableError("the store is closed")
            self._wake.clear()
            await self._wake.wait()
        taken, self._pending = self._pending, []
        return taken


class Feed:
    """The subscriptions of one store."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def subscribe(self, prefix: str) -> Subscription:
        subscription = Subscription(prefix)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def publish(self, events: Sequence[StoreEvent]) -> None:
        for subscription in self._subscriptions:
            subscription.push(events)

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()
