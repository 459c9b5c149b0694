"""Jobs under a controller that dies between any two actions: every pod that ends is counted once, and none is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.job import job
from controllers.job_indexes import Indexes
from controllers.job_orphans import JOB_ORPHANS
from controllers.job_pods import TRACKING, index_of, is_tracked
from controllers.plan import Key, Patch
from machinery.api.errors import Conflict
from machinery.api.resource import Object
from machinery.api.resources import JOBS, PODS
from machinery.api.views import Job, Pod
from machinery.client.client import PatchType
from tests.mortal_controller import House, Mortal, served
from tests.watched_store import SetClock


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with served() as found:
        yield found


class World:
    """A Job, what befalls its pods, and a ledger of what must be counted in the end."""

    def __init__(self, house: House, namespace: str) -> None:
        self.house, self.namespace = house, namespace
        self.key = Key(namespace, "j")
        self.clock = SetClock()
        self.controller = Mortal(house.server, job(), self.clock)
        self.succeeded: dict[str, int] = {}
        self.failed: dict[str, int] = {}

    @property
    def pods(self) -> list[Pod]:
        return [Pod(found) for found in self.house.server.cache.list(PODS, self.namespace)]

    def restart(self) -> None:
        """A new process remembers nothing."""
        self.controller = Mortal(self.house.server, job(), self.clock)

    async def end(self, pod: Pod, phase: str) -> None:
        """The pod's containers end, as a kubelet tells it."""
        moment = self.clock.now().isoformat()[:19] + "Z"
        code = 0 if phase == "Succeeded" else 1
        state = {"terminated": {"exitCode": code, "startedAt": moment, "finishedAt": moment}}
        told = {"name": "c", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        status = {"phase": phase, "containerStatuses": [told]}
        await self.house.client.patch(PODS, pod.name, {"status": status}, self.namespace, subresource="status")
        if is_tracked(pod):
            self._book(pod, phase)

    def _book(self, pod: Pod, phase: str) -> None:
        (self.succeeded if phase == "Succeeded" else self.failed)[pod.uid] = index_of(pod)

    async def delete(self, pod: Pod) -> None:
        """Somebody deletes it: one that is at work has failed."""
        if is_tracked(pod) and not pod.is_finished:
            self.failed[pod.uid] = index_of(pod)
        await self.house.client.delete(PODS, pod.name, self.namespace, grace_period_seconds=1)

    async def settle(self) -> Job:
        """Nobody dies any more, every pod ends well, and no back-off lasts."""
        await self.controller.at_rest(self.key, self._play_kubelet, self._later)
        return Job(await self.house.client.get(JOBS, "j", self.namespace))

    async def _later(self) -> None:
        await self.clock.sleep(700)
        await self.controller.look(self.key)

    async def _play_kubelet(self) -> None:
        for pod in self.pods:
            if pod.deleted:
                await self.house.client.delete(PODS, pod.name, self.namespace, grace_period_seconds=0)
            elif not pod.is_finished:
                await self.end(pod, "Succeeded")


def a_job(**spec: Any) -> Object:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    return {"metadata": {"name": "j"}, "spec": {"backoffLimit": 100, "template": {"spec": pod}, **spec}}


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_count_is_exact(house: House, data: st.DataObject) -> None:
    house.run(_the_count_is_exact(house, data))


async def _the_count_is_exact(house: House, data: st.DataObject) -> None:
    world = World(house, await house.namespace())
    completions, parallelism = data.draw(st.integers(0, 5)), data.draw(st.integers(1, 4))
    mode = data.draw(st.sampled_from(["NonIndexed", "Indexed"]))
    spec = a_job(completions=completions, parallelism=parallelism, completionMode=mode)
    await house.client.create(JOBS, spec, world.namespace)
    for _ in range(data.draw(st.integers(1, 10))):
        await world.controller.look(world.key, data.draw(st.integers(0, 7)))
        assert sum(pod.is_active for pod in world.pods) <= parallelism
        await _befall(world, data)
    done = await world.settle()
    assert done.finished == "Complete"
    assert done.succeeded == completions
    if mode == "Indexed":
        assert len(Indexes.parse(done.completed_indexes, completions)) == completions
        assert set(world.succeeded.values()) == set(range(completions))
    else:
        assert len(world.succeeded) == completions
    assert done.failed == len(world.failed)
    assert done.status["uncountedTerminatedPods"] == {}
    assert not any(map(is_tracked, world.pods))


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_each_index_ends_once_it_succeeds_or_fails_too_often(house: House, data: st.DataObject) -> None:
    house.run(_each_index_ends(house, data))


async def _each_index_ends(house: House, data: st.DataObject) -> None:
    world = World(house, await house.namespace())
    completions, limit = data.draw(st.integers(1, 4)), data.draw(st.integers(0, 1))
    limits = {"backoffLimitPerIndex": limit, "backoffLimit": 2**31 - 1}
    spec = a_job(completions=completions, parallelism=2, completionMode="Indexed", **limits)
    await house.client.create(JOBS, spec, world.namespace)
    for _ in range(data.draw(st.integers(1, 12))):
        await world.controller.look(world.key, data.draw(st.integers(0, 7)))
        await _befall(world, data)
    done = await world.settle()
    succeeded, lost = (Indexes.parse(text, completions) for text in (done.completed_indexes, done.failed_indexes))
    failures = Counter(world.failed.values())
    assert list((succeeded | lost).missing(completions)) == []
    assert succeeded.common(lost) == 0
    assert all((index in lost) == (failures[index] > limit) for index in range(completions))
    assert done.finished == ("Failed" if lost else "Complete")
    assert (done.failed, done.succeeded) == (len(world.failed), len(set(world.succeeded.values())))
    assert not any(map(is_tracked, world.pods))


async def _befall(world: World, data: st.DataObject) -> None:
    move = data.draw(st.sampled_from(["succeed", "fail", "delete", "restart", "wait", "nothing"]))
    if move == "restart":
        world.restart()
    elif move == "wait":
        await world.clock.sleep(data.draw(st.integers(1, 900)))
    elif move != "nothing":
        running = [pod for pod in world.pods if not pod.is_finished and not pod.deleted]
        if running:
            pod = data.draw(st.sampled_from(sorted(running, key=lambda pod: pod.name)))
            moves = {"succeed": "Succeeded", "fail": "Failed"}
            await (world.delete(pod) if move == "delete" else world.end(pod, moves[move]))


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_job_that_fails_keeps_no_pod(house: House, data: st.DataObject) -> None:
    house.run(_a_job_that_fails_keeps_no_pod(house, data))


async def _a_job_that_fails_keeps_no_pod(house: House, data: st.DataObject) -> None:
    world = World(house, await house.namespace())
    spec = a_job(completions=4, parallelism=3, backoffLimit=0)
    await house.client.create(JOBS, spec, world.namespace)
    await world.controller.look(world.key)
    await world.end(world.pods[0], "Failed")
    for _ in range(data.draw(st.integers(1, 6))):
        await world.controller.look(world.key, data.draw(st.integers(0, 7)))
        if data.draw(st.booleans()):
            world.restart()
    done = await world.settle()
    assert [c["type"] for c in done.conditions] == ["FailureTarget", "Failed"]
    assert (done.failed, done.succeeded) == (3, 0)
    assert not any(map(is_tracked, world.pods))


async def _suspends(house: House, data: st.DataObject) -> None:
    world = World(house, await house.namespace())
    await house.client.create(JOBS, a_job(completions=3, parallelism=2), world.namespace)
    for _ in range(data.draw(st.integers(1, 6))):
        await world.controller.look(world.key, data.draw(st.integers(0, 7)))
        patch = {"spec": {"suspend": data.draw(st.booleans())}}
        await house.client.patch(JOBS, "j", patch, world.namespace, patch_type=PatchType.MERGE)
    await house.client.patch(JOBS, "j", {"spec": {"suspend": False}}, world.namespace)
    done = await world.settle()
    assert (done.finished, done.succeeded, done.failed) == ("Complete", 3, 0)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_suspended_pods_are_no_failures(house: House, data: st.DataObject) -> None:
    house.run(_suspends(house, data))


def test_a_pod_that_is_adopted_meanwhile_stays_tracked(house: House) -> None:
    """Whoever takes finalizers off pods that nobody counts decides on what it has seen."""
    house.run(_adopted_meanwhile(house))


async def _adopted_meanwhile(house: House) -> None:
    namespace = await house.namespace()
    spec: Object = {"containers": [{"name": "c", "image": "i"}]}
    await house.client.create(PODS, {"metadata": {"name": "p", "finalizers": [TRACKING]}, "spec": spec}, namespace)
    key, orphans = Key(namespace, "p"), Mortal(house.server, JOB_ORPHANS)
    seen = JOB_ORPHANS.observe(house.server.cache, key)
    (free,) = JOB_ORPHANS.plan(seen, orphans.clock.now()).actions
    assert isinstance(free, Patch)
    await house.client.patch(PODS, "p", {"metadata": {"labels": {"adopted": "yes"}}}, namespace)
    with pytest.raises(Conflict):
        await house.client.patch(PODS, "p", free.patch, namespace, patch_type=PatchType.STRATEGIC)
    await orphans.look(key)
    assert not is_tracked(Pod(await house.client.get(PODS, "p", namespace)))
