"""What objects use of quotas, and that no crowd of requests gets more than there is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiserver.quotas import Quotas
from controllers import resource_quota
from controllers.plan import Key, UpdateStatus
from machinery.api.errors import AlreadyExists, Forbidden, NotFound, StatusError
from machinery.api.quota import ResourceQuota, covers, share, subject, unsaid
from machinery.api.resource import Object, Resource
from machinery.api.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    RESOURCE_QUOTAS,
    SERVICES,
)
from machinery.client.client import Client
from tests.endpoint_world import NOW, World
from tests.mortal_controller import House, served


def quota(hard: Object, name: str = "q", **spec: Any) -> Object:
    metadata = {"name": name, "namespace": "n", "uid": name}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard, **spec}}


def container(name: str = "c", /, *, limits: Object | None = None, **requests: str) -> Object:
    return {"name": name, "image": "i", "resources": {"requests": requests, "limits": limits or {}}}


def pod(*containers: Object, phase: str = "Pending", name: str = "p", **spec: Any) -> Object:
    whole = {"containers": list(containers or [container()]), **spec}
    return {"metadata": {"name": name, "namespace": "n"}, "spec": whole, "status": {"phase": phase}}


def service(kind: str, *ports: Object, **spec: Any) -> Object:
    return {"metadata": {"name": "s", "namespace": "n"}, "spec": {"type": kind, "ports": list(ports), **spec}}


def claim(size: str, storage_class: str = "") -> Object:
    spec = {"resources": {"requests": {"storage": size}}, "storageClassName": storage_class}
    return {"metadata": {"name": "c", "namespace": "n"}, "spec": spec}


ALL_OF_PODS = (
    "pods", "count/pods", "cpu", "requests.cpu", "limits.cpu", "memory", "limits.memory", "requests.example.com/gpu",
)  # fmt: skip
BOTH = container("b", limits={"memory": "2Gi"}, cpu="500m")
SIDECAR = {**container("s", cpu="100m"), "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("names", "row", "obj", "expected"),
    [
        (ALL_OF_PODS, PODS, pod(), {"pods": "1", "count/pods": "1"}),
        (
            ALL_OF_PODS,
            PODS,
            pod(container(cpu="1"), BOTH),
            {
                "pods": "1", "count/pods": "1", "cpu": "1500m", "requests.cpu": "1500m", "limits.memory": "2Gi",
            },
        ),
        (("cpu",), PODS, pod(container(cpu="1"), initContainers=[container("i", cpu="3")]), {"cpu": "3"}),
        (("cpu",), PODS, pod(container(cpu="1"), initContainers=[SIDECAR, container("i", cpu="3")]), {"cpu": "3100m"}),
        (("cpu",), PODS, pod(container(cpu="1"), overhead={"cpu": "1"}), {"cpu": "2"}),
        (("cpu",), PODS, pod(container(cpu="1"), resources={"requests": {"cpu": "5"}}), {"cpu": "5"}),
        (ALL_OF_PODS, PODS, pod(container(cpu="1"), phase="Succeeded"), {"count/pods": "1"}),
        (
            ("requests.example.com/gpu",),
            PODS,
            pod(container(**{"example.com/gpu": "2"})),
            {"requests.example.com/gpu": "2"},
        ),
        (("services", "services.nodeports"), SERVICES, service("ClusterIP", {}, {}), {"services": "1"}),
        (("services.nodeports",), SERVICES, service("NodePort", {}, {}), {"services.nodeports": "2"}),
        (
            ("services.loadbalancers", "services.nodeports"),
            SERVICES,
            service("LoadBalancer", {}, {"nodePort": 1}, allocateLoadBalancerNodePorts=False),
            {"services.loadbalancers": "1", "services.nodeports": "1"},
        ),
        (
            ("requests.storage", "persistentvolumeclaims", "gold.storageclass.storage.k8s.io/requests.storage"),
            PERSISTENT_VOLUME_CLAIMS,
            claim("5Gi", "gold"),
            {
                "requests.storage": "5Gi",
                "persistentvolumeclaims": "1",
                "gold.storageclass.storage.k8s.io/requests.storage": "5Gi",
            },
        ),
        (("configmaps", "count/secrets"), CONFIG_MAPS, {"metadata": {}}, {"configmaps": "1"}),
        (("count/deployments.apps",), DEPLOYMENTS, {"metadata": {}}, {"count/deployments.apps": "1"}),
        (("count/deployments.apps",), CONFIG_MAPS, {"metadata": {}}, {}),
    ],
)  # fmt: skip
def test_what_an_object_uses(names: tuple[str, ...], row: Resource, obj: Object, expected: dict[str, str]) -> None:
    found = share(ResourceQuota(quota(dict.fromkeys(names, "1"))), row, obj)
    assert {name: str(amount) for name, amount in found.items()} == expected


def test_a_name_nobody_knows_is_nobodys() -> None:
    assert subject("count/widgets.example.com") is None
    assert subject("unknown") is None


TERM = {"labelSelector": {}, "topologyKey": "k", "namespaces": ["other"]}


@pytest.mark.parametrize(
    ("scope", "obj", "expected"),
    [
        ("Terminating", pod(activeDeadlineSeconds=5), True),
        ("Terminating", pod(), False),
        ("NotTerminating", pod(), True),
        ("BestEffort", pod(), True),
        ("BestEffort", pod(container(cpu="1")), False),
        ("NotBestEffort", pod(container(limits={"memory": "1"})), True),
        ("PriorityClass", pod(priorityClassName="high"), True),
        ("PriorityClass", pod(), False),
        (
            "CrossNamespacePodAffinity",
            pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [TERM]}}),
            True,
        ),
        ("CrossNamespacePodAffinity", pod(), False),
    ],
)
def test_a_scope_takes_some_pods(scope: str, obj: Object, expected: bool) -> None:
    assert covers(ResourceQuota(quota({"pods": "1"}, scopes=[scope])), PODS, obj) == expected
    assert not covers(ResourceQuota(quota({"services": "1"}, scopes=[scope])), SERVICES, service("ClusterIP"))


@pytest.mark.parametrize(
    ("operator", "values", "name", "expected"),
    [
        ("In", ["high"], "high", True),
        ("In", ["high"], "low", False),
        ("NotIn", ["high"], "low", True),
        ("Exists", None, "low", True),
        ("DoesNotExist", None, "", True),
    ],
)
def test_a_scope_may_select_by_class(operator: str, values: list[str] | None, name: str, expected: bool) -> None:
    term = {"scopeName": "PriorityClass", "operator": operator, **({"values": values} if values else {})}
    found = ResourceQuota(quota({"pods": "1"}, scopeSelector={"matchExpressions": [term]}))
    assert covers(found, PODS, pod(priorityClassName=name)) == expected


@pytest.mark.parametrize(
    ("names", "obj", "expected"),
    [
        (("pods",), pod(), ""),
        (("requests.cpu",), pod(container(cpu="1")), ""),
        (("cpu",), pod(container(cpu="1")), ""),
        (
            ("requests.cpu", "limits.memory"),
            pod(container("b"), container("a", cpu="1")),
            "limits.memory for: a,b; requests.cpu for: b",
        ),
        (("limits.cpu",), pod(resources={"limits": {"cpu": "1"}}), ""),
        (("limits.cpu", "memory"), pod(resources={"limits": {"cpu": "1"}}), "memory for: c"),
    ],
)
def test_containers_must_say_what_is_counted(names: tuple[str, ...], obj: Object, expected: str) -> None:
    assert unsaid(ResourceQuota(quota(dict.fromkeys(names, "1"))), obj) == expected


def refused(quotas: Quotas, obj: Object, old: Object | None = None, row: Resource = PODS) -> str:
    try:
        with quotas.hold(row, obj, old):
            return ""
    except Forbidden as error:
        return error.message


def test_what_is_left_is_told_word_for_word() -> None:
    world = World(
        (RESOURCE_QUOTAS, quota({"pods": "2", "requests.cpu": "1", "requests.memory": "9Gi"})),
        (PODS, pod(container(cpu="500m", memory="1Gi"), name="there")),
    )
    assert refused(Quotas(world), pod(container(cpu="600m", memory="1Gi"), name="x")) == (
        'pods "x" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=500m, '
        "limited: requests.cpu=1"
    )
    assert refused(Quotas(world), pod(name="x")) == (
        'pods "x" is forbidden: failed quota: q: must specify requests.cpu for: c; requests.memory for: c'
    )
    assert not refused(Quotas(world), pod(container(cpu="500m", memory="8Gi"), name="x"))


def test_what_is_on_its_way_counts_until_it_is_there() -> None:
    world = World((RESOURCE_QUOTAS, quota({"pods": "2"})))
    quotas = Quotas(world)
    with ExitStack() as writing:
        writing.enter_context(quotas.hold(PODS, pod(name="a")))
        writing.enter_context(quotas.hold(PODS, pod(name="b")))
        assert "used: pods=2" in refused(quotas, pod(name="c"))
        world.put(PODS, pod(name="a"))
        assert "used: pods=2" in refused(quotas, pod(name="c"))
    assert not refused(quotas, pod(name="c")), "b was never written"
    world.remove(PODS, "n", "a")
    with quotas.hold(PODS, pod(name="b")):
        assert not refused(quotas, pod(name="c"))


def test_only_what_grows_is_checked() -> None:
    small, large = pod(container(cpu="1")), pod(container(cpu="3"))
    world = World((RESOURCE_QUOTAS, quota({"requests.cpu": "2"})), (PODS, large))
    assert not refused(Quotas(world), small, old=large)
    assert "exceeded quota" in refused(Quotas(world), pod(container(cpu="4")), old=large)


def test_a_quota_that_changes_counts_anew() -> None:
    world = World((RESOURCE_QUOTAS, quota({"pods": "1"})), (PODS, pod(name="a")))
    quotas = Quotas(world)
    assert refused(quotas, pod(name="b"))
    world.put(RESOURCE_QUOTAS, quota({"pods": "2"}))
    assert not refused(quotas, pod(name="b"))


def test_the_status_tells_what_is_used() -> None:
    found = quota({"pods": "2", "requests.memory": "2Gi", "count/widgets.example.com": "1"})
    world = World((RESOURCE_QUOTAS, found), (PODS, pod(container(memory="1536Mi"))))
    state = resource_quota.observe(world, Key("n", "q"))
    assert state is not None
    (update,) = resource_quota.plan(state, NOW).actions
    assert isinstance(update, UpdateStatus)
    assert update.obj["status"] == {
        "hard": {"pods": "2", "requests.memory": "2Gi", "count/widgets.example.com": "1"},
        "used": {"pods": "1", "requests.memory": "1536Mi"},
    }
    again = resource_quota.State(ResourceQuota(update.obj), state.objects)
    assert not resource_quota.plan(again, NOW).actions


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with served() as found:
        yield found


def small_quota(**hard: str) -> Object:
    return {"metadata": {"name": "q"}, "spec": {"hard": hard}}


async def _made(client: Client, row: Resource, obj: Object, namespace: str) -> bool:
    try:
        await client.create(row, obj, namespace)
    except Forbidden as error:
        assert "exceeded quota: q" in error.message
        return False
    except AlreadyExists:
        return False
    return True


def test_of_a_hundred_at_once_ten_get_in(house: House) -> None:
    async def crowd() -> None:
        client, namespace = house.client, await house.namespace()
        await client.create(RESOURCE_QUOTAS, small_quota(pods="10"), namespace)
        made = {"metadata": {"generateName": "p-"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        got = await asyncio.gather(*(_made(client, PODS, made, namespace) for _ in range(100)))
        assert sum(got) == 10 == len(house.server.cache.list(PODS, namespace))

    house.run(crowd())


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_quota_is_never_exceeded_and_never_too_narrow(house: House, data: st.DataObject) -> None:
    house.run(_never_exceeded(house, data))


async def _never_exceeded(house: House, data: st.DataObject) -> None:
    """Crowds of creates and deletes; the number within the quota is at its top exactly when somebody is refused."""
    client, namespace = house.client, await house.namespace()
    hard = data.draw(st.integers(0, 5))
    # The namespace's own ConfigMap, if it has one, is made by a controller, and there is none here.
    await client.create(RESOURCE_QUOTAS, small_quota(configmaps=str(hard)), namespace)
    for _ in range(data.draw(st.integers(1, 4))):
        names = data.draw(st.lists(st.integers(0, 9), max_size=8, unique=True))
        there = {each["metadata"]["name"] for each in house.server.cache.list(CONFIG_MAPS, namespace)}
        new = [name for name in names if f"m{name}" not in there]
        got = await asyncio.gather(
            *(_made(client, CONFIG_MAPS, {"metadata": {"name": f"m{name}"}}, namespace) for name in new)
        )
        now = len(house.server.cache.list(CONFIG_MAPS, namespace))
        assert now == len(there) + sum(got) == min(len(there) + len(new), hard)
        for name in data.draw(st.lists(st.integers(0, 9), max_size=4, unique=True)):
            try:
                await client.delete(CONFIG_MAPS, f"m{name}", namespace)
            except NotFound:
                continue
            except StatusError as error:
                raise AssertionError(error.message) from error
