"""The scheduler beside a real API server in memory: pods get nodes, or are told why not; room is made for some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from apiserver.server import ApiServer
from machinery.api.resource import Object, Resource
from machinery.api.resources import (
    EVENTS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    PRIORITY_CLASSES,
    SERVICE_ACCOUNTS,
    STORAGE_CLASSES,
)
from machinery.client.cache import Change
from machinery.client.client import Client
from machinery.client.clock import SystemClock
from scheduler.configuration import Configuration, read
from scheduler.loop import run
from tests.contract.apiserver_running import running


@asynccontextmanager
async def scheduling(
    directory: Path, *nodes: str, configuration: Configuration | None = None
) -> AsyncIterator[tuple[ApiServer, Client]]:
    """A cluster of nodes with two CPUs each, and a scheduler at work; its pods go to the namespace `n`."""
    async with running(directory) as server:
        client = server.client("admin", ("system:masters",))
        await client.create(NAMESPACES, {"metadata": {"name": "n"}})
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "n"}})
        for name in nodes:
            allocatable = {"cpu": "2", "memory": "4Gi", "pods": "20"}
            status = {"allocatable": allocatable, "capacity": allocatable}
            labels = {"kubernetes.io/hostname": name}
            await client.create(NODES, {"metadata": {"name": name, "labels": labels}, "status": status})
            await client.patch(NODES, name, {"spec": {"taints": None}})
        own = server.client("system:kube-scheduler", ("system:authenticated",))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(run(own, server.cache, SystemClock(), configuration))
            yield server, client
            task.cancel()


def pod(name: str, cpu: str = "100m", **spec: Any) -> Object:
    container = {"name": "c", "image": "nginx", "resources": {"requests": {"cpu": cpu}}}
    metadata = {"name": name, "namespace": "n", "labels": {"app": "p"}}
    return {"metadata": metadata, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec}}


async def until(server: ApiServer, resource: Resource, holds: Callable[[list[Object]], object]) -> list[Object]:
    """The objects, once they are as wanted."""
    seen = asyncio.Event()

    def look(change: Change) -> None:
        seen.set()

    unsubscribe = server.cache.subscribe(resource, look)
    try:
        async with asyncio.timeout(60):
            while not holds(found := list(server.cache.list(resource))):
                seen.clear()
                await seen.wait()
    finally:
        unsubscribe()
    return found


def all_bound(pods: list[Object]) -> bool:
    return bool(pods) and all(each["spec"].get("nodeName") for each in pods)


def node_of(name: str, pods: list[Object]) -> str:
    return next((each["spec"].get("nodeName") or "" for each in pods if each["metadata"]["name"] == name), "")


def told(reason: str) -> Callable[[list[Object]], bool]:
    return lambda events: any(each["reason"] == reason for each in events)


async def test_pods_are_spread_and_no_node_gets_more_than_it_has(tmp_path: Path) -> None:
    async with scheduling(tmp_path, "a", "b", "c") as (server, client):
        for number in range(12):
            await client.create(PODS, pod(f"p{number}", "500m"), "n")
        pods = await until(server, PODS, lambda pods: len(pods) == 12 and all_bound(pods))
        counts = {name: sum(each["spec"]["nodeName"] == name for each in pods) for name in "abc"}
        events = await until(server, EVENTS, lambda events: len(events) >= 12)
    assert counts == {"a": 4, "b": 4, "c": 4}
    assert {each["message"] for each in events if each["reason"] == "Scheduled"} == {
        f"Successfully assigned n/{each['metadata']['name']} to {each['spec']['nodeName']}" for each in pods
    }


async def test_a_pod_that_fits_nowhere_is_told_and_goes_where_room_comes(tmp_path: Path) -> None:
    async with scheduling(tmp_path, "a") as (server, client):
        await client.create(PODS, pod("large", "1500m"), "n")
        await until(server, PODS, all_bound)
        await client.create(PODS, pod("waits", "1"), "n")
        events = await until(server, EVENTS, told("FailedScheduling"))
        message = next(each["message"] for each in events if each["reason"] == "FailedScheduling")
        pods = await until(server, PODS, lambda pods: any(condition_of("waits", pods)))
        await client.delete(PODS, "large", "n", grace_period_seconds=0)
        await until(server, PODS, lambda pods: node_of("waits", pods) == "a")
    assert message == (
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: "
        "0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )
    condition = condition_of("waits", pods)[0]
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "Unschedulable", message)


def condition_of(name: str, pods: list[Object]) -> list[Object]:
    found = next((each for each in pods if each["metadata"]["name"] == name), {})
    conditions = (found.get("status") or {}).get("conditions") or []
    return [each for each in conditions if each["type"] == "PodScheduled"]


async def test_an_important_pod_gets_the_room_of_a_less_important_one(tmp_path: Path) -> None:
    async with scheduling(tmp_path, "a") as (server, client):
        await client.create(PRIORITY_CLASSES, {"metadata": {"name": "high"}, "value": 1000})
        for name in ("first", "second"):
            await client.create(PODS, pod(name, "900m"), "n")
        await until(server, PODS, all_bound)
        await client.create(PODS, pod("vip", "1", priorityClassName="high"), "n")
        pods = await until(server, PODS, lambda pods: node_of("vip", pods) == "a")
        events = await until(server, EVENTS, told("Preempted"))
    preempted = [each for each in events if each["reason"] == "Preempted"]
    vip = next(each for each in pods if each["metadata"]["name"] == "vip")
    assert [each["message"] for each in preempted] == [f"Preempted by pod {vip['metadata']['uid']} on node a"]
    assert sorted(each["metadata"]["name"] for each in pods) in (["first", "vip"], ["second", "vip"])


async def test_a_pod_with_gates_waits_until_they_are_gone(tmp_path: Path) -> None:
    async with scheduling(tmp_path, "a") as (server, client):
        await client.create(PODS, pod("gated", schedulingGates=[{"name": "example.com/wait"}]), "n")
        await client.create(PODS, pod("free"), "n")
        pods = await until(server, PODS, lambda pods: node_of("free", pods))
        assert not node_of("gated", pods)
        await client.patch(PODS, "gated", {"spec": {"schedulingGates": None}}, "n")
        await until(server, PODS, all_bound)


async def test_a_claim_that_waits_for_its_pod_is_told_the_node_first(tmp_path: Path) -> None:
    async with scheduling(tmp_path, "a") as (server, client):
        storage_class = {"metadata": {"name": "local"}, "provisioner": "example.com/local"}
        await client.create(STORAGE_CLASSES, {**storage_class, "volumeBindingMode": "WaitForFirstConsumer"})
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "resources": {"requests": {"storage": "1Gi"}},
        }
        await client.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "v", "namespace": "n"}, "spec": spec}, "n")
        volume = {"name": "v", "persistentVolumeClaim": {"claimName": "v"}}
        await client.create(PODS, pod("p", volumes=[volume]), "n")
        key = "volume.kubernetes.io/selected-node"
        claims = await until(
            server, PERSISTENT_VOLUME_CLAIMS, lambda found: found[0]["metadata"].get("annotations", {}).get(key)
        )
        assert claims[0]["metadata"]["annotations"][key] == "a"
        assert not node_of("p", list(server.cache.list(PODS)))
        bound = {**claims[0], "status": {"phase": "Bound"}}
        bound = {**bound, "spec": {**bound["spec"], "volumeName": "pv"}}
        stored = await client.update(PERSISTENT_VOLUME_CLAIMS, bound)
        await client.update(PERSISTENT_VOLUME_CLAIMS, {**stored, "status": {"phase": "Bound"}}, subresource="status")
        await until(server, PODS, all_bound)


async def test_two_profiles_decide_by_their_own_plugins(tmp_path: Path) -> None:
    packer = {
        "schedulerName": "packer",
        "pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}}],
    }
    kind = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
    configuration = read({**kind, "profiles": [{}, packer]})
    async with scheduling(tmp_path, "a", "b", "c", configuration=configuration) as (server, client):
        for number in range(3):
            await client.create(PODS, pod(f"spread{number}"), "n")
        pods = await until(server, PODS, lambda pods: len(pods) == 3 and all_bound(pods))
        assert len({each["spec"]["nodeName"] for each in pods}) == 3
        for number in range(3):
            await client.create(PODS, pod(f"packed{number}", schedulerName="packer"), "n")
        await client.create(PODS, pod("nobody", schedulerName="nobody"), "n")
        pods = await until(server, PODS, lambda pods: sum(map(is_bound, pods)) == 6)
        packed = {each["spec"]["nodeName"] for each in pods if each["metadata"]["name"].startswith("packed")}
        events = await until(server, EVENTS, lambda events: len(events) >= 6)
    assert len(packed) == 1
    assert not node_of("nobody", pods)
    assert {each["source"]["component"] for each in events} == {"default-scheduler", "packer"}


def is_bound(each: Object) -> bool:
    return bool(each["spec"].get("nodeName"))
