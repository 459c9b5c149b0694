"""Pods by priority and age; those that fit nowhere wait for a change of the cluster and for their back-off."""

from __future__ import annotations

import asyncio

from machinery.api.views import Pod
from machinery.client.clock import SystemClock
from scheduler.keys import PodKey
from scheduler.queue import SchedulingQueue
from tests.virtual_time import run


def pod(name: str, priority: int = 0, created: str = "") -> Pod:
    metadata = {"name": name, "namespace": "n", "uid": name, "creationTimestamp": created}
    return Pod({"metadata": metadata, "spec": {"priority": priority}})


def now() -> float:
    return asyncio.get_running_loop().time()


def test_the_more_important_then_the_older_pod_goes_first() -> None:
    async def body() -> list[str]:
        queue = SchedulingQueue(SystemClock())
        for each in (pod("young", 0, "2"), pod("old", 0, "1"), pod("vip", 9, "3")):
            queue.add(each)
        return [(await queue.pop()).name for _ in range(3)]

    assert run(body()) == ["vip", "old", "young"]


def test_a_pod_that_is_forgotten_is_not_tried() -> None:
    async def body() -> str:
        queue = SchedulingQueue(SystemClock())
        for each in (pod("gone", 9), pod("there")):
            queue.add(each)
        queue.forget(PodKey.of(pod("gone")))
        return (await queue.pop()).name

    assert run(body()) == "there"


def test_a_change_brings_a_pod_back_once_its_back_off_has_passed() -> None:
    async def body() -> list[float]:
        queue, tried = SchedulingQueue(SystemClock()), []
        async with asyncio.TaskGroup() as group:
            running = group.create_task(queue.run())
            queue.add(pod("p"))
            for _ in range(6):
                key = await queue.pop()
                tried.append(now())
                queue.failed(key)
                queue.wake()
            running.cancel()
        return tried

    tried = run(body())
    assert [round(later - before) for before, later in zip(tried, tried[1:], strict=False)] == [1, 2, 4, 8, 10]


def test_without_a_change_a_pod_is_tried_again_after_five_minutes() -> None:
    async def body() -> float:
        queue = SchedulingQueue(SystemClock())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(queue.run())
            queue.add(pod("p"))
            queue.failed(await queue.pop())
            await queue.pop()
            running.cancel()
        return now()

    assert round(run(body())) == 300


def test_a_change_of_the_pod_itself_brings_it_back_at_once() -> None:
    async def body() -> float:
        queue = SchedulingQueue(SystemClock())
        queue.add(pod("p"))
        queue.failed(await queue.pop())
        queue.add(pod("p"))
        await queue.pop()
        return now()

    assert run(body()) == 0
