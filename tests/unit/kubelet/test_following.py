"""A table of the kernel follows what changes: at once from rest, then in passes as far apart as one takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from kubelet.following import follow
from machinery.api.resource import Object, Resource
from machinery.api.resources import SERVICES
from machinery.client.cache import Change


class Followed:
    """A cache that tells of changes, a clock that stands still unless a pass takes time, and the passes' table."""

    def __init__(self, *passes: float | Exception) -> None:
        self.handlers: list[Callable[[Change], None]] = []
        self.waits: list[float] = []
        self.made = 0
        self._now = 0.0
        self._passes = list(passes)

    def subscribe(self, _: Resource, handler: Callable[[Change], None]) -> Callable[[], None]:
        self.handlers.append(handler)
        return lambda: self.handlers.remove(handler)

    def change(self, name: str = "s") -> None:
        obj: Object = {"metadata": {"name": name}}
        for handler in self.handlers:
            handler(Change(SERVICES, None, obj))

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._now, UTC)

    def monotonic(self) -> float:
        return self._now

    def awake_since(self) -> datetime:
        return self.now()

    def wake_on_jump(self, event: asyncio.Event) -> None:
        pass

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        if len(self.waits) == len(self._passes):
            raise EOFError
        # Many changes while it waits.
        self.change()
        self.change()

    async def sync(self) -> None:
        took = self._passes[self.made]
        self.made += 1
        if isinstance(took, Exception):
            raise took
        self._now += took


async def _waits(*passes: float | Exception) -> Sequence[float]:
    followed = Followed(*passes)
    with pytest.raises(EOFError):
        await follow("test", followed, (SERVICES,), followed, followed.sync)  # type: ignore[arg-type]
    assert followed.made == len(passes)
    assert followed.handlers == []
    return followed.waits


async def test_a_pass_follows_as_late_as_the_last_one_took() -> None:
    assert await _waits(0.25, 0.125, 0.0) == [0.25, 0.125, 0.0]


async def test_a_machine_that_slept_in_a_pass_is_not_waited_for_as_long() -> None:
    assert await _waits(7200.0) == [0.5]


async def test_a_pass_that_failed_is_repeated_later() -> None:
    assert await _waits(OSError("no"), 0.25) == [5.0, 0.25]


async def test_what_does_not_concern_makes_no_pass() -> None:
    followed = Followed(0.0, 0.0, 0.0)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(
            follow("test", followed, (SERVICES,), followed, followed.sync, lambda change: False)  # type: ignore[arg-type]
        )
        while not followed.waits:
            await asyncio.sleep(0)
        following.cancel()
    assert followed.made == 1
