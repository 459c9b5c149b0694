"""A key waits once, is never worked on twice at a time, and backs off."""

from __future__ import annotations

import asyncio

from machinery.client.clock import SystemClock
from machinery.client.work_queue import WorkQueue
from tests.virtual_time import run


def a_queue() -> WorkQueue[str]:
    return WorkQueue(SystemClock(), base_delay=1.0, max_delay=60.0)


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_key_that_is_added_twice_is_worked_on_once() -> None:
    async def body() -> None:
        queue = a_queue()
        for key in ("a", "b", "a"):
            queue.add(key)
        assert [await queue.get(), await queue.get(), len(queue)] == ["a", "b", 0]

    run(body())


def test_what_changes_during_work_is_looked_at_after_it() -> None:
    async def body() -> None:
        queue = a_queue()
        queue.add("a")
        key = await queue.get()
        queue.add("a")
        assert not len(queue)
        queue.done(key)
        assert await queue.get() == "a"

    run(body())


def test_failures_double_the_delay_up_to_a_limit_and_success_forgets_them() -> None:
    async def body() -> list[float]:
        queue, waits = a_queue(), []
        for _ in range(8):
            before = now()
            queue.back_off("a")
            key = await queue.get()
            waits.append(now() - before)
            queue.done(key)
        queue.forget("a")
        before = now()
        queue.back_off("a")
        await queue.get()
        return [*waits, now() - before]

    assert [round(wait) for wait in run(body())] == [1, 2, 4, 8, 16, 32, 60, 60, 1]


def test_the_earlier_of_two_delays_stands_and_wakes_a_waiter() -> None:
    async def body() -> float:
        queue = a_queue()
        queue.add_after("a", 3600)
        async with asyncio.TaskGroup() as group:
            waiter = group.create_task(queue.get())
            await asyncio.sleep(0)
            queue.add_after("a", 5)
            queue.add_after("a", 7)
            assert await waiter == "a"
        return now()

    assert round(run(body())) == 5


def test_a_key_wakes_one_worker_and_another_where_that_one_ends() -> None:
    async def body() -> None:
        queue, worked = a_queue(), list[tuple[int, str]]()

        async def work(number: int) -> None:
            worked.append((number, await queue.get()))

        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(work(number)) for number in range(3)]
            await asyncio.sleep(0)
            queue.add("a")
            workers[0].cancel()
            await asyncio.sleep(1)
            assert worked == [(1, "a")]
            queue.add_after("b", 5)
            workers[2].cancel()
            await asyncio.sleep(0)
            group.create_task(work(3))
        assert worked == [(1, "a"), (3, "b")]
        assert round(now()) == 6

    run(body())


def test_two_workers_never_hold_the_same_key() -> None:
    async def body() -> None:
        queue, held, worked = a_queue(), set(), []

        async def work() -> None:
            while True:
                key = await queue.get()
                assert key not in held
                held.add(key)
                await asyncio.sleep(1)
                held.remove(key)
                worked.append(key)
                queue.done(key)

        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(work()) for _ in range(3)]
            for _ in range(5):
                queue.add("a")
                queue.add("b")
                await asyncio.sleep(0.5)
            await asyncio.sleep(10)
            for worker in workers:
                worker.cancel()
        assert {"a", "b"} == set(worked)

    run(body())
