"""Pods by priority and age; those that fit nowhere wait for a change of the cluster and for their back-off."""

from __future__ import annotations

import asyncio

from machinery.client.clock import SystemClock
from scheduler.cluster_events import ClusterEvent, Happened
from scheduler.framework import Hint
from scheduler.pod_info import PodInfo, Shapes
from scheduler.queue import SchedulingQueue
from tests.virtual_time import run

GONE = ClusterEvent(Happened.POD_GONE, None, {})
LABELLED = ClusterEvent(Happened.NODE_LABELS, None, {})
HINTS = {
    "Fit": Hint.on(Happened.POD_GONE, if_=lambda pod, event: True),
    "Affinity": Hint.on(Happened.NODE_LABELS, if_=lambda pod, event: True),
}


def pod(name: str, priority: int = 0) -> PodInfo:
    metadata = {"name": name, "namespace": "n", "uid": name}
    return Shapes().info({"metadata": metadata, "spec": {"priority": priority}})


def now() -> float:
    return asyncio.get_running_loop().time()


def test_the_more_important_then_the_older_pod_goes_first() -> None:
    async def body() -> list[str]:
        queue = SchedulingQueue(SystemClock(), HINTS)
        for each, created in ((pod("young"), "2"), (pod("old"), "1"), (pod("vip", 9), "3")):
            queue.add(each, created)
        return [(await queue.pop()).key.name for _ in range(3)]

    assert run(body()) == ["vip", "old", "young"]


def test_a_pod_that_is_forgotten_is_not_tried() -> None:
    async def body() -> str:
        queue = SchedulingQueue(SystemClock(), HINTS)
        for each in (pod("gone", 9), pod("there")):
            queue.add(each, "")
        queue.forget(pod("gone").key)
        return (await queue.pop()).key.name

    assert run(body()) == "there"


def test_a_change_brings_a_pod_back_once_its_back_off_has_passed() -> None:
    async def body() -> list[float]:
        queue, tried = SchedulingQueue(SystemClock(), HINTS), []
        async with asyncio.TaskGroup() as group:
            running = group.create_task(queue.run())
            queue.add(pod("p"), "")
            for _ in range(6):
                key = (await queue.pop()).key
                tried.append(now())
                queue.failed(key, ["Fit"])
                queue.happened(GONE)
            running.cancel()
        return tried

    tried = run(body())
    assert [round(later - before) for before, later in zip(tried, tried[1:], strict=False)] == [1, 2, 4, 8, 10]


def test_without_a_change_a_pod_is_tried_again_after_five_minutes() -> None:
    async def body() -> float:
        queue = SchedulingQueue(SystemClock(), HINTS)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(queue.run())
            queue.add(pod("p"), "")
            queue.failed((await queue.pop()).key, ["Fit"])
            await queue.pop()
            running.cancel()
        return now()

    assert round(run(body())) == 300


def test_a_change_of_the_pod_itself_brings_it_back_at_once() -> None:
    async def body() -> float:
        queue = SchedulingQueue(SystemClock(), HINTS)
        queue.add(pod("p"), "")
        queue.failed((await queue.pop()).key, ["Fit"])
        queue.add(pod("p"), "")
        await queue.pop()
        return now()

    assert run(body()) == 0


def test_only_what_a_plugin_that_refused_it_waits_for_brings_a_pod_back() -> None:
    async def body() -> list[tuple[str, int]]:
        queue, tried = SchedulingQueue(SystemClock(), HINTS), []
        async with asyncio.TaskGroup() as group:
            running = group.create_task(queue.run())
            for name, plugins in (("fit", ["Fit"]), ("affinity", ["Affinity"]), ("both", ["Fit", "Affinity"])):
                queue.add(pod(name), "")
                queue.failed((await queue.pop()).key, plugins)
            await asyncio.sleep(20)
            for event in (LABELLED, GONE):
                queue.happened(event)
                await asyncio.sleep(20)
            for _ in range(3):
                tried.append(((await queue.pop()).key.name, round(now())))
            running.cancel()
        return tried

    assert [name for name, _ in run(body())] == ["affinity", "both", "fit"]


def test_a_pod_that_went_wrong_is_tried_again_without_any_event() -> None:
    async def body() -> float:
        queue = SchedulingQueue(SystemClock(), HINTS)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(queue.run())
            queue.add(pod("p"), "")
            queue.retry((await queue.pop()).key)
            await queue.pop()
            running.cancel()
        return now()

    assert round(run(body())) == 1


def test_very_many_pods_are_all_asked_about_though_not_at_once() -> None:
    async def body() -> int:
        queue = SchedulingQueue(SystemClock(), HINTS)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(queue.run())
            for number in range(1000):
                queue.add(pod(f"p{number}"), "")
                queue.failed((await queue.pop()).key, ["Fit"])
            queue.happened(GONE)
            names = {(await queue.pop()).key.name for _ in range(1000)}
            running.cancel()
        assert round(now()) == 1
        return len(names)

    assert run(body()) == 1000
