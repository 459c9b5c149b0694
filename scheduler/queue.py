"""Pods that wait for a node: by priority and age, with back-off, and set aside while nothing has changed for them."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field

from machinery.api.views import Pod
from machinery.client.clock import Clock
from machinery.client.work_queue import WorkQueue
from scheduler.keys import PodKey

INITIAL, MOST = 1.0, 10.0
FLUSH = 300.0


@dataclass(order=True)
class _Entry:
    order: tuple[int, str, int]
    key: PodKey = field(compare=False)


class SchedulingQueue:
    """`pop` gives the next key; `failed` sets one aside until `wake` (or five minutes) and its back-off have passed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._active: list[_Entry] = []
        self._queued: dict[PodKey, int] = {}
        self._aside: dict[PodKey, tuple[int, str]] = {}
        self._attempts: dict[PodKey, int] = {}
        self._ready_at: dict[PodKey, float] = {}
        self._backing: WorkQueue[PodKey] = WorkQueue(clock)
        self._orders: dict[PodKey, tuple[int, str]] = {}
        self._count = 0
        self._wake = asyncio.Event()

    def add(self, pod: Pod) -> None:
        """Queues a pod, or sees to it that a changed one is looked at again."""
        key = PodKey.of(pod)
        self._orders[key] = (-pod.priority, pod.created)
        self._aside.pop(key, None)
        self._push(key)

    def forget(self, key: PodKey) -> None:
        for known in (self._queued, self._aside, self._attempts, self._ready_at, self._orders):
            known.pop(key, None)

    def failed(self, key: PodKey) -> None:
        attempts = self._attempts[key] = self._attempts.get(key, 0) + 1
        self._ready_at[key] = self._clock.monotonic() + min(INITIAL * 2.0 ** (attempts - 1), MOST)
        if key in self._orders:
            self._aside[key] = self._orders[key]
            self._backing.add_after(key, FLUSH)

    def wake(self) -> None:
        """The cluster changed: pods that were set aside are tried again once their back-off has passed."""
        now = self._clock.monotonic()
        for key in list(self._aside):
            wait = self._ready_at.get(key, 0.0) - now
            if wait <= 0:
                del self._aside[key]
                self._push(key)
            else:
                self._backing.add_after(key, wait)

    async def run(self) -> None:
        """Brings back pods whose back-off has passed; runs until cancelled."""
        while True:
            key = await self._backing.get()
            self._backing.done(key)
            if self._aside.pop(key, None) is not None:
                self._push(key)

    async def pop(self) -> PodKey:
        while True:
            while self._active:
                entry = heapq.heappop(self._active)
                if self._queued.get(entry.key) == entry.order[2]:
                    del self._queued[entry.key]
                    return entry.key
            self._wake.clear()
            await self._wake.wait()

    def _push(self, key: PodKey) -> None:
        if key not in self._orders:
            return
        self._count += 1
        self._queued[key] = self._count
        priority, created = self._orders[key]
        heapq.heappush(self._active, _Entry((priority, created, self._count), key))
        self._wake.set()
