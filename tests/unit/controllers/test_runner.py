"""The runner's manners: whoever else is on the loop gets a turn between two passes."""

from __future__ import annotations

import asyncio
from typing import Any

from controllers.plan import Controller, Key, Plan, itself
from controllers.runner import Runner
from machinery.api.resources import SERVICES
from machinery.client.clock import SystemClock
from tests.endpoint_world import World, service

MANY = 50


async def test_passes_that_write_nothing_let_others_run() -> None:
    passes: list[Key] = []
    turns: list[int] = []

    def observe(cache: object, key: Key) -> Key:
        passes.append(key)
        return key

    async def others() -> None:
        while len(passes) < MANY:
            turns.append(len(passes))
            await asyncio.sleep(0)

    quiet = Controller("quiet", wakes={SERVICES: itself}, observe=observe, plan=lambda state, now: Plan())
    world = World(*((SERVICES, service(f"s{each}")) for each in range(MANY)))
    client: Any = None  # Nothing is written.
    runner = Runner(quiet, client, world, SystemClock())
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        work = group.create_task(runner.work())
        await group.create_task(others())
        work.cancel()
    assert max(after - before for before, after in zip(turns, turns[1:], strict=False)) <= 1
