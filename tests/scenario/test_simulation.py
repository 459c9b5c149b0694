"""Simulated nodes beside the real API server, controllers and scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from apiserver.server import ApiServer
from controllers.runner import run as run_controllers
from machinery.api.resource import Object
from machinery.api.resources import DEPLOYMENTS, JOBS, LEASES, NODES, PODS, SERVICE_ACCOUNTS
from machinery.api.views import Node, Pod, View
from machinery.client.client import Client
from machinery.client.clock import SystemClock
from minikube_py.simulation.fleet import Fleet, workload
from minikube_py.simulation.kubelets import run as run_simulation
from scheduler.loop import run as run_scheduler
from tests.contract.apiserver_running import running
from tests.scenario.test_rollout import until


@asynccontextmanager
async def simulated_cluster(directory: Path) -> AsyncIterator[tuple[ApiServer, Client]]:
    """The API server and an administrator's client, as long as the block lasts."""
    async with running(directory) as server, asyncio.TaskGroup() as group:
        clock, client = SystemClock(), server.client("system:admin", ("system:masters",))
        tasks = [
            group.create_task(run_controllers(server.controller_client, server.cache, clock, root_ca="CERTIFICATE")),
            group.create_task(run_scheduler(server.client("system:kube-scheduler"), server.cache, clock)),
            group.create_task(run_simulation(client, server.cache, clock)),
        ]
        # Without it no pod is let in.
        await until(server, lambda: server.cache.get(SERVICE_ACCOUNTS, "default", "default"))
        yield server, client
        for task in tasks:
            task.cancel()


async def make_nodes(server: ApiServer, client: Client, fleet: Fleet) -> None:
    for index in range(fleet.nodes):
        await client.create(NODES, fleet.node(index))
    await until(server, lambda: all(map(is_in_use, server.cache.list(NODES))))


def is_in_use(node: Object) -> bool:
    return View(node).is_true("Ready") and not any(each["key"].endswith("not-ready") for each in Node(node).taints)


def pods(server: ApiServer) -> list[Pod]:
    return [Pod(pod) for pod in server.cache.list(PODS, "default")]


async def test_a_deployment_runs_on_simulated_nodes_and_goes(tmp_path: Path) -> None:
    async with simulated_cluster(tmp_path) as (server, client):
        await make_nodes(server, client, Fleet(nodes=3, zones=3, pods=4))
        await until(server, lambda: len(server.cache.list(LEASES, "kube-node-lease")) == 3)
        await client.create(DEPLOYMENTS, workload(10), "default")
        await until(server, lambda: len(pods(server)) == 10 and all(pod.is_ready for pod in pods(server)))
        assert len({pod.pod_ips[0]["ip"] for pod in pods(server)}) == 10
        assert {pod.pod_ips[0]["ip"].rpartition(".")[0] for pod in pods(server)} == {f"100.64.{n}" for n in range(3)}
        assert max(len(server.cache.on_node(f"simulated-{index}")) for index in range(3)) == 4
        await client.delete(DEPLOYMENTS, "simulated", "default", propagation_policy="Background")
        await until(server, lambda: not pods(server))
        await client.delete(NODES, "simulated-0")
        await until(server, lambda: len(server.cache.list(LEASES, "kube-node-lease")) == 2)


def pod(name: str, **spec: Any) -> Object:
    container = {"name": "c", "image": "i"}
    metadata: Object = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container], **spec}}


def node(name: str, **annotations: str) -> Object:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "annotations": annotations}}


async def test_a_jobs_pod_completes_and_one_of_nobody_runs_on(tmp_path: Path) -> None:
    async with simulated_cluster(tmp_path) as (server, client):
        await client.create(NODES, node("n", **{"kwok.x-k8s.io/node": "fake"}))
        template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
        made = {"metadata": {"name": "j"}, "spec": {"suspend": True, "template": template}}
        job = await client.create(JOBS, {"apiVersion": "batch/v1", "kind": "Job", **made}, "default")
        owned = pod("of-a-job", restartPolicy="Never")
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": job["metadata"]["uid"]}
        owned["metadata"]["ownerReferences"] = [owner]
        await client.create(PODS, owned)
        await client.create(PODS, pod("alone"))
        await until(server, lambda: {each.name: each.phase for each in pods(server)} == {
            "of-a-job": "Succeeded", "alone": "Running"})  # fmt: skip


async def test_nodes_that_are_not_marked_are_left_alone_until_they_are(tmp_path: Path) -> None:
    async with simulated_cluster(tmp_path) as (server, client):
        await client.create(NODES, node("real"))
        await client.create(PODS, pod("waits", nodeName="real"))
        await client.create(NODES, Fleet(nodes=1).node(0))
        await until(server, lambda: is_in_use(server.cache.get(NODES, "", "simulated-0") or {}))
        assert Pod(server.cache.get(PODS, "default", "waits") or {}).phase == "Pending"
        await client.patch(NODES, "real", {"metadata": {"annotations": {"kwok.x-k8s.io/node": "fake"}}})
        await until(server, lambda: Pod(server.cache.get(PODS, "default", "waits") or {}).is_ready)
