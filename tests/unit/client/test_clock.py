"""Waits that go on while the machine sleeps: what a jump of the wall clock ends, and what it does not."""

from __future__ import annotations

import asyncio

from machinery.client.clock import SystemClock, sleep_unless
from machinery.client.work_queue import WorkQueue
from tests import virtual_time


def test_a_wait_ends_with_the_sleep_of_the_machine_that_was_longer() -> None:
    async def body() -> None:
        clock = SystemClock()
        clock.catch_up(0.0)
        ended: list[str] = []

        async def wait(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            ended.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(wait("short", 50))
            group.create_task(wait("long", 5000))
            await asyncio.sleep(10)
            before = clock.monotonic()
            assert clock.catch_up(3600.0) == 3600
            assert clock.monotonic() - before == 3600
            await asyncio.sleep(1)
            assert ended == ["short"]
            # 1389 seconds are left, of which one has passed.
            await asyncio.sleep(1385)
            assert ended == ["short"]
            await asyncio.sleep(10)
            assert ended == ["short", "long"]

    virtual_time.run(body())


def test_a_clock_that_is_set_back_prolongs_no_wait() -> None:
    async def body() -> None:
        clock = SystemClock()
        clock.catch_up(0.0)
        async with asyncio.timeout(11), asyncio.TaskGroup() as group:
            group.create_task(clock.sleep(10))
            await asyncio.sleep(1)
            assert clock.catch_up(-7200.0) == -7200
            # From there it is counted again.
            assert clock.catch_up(-7199.0) == 1

    virtual_time.run(body())


def test_a_key_that_was_due_while_the_machine_slept_comes_at_once() -> None:
    async def body() -> None:
        clock = SystemClock()
        clock.catch_up(0.0)
        queue: WorkQueue[str] = WorkQueue(clock)
        queue.add_after("cron", 3600)
        async with asyncio.TaskGroup() as group:
            got = group.create_task(queue.get())
            await asyncio.sleep(10)
            clock.catch_up(4000.0)
            async with asyncio.timeout(1):
                assert await got == "cron"

    virtual_time.run(body())


def test_a_sleep_ends_early_when_it_is_woken() -> None:
    async def body() -> None:
        woken = asyncio.Event()
        clock, loop = SystemClock(), asyncio.get_running_loop()
        loop.call_later(5, woken.set)
        await sleep_unless(woken, clock, 60)
        assert (loop.time(), woken.is_set()) == (5, False)
        await sleep_unless(woken, clock, 60)
        assert loop.time() == 65

    virtual_time.run(body())
