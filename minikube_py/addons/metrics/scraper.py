"""Looks at the kubelets' counters: when somebody asks, and every quarter of a minute while an autoscaler lives on it.

Otherwise nothing is read at all. Whoever asks first after a while waits for two looks a second apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import orjson

from machinery.api.errors import StatusError
from machinery.api.resources import HORIZONTAL_POD_AUTOSCALERS, NODES
from machinery.client.cache import Cache, Change
from machinery.client.clock import Clock
from machinery.contain import contain
from machinery.usage import Counters, Subject, Usages, counters, usages

PERIOD = 15.0
_FRESH = 5.0
_STALE = 60.0
_SHORTEST = 1.0
_AT_ONCE = 32
_PATIENCE = 10.0


class Scraper:
    """`fetch(node)` gives the body of the kubelet's `/stats/summary`; raises StatusError where it can't be had."""

    def __init__(self, cache: Cache, fetch: Callable[[str], Awaitable[bytes]], clock: Clock) -> None:
        self._cache, self._fetch, self._clock = cache, fetch, clock
        self._seen: dict[Subject, Counters] = {}
        self._seen_at = float("-inf")
        self._latest = Usages()
        self._lock = asyncio.Lock()
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._woken = asyncio.Event()

    @property
    def latest(self) -> Usages:
        return self._latest

    async def usages(self) -> Usages:
        async with self._lock:
            age = self._clock.monotonic() - self._seen_at
            if age > _STALE:
                await self._look()
                await self._clock.sleep(_SHORTEST)
            elif age < _FRESH and self._latest.nodes:
                return self._latest
            await self._look()
            return self._latest

    async def run(self) -> None:
        """Keeps `latest` fresh while there is an autoscaler, until cancelled."""
        end = self._cache.subscribe(HORIZONTAL_POD_AUTOSCALERS, self._wake)
        try:
            while True:
                if not self._cache.list(HORIZONTAL_POD_AUTOSCALERS):
                    self._woken.clear()
                    await self._woken.wait()
                with contain("metrics", about="usages"):
                    await self.usages()
                await self._clock.sleep(PERIOD)
        finally:
            end()

    def _wake(self, change: Change) -> None:
        if change.after is not None:
            self._woken.set()

    async def _look(self) -> None:
        names = [node["metadata"]["name"] for node in self._cache.list(NODES)]
        found: dict[Subject, Counters] = {}
        for each in await asyncio.gather(*map(self._node, names)):
            found |= each
        self._latest = usages(self._seen, found)
        self._seen, self._seen_at = found, self._clock.monotonic()

    async def _node(self, name: str) -> dict[Subject, Counters]:
        """Nothing of a node whose kubelet does not answer, as one that is only simulated."""
        try:
            async with self._gate, asyncio.timeout(_PATIENCE):
                return counters(orjson.loads(await self._fetch(name)))
        except (StatusError, TimeoutError):
            return {}
