"""ReplicaSets and ReplicationControllers whose controller dies between any two actions: the count comes right."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.plan import Controller, Key
from controllers.replicaset import REPLICA_SET, REPLICATION_CONTROLLER
from machinery.api.resource import Object, Resource
from machinery.api.resources import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from machinery.api.views import Pod
from tests.mortal_controller import House, Mortal


def replica_set(resource: Resource, replicas: int) -> Object:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    labels = {"app": "x"}
    selector = labels if resource == REPLICATION_CONTROLLERS else {"matchLabels": labels}
    spec = {"replicas": replicas, "selector": selector, "template": template}
    return {"metadata": {"name": "r"}, "spec": spec}


@pytest.mark.parametrize(
    ("resource", "mortal"), [(REPLICA_SETS, REPLICA_SET), (REPLICATION_CONTROLLERS, REPLICATION_CONTROLLER)]
)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_death_is_repaired(house: House, resource: Resource, mortal: Controller, data: st.DataObject) -> None:
    house.run(_any_death_is_repaired(house, resource, mortal, data))


async def _any_death_is_repaired(house: House, resource: Resource, mortal: Controller, data: st.DataObject) -> None:
    client, namespace = house.client, await house.namespace()
    await client.create(resource, replica_set(resource, data.draw(st.integers(0, 5))), namespace)
    controller, key = Mortal(house.server, mortal), Key(namespace, "r")
    befall = partial(_befall, house, resource, namespace, data)
    for _ in range(data.draw(st.integers(1, 8))):
        if data.draw(st.booleans()):
            await controller.look(key, data.draw(st.integers(0, 6)))
        else:
            await controller.look(key, meanwhile=(data.draw(st.integers(0, 3)), befall))
        await befall()
    await controller.at_rest(key)
    found = await client.get(resource, "r", namespace)
    pods = list(map(Pod, house.server.cache.list(PODS, namespace)))
    active = [pod for pod in pods if pod.is_active and pod.controller]
    assert all(pod.labels["app"] == "x" for pod in active)
    assert len(active) == found["spec"]["replicas"] == found["status"]["replicas"]
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]


async def _befall(house: House, resource: Resource, namespace: str, data: st.DataObject) -> None:
    """One move of the user or of the node."""
    client, pods = house.client, house.server.cache.list(PODS, namespace)
    move = data.draw(st.sampled_from(["scale", "delete", "fail", "relabel", "nothing"]))
    if move == "scale":
        await client.patch(resource, "r", {"spec": {"replicas": data.draw(st.integers(0, 5))}}, namespace)
    elif pods and move != "nothing":
        pod = data.draw(st.sampled_from([pod["metadata"]["name"] for pod in pods]))
        if move == "delete":
            await client.delete(PODS, pod, namespace)
        elif move == "relabel":
            label = data.draw(st.sampled_from(["x", "another"]))
            await client.patch(PODS, pod, {"metadata": {"labels": {"app": label}}}, namespace)
        else:
            await client.patch(PODS, pod, {"status": {"phase": "Failed"}}, namespace, subresource="status")
