"""A queue of keys for control loops: a key waits once, is never worked on twice at a time, and backs off by itself."""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from machinery.client.clock import Clock

K = TypeVar("K", bound=Hashable)

_SOON = 0.001
"""Seconds: timers of a loop count milliseconds, and may come a moment early."""


class WorkQueue(Generic[K]):
    """`get` a key, work, then `done`; what is added meanwhile comes again after. Delays are in seconds."""

    def __init__(self, clock: Clock, *, base_delay: float = 0.005, max_delay: float = 60.0) -> None:
        self._clock = clock
        self._base, self._max = base_delay, max_delay
        self._waiting: OrderedDict[K, None] = OrderedDict()
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._delayed: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._order = 0
        self._idle: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._on_jump = _Bell(self._ring)
        clock.wake_on_jump(self._on_jump)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: K) -> None:
        if key in self._working:
            self._again.add(key)
        else:
            self._waiting[key] = None
            self._call_one()

    def add_after(self, key: K, seconds: float) -> None:
        """Adds the key once `seconds` have passed; an earlier time that is already set stands."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        self._order += 1
        heapq.heappush(self._delayed, (due, self._order, key))
        if self._delayed[0][2] == key:
            self._wind()

    def back_off(self, key: K) -> None:
        """Adds the key after a delay that doubles with each failure since the last `forget`."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self.add_after(key, min(self._base * 2.0 ** min(failures - 1, 32), self._max))

    def forget(self, key: K) -> None:
        self._failures.pop(key, None)

    def done(self, key: K) -> None:
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    async def get(self) -> K:
        """The next key that is due; waits for one."""
        while not self._waiting:
            await self._be_called()
        key, _ = self._waiting.popitem(last=False)
        self._working.add(key)
        return key

    async def _be_called(self) -> None:
        call: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle.append(call)
        try:
            await call
        except asyncio.CancelledError:
            if call in self._idle:
                self._idle.remove(call)
            elif self._waiting:
                # It was for whoever is left.
                self._call_one()
            raise

    def _call_one(self) -> None:
        """One key is work for one: to wake all that wait would cost more than most keys do."""
        while self._idle:
            call = self._idle.popleft()
            if not call.done():
                call.set_result(None)
                return

    def _ring(self) -> None:
        """Adds what is due, and sets the timer for what is due next."""
        now = self._clock.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            due, _, key = heapq.heappop(self._delayed)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        self._wind()

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._delayed:
            left = self._delayed[0][0] - self._clock.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(left, _SOON), self._ring)


class _Bell:
    """What a clock sets when it has gone on at once."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self.set = ring
