"""A Deployment's life on the real API server, controllers and scheduler; the node is played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from apiserver.server import ApiServer
from machinery.api.resource import Object
from machinery.api.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
)
from tests.played_cluster import played_cluster

DEADLINE = 30.0


async def until(server: ApiServer, holds: Callable[[], Any]) -> None:
    """Waits for the cache to show what is awaited, revision by revision."""
    async with asyncio.timeout(DEADLINE):
        while not holds():
            await server.cache.wait_for(server.cache.revision + 1)


def deployment(replicas: int = 1, image: str = "nginx:1") -> Object:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    metadata = {"name": "d", "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def available(server: ApiServer, count: int) -> bool:
    found = server.cache.get(DEPLOYMENTS, "default", "d")
    status = (found or {}).get("status", {})
    return bool(
        found
        and status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("availableReplicas", 0) == count
        and status.get("replicas", 0) == count
        and status.get("updatedReplicas", 0) == count
    )


async def test_a_deployment_grows_rolls_over_shrinks_and_goes(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):
        await client.create(DEPLOYMENTS, deployment(), "default")
        await until(server, lambda: available(server, 1))
        for replicas in (3, 1):
            await client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": replicas}}, "default")
            await until(server, partial(available, server, replicas))
        template = deployment(image="nginx:2")["spec"]["template"]
        await client.patch(DEPLOYMENTS, "d", {"spec": {"template": template}}, "default")
        await until(
            server,
            lambda: (
                available(server, 1)
                and all(
                    pod["spec"]["containers"][0]["image"] == "nginx:2" for pod in server.cache.list(PODS, "default")
                )
            ),
        )
        live = server.cache.get(DEPLOYMENTS, "default", "d") or {}
        assert live["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        conditions = {c["type"]: c["reason"] for c in live["status"]["conditions"]}
        assert conditions == {"Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable"}
        await client.delete(DEPLOYMENTS, "d", "default", propagation_policy="Background")
        await until(server, lambda: not server.cache.list(PODS, "default"))
        await until(server, lambda: not server.cache.list(REPLICA_SETS, "default"))
        said = {event["message"].partition(" d-")[0] for event in server.cache.list(EVENTS, "default")}
        assert "Scaled up replica set" in said


async def test_a_namespace_gets_its_root_ca_and_ends_with_all_that_is_in_it(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
        await client.create(NAMESPACES, namespace)
        await until(server, lambda: server.cache.get(CONFIG_MAPS, "n", "kube-root-ca.crt"))
        made = deployment(2)
        made["metadata"]["namespace"] = "n"
        await client.create(DEPLOYMENTS, made, "n")
        await until(server, lambda: len(server.cache.list(PODS, "n")) == 2)
        await client.delete(NAMESPACES, "n")
        await until(server, lambda: server.cache.get(NAMESPACES, "", "n") is None)
        assert not server.cache.list(PODS, "n")


async def test_foreground_deletion_waits_for_the_dependents(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):
        await client.create(DEPLOYMENTS, deployment(2), "default")
        await until(server, lambda: available(server, 2))
        order: list[str] = []
        for resource in (DEPLOYMENTS, REPLICA_SETS, PODS):
            server.cache.subscribe(
                resource, lambda change: order.append(change.resource.plural) if change.after is None else None
            )
        await client.delete(DEPLOYMENTS, "d", "default", propagation_policy="Foreground")
        await until(server, lambda: server.cache.get(DEPLOYMENTS, "default", "d") is None)
        assert order == ["pods", "pods", "replicasets", "deployments"]


async def test_an_undo_counts_revisions_on_and_generations_not(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):
        await client.create(DEPLOYMENTS, deployment(), "default")
        await until(server, lambda: available(server, 1))
        for image in ("nginx:2", "nginx:1"):
            template = deployment(image=image)["spec"]["template"]
            await client.patch(DEPLOYMENTS, "d", {"spec": {"template": template}}, "default")
            await until(server, lambda: available(server, 1))
        live = server.cache.get(DEPLOYMENTS, "default", "d") or {}
        assert live["metadata"]["generation"] == 3
        assert live["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
        histories = [
            each["metadata"]["annotations"].get("deployment.kubernetes.io/revision-history")
            for each in server.cache.list(REPLICA_SETS, "default")
        ]
        assert sorted(filter(None, histories)) == ["1"]


async def test_orphaned_replica_sets_are_adopted_by_the_next_deployment(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):
        await client.create(DEPLOYMENTS, deployment(2), "default")
        await until(server, lambda: available(server, 2))
        pods = {pod["metadata"]["uid"] for pod in server.cache.list(PODS, "default")}
        await client.delete(DEPLOYMENTS, "d", "default", propagation_policy="Orphan")
        await until(server, lambda: server.cache.get(DEPLOYMENTS, "default", "d") is None)
        (orphan,) = server.cache.list(REPLICA_SETS, "default")
        assert not orphan["metadata"].get("ownerReferences")
        made = await client.create(DEPLOYMENTS, deployment(2), "default")
        await until(server, lambda: available(server, 2))
        (adopted,) = server.cache.list(REPLICA_SETS, "default")
        assert adopted["metadata"]["uid"] == orphan["metadata"]["uid"]
        assert [ref["uid"] for ref in adopted["metadata"]["ownerReferences"]] == [made["metadata"]["uid"]]
        assert {pod["metadata"]["uid"] for pod in server.cache.list(PODS, "default")} == pods


async def test_why_pods_cannot_be_made_is_told_up_to_the_deployment(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):
        wanted = deployment()
        wanted["spec"]["template"]["spec"]["serviceAccountName"] = "ghost"
        await client.create(DEPLOYMENTS, wanted, "default")

        def failure() -> Object | None:
            found = server.cache.get(DEPLOYMENTS, "default", "d") or {}
            conditions = found.get("status", {}).get("conditions", [])
            return next((c for c in conditions if c["type"] == "ReplicaFailure"), None)

        await until(server, failure)
        told = failure()
        assert told is not None
        assert (told["status"], told["reason"]) == ("True", "FailedCreate")
        assert 'serviceaccount "ghost" not found' in told["message"]
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ghost", "namespace": "default"}}
        await client.create(SERVICE_ACCOUNTS, account, "default")
        await until(server, lambda: available(server, 1) and failure() is None)
