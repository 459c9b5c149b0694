"""Time as a value that is passed in, so that a test decides what time it is."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol
from weakref import WeakSet

_STEP = 1.0
"""Seconds; what NTP corrects in one step is less."""


class Settable(Protocol):
    """An `asyncio.Event`, or whoever wants to hear what one would be told."""

    def set(self) -> None: ...


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall clock, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None: ...

    def awake_since(self) -> datetime:
        """The moment of `now` from which on it has been told without a jump."""

    def wake_on_jump(self, event: Settable) -> None:
        """Sets the event whenever `monotonic` has gone on at once, for whoever waits until a moment of it."""


class SystemClock:
    """Waits end in time though the machine slept meanwhile or its clock was set ahead, once `catch_up` is called.

    A loop's timers stand still while a machine sleeps, as CLOCK_MONOTONIC does.
    """

    def __init__(self) -> None:
        self._ahead = 0.0
        self._offset = _offset()
        self._awake_since = datetime.now(UTC)
        self._waiting: WeakSet[Settable] = WeakSet()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self._ahead

    async def sleep(self, seconds: float) -> None:
        due, left = self.monotonic() + seconds, seconds
        while True:
            woken = asyncio.Event()
            self.wake_on_jump(woken)
            try:
                async with asyncio.timeout(left):
                    await woken.wait()
            except TimeoutError:
                return
            left = due - self.monotonic()

    def awake_since(self) -> datetime:
        return self._awake_since

    def wake_on_jump(self, event: Settable) -> None:
        self._waiting.add(event)

    def catch_up(self, offset: float | None = None) -> float:
        """Counts what the wall clock has gone on by more than the loop's, as seconds; less where it was set back.

        `offset` is by how much the one is ahead of the other.
        """
        offset = _offset() if offset is None else offset
        jumped, self._offset = offset - self._offset, offset
        if abs(jumped) > _STEP:
            self._awake_since = self.now()
        if jumped > 0:
            self._ahead += jumped
            for event in list(self._waiting):
                event.set()
        return jumped


def _offset() -> float:
    return time.time() - time.monotonic()


async def sleep_unless(woken: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Sleeps for `seconds` of that clock, or until `woken` is set, which is cleared then."""
    async with asyncio.TaskGroup() as group:
        ways = [group.create_task(clock.sleep(seconds)), group.create_task(woken.wait())]
        done, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        for task in done:
            task.result()
    woken.clear()
