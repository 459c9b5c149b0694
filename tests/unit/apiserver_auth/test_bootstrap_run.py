"""Bootstrap and aggregation through the real registry: a cluster out of nothing, and again out of what is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from apiserver.authn.authenticator import Authenticator
from apiserver.authz.rbac import Rbac
from apiserver.bootstrap.aggregation import Aggregation
from apiserver.bootstrap.run import run
from apiserver.config import ApiServerConfig
from apiserver.local import LocalClient
from apiserver.registry.addresses import ClusterAddresses
from apiserver.registry.api import Api
from apiserver.registry.registry import Registry
from apiserver.registry.subresources import Subresources
from apiserver.request import LOOPBACK, Attributes, User
from apiserver.reviews import Reviews
from machinery import contain
from machinery.api.resources import CLUSTER_ROLES, ENDPOINTS, NAMESPACES, PRIORITY_CLASSES, SERVICES
from machinery.client.clock import SystemClock
from machinery.pki import Pki
from machinery.structs import replace
from tests.watched_store import Stage


@pytest.fixture
def config(tmp_path: Path, pki: Pki) -> ApiServerConfig:
    return ApiServerConfig(tmp_path, pki, advertise_address="192.0.2.5", service_cidrs=("10.96.0.0/16",))


@pytest.fixture
def rbac(stage: Stage) -> Rbac:
    return Rbac(stage.cache)


@pytest.fixture
def client(stage: Stage, pki: Pki, rbac: Rbac) -> LocalClient:
    clock = SystemClock()
    addresses = ClusterAddresses(stage.watched, ["10.96.0.0/16"], (30000, 32767))
    registry = Registry(stage.store, stage.watched, (), addresses, clock)
    reviews = Reviews(Authenticator(pki, stage.cache), rbac, stage.cache)
    subresources = Subresources(registry, reviews, stage.watched, clock)
    return LocalClient(Api(registry, subresources, reviews, stage.watched, rbac), LOOPBACK)


async def test_a_cluster_out_of_nothing(client: LocalClient, config: ApiServerConfig, stage: Stage, rbac: Rbac) -> None:
    before = dict(contain.failures)
    written = await run(client, config)
    assert contain.failures == before
    assert written > 150
    names = {obj["metadata"]["name"] for obj in stage.cache.list(NAMESPACES)}
    assert names == {"default", "kube-system", "kube-public", "kube-node-lease"}
    service = stage.cache.get(SERVICES, "default", "kubernetes")
    assert service is not None
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    assert len(stage.cache.list(PRIORITY_CLASSES)) == 2
    scheduler = User("system:kube-scheduler", ("system:authenticated",))
    assert rbac.authorize(Attributes(scheduler, "list", api_group="", resource="pods")).allowed
    assert not rbac.authorize(Attributes(scheduler, "list", api_group="", resource="secrets")).allowed


async def test_a_second_start_writes_nothing_and_a_moved_one_little(
    client: LocalClient, config: ApiServerConfig, stage: Stage
) -> None:
    await run(client, config)
    revision = stage.cache.revision
    assert await run(client, config) == 0
    assert stage.cache.revision == revision
    assert await run(client, replace(config, advertise_address="192.0.2.9")) == 2
    moved = stage.cache.get(ENDPOINTS, "default", "kubernetes")
    assert moved is not None
    assert moved["subsets"][0]["addresses"] == [{"ip": "192.0.2.9"}]


async def test_sums_follow_their_parts(client: LocalClient, config: ApiServerConfig, stage: Stage) -> None:
    await run(client, config)
    rule = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["widgets"]}
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    summed = asyncio.Event()

    def look(change: object) -> None:
        admin = stage.cache.get(CLUSTER_ROLES, "", "admin")
        if admin is not None and rule in admin["rules"]:
            summed.set()

    end = stage.cache.subscribe(CLUSTER_ROLES, look)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(Aggregation(client, stage.cache).run())
        await client.create(CLUSTER_ROLES, {"metadata": {"name": "widgets", "labels": labels}, "rules": [rule]})
        async with asyncio.timeout(5):
            await summed.wait()
        following.cancel()
    end()
    owners = (await client.get(CLUSTER_ROLES, "admin"))["metadata"]["managedFields"]
    assert ("clusterrole-aggregation-controller", "Apply") in [(each["manager"], each["operation"]) for each in owners]
