"""What happens in the middle of rollouts, on the real API server, controllers and scheduler; the node is played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apiserver.server import ApiServer
from machinery.api.resource import Object
from machinery.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from machinery.client.cache import Change
from machinery.client.client import Client
from tests.played_cluster import NEVER, played_cluster

DEADLINE = 60.0


async def until(server: ApiServer, holds: Callable[[], Any]) -> None:
    """Waits for the cache to show what is awaited, revision by revision."""
    async with asyncio.timeout(DEADLINE):
        while not holds():
            await server.cache.wait_for(server.cache.revision + 1)


async def make(client: Client, replicas: int, **spec: Any) -> None:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    wanted = {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": template, **spec}
    metadata = {"name": "d", "namespace": "default"}
    await client.create(
        DEPLOYMENTS, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": wanted}, "default"
    )


async def change(client: Client, **spec: Any) -> None:
    await client.patch(DEPLOYMENTS, "d", {"spec": spec}, "default")


async def roll(client: Client, image: str) -> None:
    await change(client, template={"spec": {"containers": [{"name": "c", "image": image}]}})


def image_of(obj: Object) -> str:
    pod = obj["spec"] if obj["kind"] == "Pod" else obj["spec"]["template"]["spec"]
    return str(pod["containers"][0]["image"])


def sizes(server: ApiServer) -> dict[str, int]:
    return {image_of(each): each["spec"]["replicas"] for each in server.cache.list(REPLICA_SETS, "default")}


def status(server: ApiServer) -> Object:
    found: Object = (server.cache.get(DEPLOYMENTS, "default", "d") or {}).get("status") or {}
    return found


def progress(server: ApiServer) -> str:
    conditions = status(server).get("conditions", [])
    return next((str(each["reason"]) for each in conditions if each["type"] == "Progressing"), "")


def is_complete(server: ApiServer, image: str, replicas: int) -> bool:
    counts = {status(server).get(f"{kind}eplicas") for kind in ("r", "updatedR", "availableR")}
    return counts == {replicas} and {each: size for each, size in sizes(server).items() if size} == {image: replicas}


async def test_recreate_never_runs_two_templates_at_once(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):
        await make(client, 3, strategy={"type": "Recreate"})
        await until(server, lambda: is_complete(server, "i:1", 3))
        together: list[set[str]] = []

        def look(change: Change) -> None:
            together.append({image_of(pod) for pod in server.cache.list(PODS, "default")})

        server.cache.subscribe(PODS, look)
        await roll(client, "i:2")
        await until(server, lambda: is_complete(server, "i:2", 3))
        assert all(len(images) <= 1 for images in together)
        assert {"i:2"} in together


async def test_a_stuck_rollout_is_scaled_in_proportion_and_rolled_over(tmp_path: Path) -> None:
    """The numbers are those of Kubernetes' documentation."""
    async with played_cluster(tmp_path) as (server, client):
        rolling = {"maxSurge": 3, "maxUnavailable": 2}
        await make(client, 10, strategy={"type": "RollingUpdate", "rollingUpdate": rolling})
        await until(server, lambda: is_complete(server, "i:1", 10))
        await roll(client, NEVER)
        await until(server, lambda: sizes(server) == {"i:1": 8, NEVER: 5})
        await change(client, replicas=15)
        await until(server, lambda: sizes(server) == {"i:1": 11, NEVER: 7})
        await roll(client, "i:3")
        await until(server, lambda: is_complete(server, "i:3", 15))
        assert sizes(server) == {"i:1": 0, NEVER: 0, "i:3": 15}


async def test_a_rollout_without_progress_is_overdue_until_it_moves_again(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):
        await make(client, 2, progressDeadlineSeconds=1)
        await until(server, lambda: progress(server) == "NewReplicaSetAvailable")
        await roll(client, NEVER)
        await until(server, lambda: progress(server) == "ProgressDeadlineExceeded")
        await change(client, paused=True)
        await until(server, lambda: status(server).get("observedGeneration") == 3)
        assert progress(server) == "ProgressDeadlineExceeded"
        await change(client, paused=False)
        await roll(client, "i:3")
        await until(server, lambda: progress(server) == "NewReplicaSetAvailable" and is_complete(server, "i:3", 2))


async def test_while_paused_only_the_size_changes(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):
        await make(client, 2)
        await until(server, lambda: is_complete(server, "i:1", 2))
        await change(client, paused=True)
        await roll(client, "i:2")
        await change(client, replicas=4)
        await until(server, lambda: status(server).get("availableReplicas") == 4)
        assert (sizes(server), progress(server)) == ({"i:1": 4}, "DeploymentPaused")
        await change(client, paused=False)
        await until(server, lambda: is_complete(server, "i:2", 4) and progress(server) == "NewReplicaSetAvailable")


async def test_a_set_that_others_scale_is_brought_back(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):
        await make(client, 2)
        await until(server, lambda: is_complete(server, "i:1", 2))
        (found,) = server.cache.list(REPLICA_SETS, "default")
        await client.patch(REPLICA_SETS, found["metadata"]["name"], {"spec": {"replicas": 5}}, "default")
        await until(server, lambda: sizes(server) == {"i:1": 5})
        await until(server, lambda: is_complete(server, "i:1", 2) and status(server).get("replicas") == 2)
