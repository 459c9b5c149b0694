"""How a table of the kernel follows the cluster: many changes at once are one pass, and one that fails is repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from machinery.api.resource import Resource
from machinery.client.cache import Cache, Change
from machinery.client.clock import Clock
from machinery.contain import contain

_RETRIES_AFTER = 5.0
# The machine may have slept in the middle of a pass.
_GATHERS_AT_MOST = 0.5


async def follow(
    name: str,
    cache: Cache,
    resources: Sequence[Resource],
    clock: Clock,
    sync: Callable[[], Awaitable[None]],
    concerns: Callable[[Change], bool] = lambda change: True,
) -> None:
    """Calls `sync` at the start and after each change of these resources that `concerns` it, until cancelled."""
    wake = asyncio.Event()

    def observe(change: Change) -> None:
        if concerns(change):
            wake.set()

    ends = [cache.subscribe(resource, observe) for resource in resources]
    try:
        wake.set()
        while True:
            await wake.wait()
            wake.clear()
            began = clock.monotonic()
            with contain(name) as contained:
                await sync()
            if contained.error is not None:
                wake.set()
            # A change counts at once; what comes after it waits as long as a pass takes, and is one pass then.
            took = min(clock.monotonic() - began, _GATHERS_AT_MOST)
            await clock.sleep(took if contained.error is None else _RETRIES_AFTER)
    finally:
        for end in ends:
            end()
