"""An autoscaler under a controller that dies between any two actions: the size comes right, within its bounds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.hpa import horizontal_pod_autoscaler
from controllers.plan import Key
from machinery.api.resource import Object
from machinery.api.resources import DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS, PODS
from machinery.api.timestamps import rfc3339
from machinery.usage import PodUsage, Usage, Usages
from tests.mortal_controller import House, Mortal, served
from tests.watched_store import SetClock

LABELS = {"a": "b"}
REQUESTED = 100
MOST = 9


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with served() as found:
        yield found


def pod_spec() -> Object:
    return {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": f"{REQUESTED}m"}}}]}


class World:
    """A Deployment that shares a load among its pods, which are there as soon as they are wanted."""

    def __init__(self, house: House, namespace: str, load: int) -> None:
        self.house, self.namespace, self.load = house, namespace, load
        self.clock = SetClock()
        self.controller = self.born()

    def born(self) -> Mortal:
        """A new process, which remembers nothing."""
        return Mortal(self.house.server, horizontal_pod_autoscaler(self.usages), self.clock)

    @property
    def names(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.house.server.cache.list(PODS, self.namespace)]

    def usages(self) -> Usages:
        each = Usage(self.load * 1_000_000 // max(len(self.names), 1), 1 << 20)
        found = {
            (self.namespace, name): PodUsage(self.clock.now(), timedelta(seconds=15), {"c": each})
            for name in self.names
        }
        return Usages({}, found)

    async def size(self) -> int:
        found = await self.house.client.get(DEPLOYMENTS, "d", self.namespace)
        replicas: int = found["spec"]["replicas"]
        return replicas

    async def follow(self) -> None:
        """As many pods as the Deployment wants, all ready for long; then a while passes."""
        wanted, names = await self.size(), self.names
        for name in names[wanted:]:
            await self.house.client.delete(PODS, name, self.namespace, grace_period_seconds=0)
        since = rfc3339(self.clock.now() - timedelta(hours=1))
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": since}
        status = {"phase": "Running", "startTime": since, "conditions": [ready]}
        for number in range(wanted - len(names)):
            name = f"p-{self.clock.now().timestamp():.0f}-{number}"
            pod = {"metadata": {"name": name, "labels": LABELS}, "spec": pod_spec()}
            await self.house.client.create(PODS, pod, self.namespace)
            await self.house.client.patch(PODS, name, {"status": status}, self.namespace, subresource="status")
        await self.clock.sleep(16)

    async def settle(self) -> None:
        """Half an hour without a death."""
        for _ in range(30):
            await self.controller.look(Key(self.namespace, "h"))
            await self.follow()
            await self.clock.sleep(44)


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_the_size_comes_right(house: House, data: st.DataObject) -> None:
    house.run(_the_size_comes_right(house, data))


async def _the_size_comes_right(house: House, data: st.DataObject) -> None:
    world = World(house, await house.namespace(), data.draw(st.integers(0, 1200)))
    create = partial(house.client.create, namespace=world.namespace)
    template = {"metadata": {"labels": LABELS}, "spec": pod_spec()}
    spec = {"replicas": data.draw(st.integers(1, MOST)), "selector": {"matchLabels": LABELS}, "template": template}
    await create(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec})
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
    }
    wanted = {"scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": MOST, "metrics": [metric]}
    await create(HORIZONTAL_POD_AUTOSCALERS, {"metadata": {"name": "h"}, "spec": wanted})
    for _ in range(data.draw(st.integers(1, 6))):
        await world.controller.look(Key(world.namespace, "h"), data.draw(st.integers(0, 4)))
        assert 1 <= await world.size() <= MOST
        if data.draw(st.booleans()):
            world.controller = world.born()
        await world.follow()
    await world.settle()
    size = await world.size()
    assert 2 <= size <= MOST
    utilization = world.load / size / REQUESTED
    # Near enough to the target, or at a bound; integers and the tolerance leave room for one more or less.
    assert utilization <= 0.5 * 1.1 + 0.01 or size == MOST
    assert size == 2 or world.load / (size - 1) / REQUESTED >= 0.5 * 0.9 - 0.01
    status = (await house.client.get(HORIZONTAL_POD_AUTOSCALERS, "h", world.namespace))["status"]
    assert status["currentReplicas"] == status["desiredReplicas"] == size
