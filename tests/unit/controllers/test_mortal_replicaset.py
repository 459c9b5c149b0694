"""ReplicaSets under a controller that dies between any two actions: the count comes right, whatever the order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.plan import Key
from controllers.replicaset import REPLICA_SET
from machinery.api.resource import Object
from machinery.api.resources import PODS, REPLICA_SETS
from machinery.api.views import Pod
from tests.mortal_controller import House, Mortal, served


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with served() as found:
        yield found


def replica_set(replicas: int) -> Object:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    return {"metadata": {"name": "r"}, "spec": spec}


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_death_is_repaired(house: House, data: st.DataObject) -> None:
    house.run(_any_death_is_repaired(house, data))


async def _any_death_is_repaired(house: House, data: st.DataObject) -> None:
    client, namespace = house.client, await house.namespace()
    await client.create(REPLICA_SETS, replica_set(data.draw(st.integers(0, 5))), namespace)
    controller, key = Mortal(house.server, REPLICA_SET), Key(namespace, "r")
    for _ in range(data.draw(st.integers(1, 8))):
        await controller.look(key, data.draw(st.integers(0, 6)))
        pods = house.server.cache.list(PODS, namespace)
        move = data.draw(st.sampled_from(["scale", "delete", "fail", "nothing"]))
        if move == "scale":
            await client.patch(REPLICA_SETS, "r", {"spec": {"replicas": data.draw(st.integers(0, 5))}}, namespace)
        elif pods and move != "nothing":
            pod = data.draw(st.sampled_from([pod["metadata"]["name"] for pod in pods]))
            if move == "delete":
                await client.delete(PODS, pod, namespace)
            else:
                await client.patch(PODS, pod, {"status": {"phase": "Failed"}}, namespace, subresource="status")
    await controller.at_rest(key)
    found = await client.get(REPLICA_SETS, "r", namespace)
    active = [pod for pod in map(Pod, house.server.cache.list(PODS, namespace)) if pod.is_active]
    assert len(active) == found["spec"]["replicas"] == found["status"]["replicas"]
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
