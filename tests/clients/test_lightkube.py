"""The `lightkube` package of PyPI, blocking and async: what is made, watched, awaited, applied, and said by pods."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lightkube import ApiError, AsyncClient, Client, KubeConfig
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod
from lightkube.types import PatchType

from tests.clients.case import objects
from tests.clients.client_world import DEADLINE, LINES, World, in_thread, world


@pytest.fixture
async def found(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


def config_map(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data=data)


@asynccontextmanager
async def api_client(found: World) -> AsyncIterator[AsyncClient]:
    async with asyncio.timeout(DEADLINE):
        async with AsyncClient(config=KubeConfig.from_file(found.kubeconfig), trust_env=False) as api:
            yield api


async def test_what_is_made_is_listed_patched_in_each_way_and_deleted(found: World) -> None:
    def use() -> None:
        api = Client(config=KubeConfig.from_file(found.kubeconfig), field_manager="first", trust_env=False)
        api.create(config_map("c", a="1"))
        assert "c" in [item.metadata.name for item in api.list(ConfigMap)]
        assert api.patch(ConfigMap, "c", {"data": {"b": "2"}}).data == {"a": "1", "b": "2"}
        assert api.patch(ConfigMap, "c", {"data": {"a": None}}, patch_type=PatchType.MERGE).data == {"b": "2"}
        step = [{"op": "replace", "path": "/data/b", "value": "3"}]
        assert api.patch(ConfigMap, "c", step, patch_type=PatchType.JSON).data == {"b": "3"}
        api.delete(ConfigMap, "c")
        with pytest.raises(ApiError) as missing:
            api.get(ConfigMap, "c")
        assert (missing.value.status.code, missing.value.status.reason) == (404, "NotFound")
        api.create(Deployment.from_dict(objects()["deployment"]))
        scaled = api.patch(Deployment.Scale, "web", {"spec": {"replicas": 3}})
        assert scaled.spec.replicas == 3
        api.close()

    await in_thread(use)


async def test_an_applied_object_belongs_to_its_manager(found: World) -> None:
    def use() -> None:
        api = Client(config=KubeConfig.from_file(found.kubeconfig), trust_env=False)
        api.apply(config_map("c", a="1"), field_manager="first")
        with pytest.raises(ApiError) as refused:
            api.apply(config_map("c", a="2"), field_manager="second")
        assert refused.value.status.code == 409
        taken = api.apply(config_map("c", a="2"), field_manager="second", force=True)
        assert [entry.manager for entry in taken.metadata.managedFields] == ["second"]
        api.close()

    await in_thread(use)


async def test_a_deployment_is_awaited_and_its_changes_watched(found: World) -> None:
    async with api_client(found) as api:
        await api.create(Deployment.from_dict(objects()["deployment"]))
        ready = await api.wait(Deployment, "web", for_conditions=["Available"])
        assert ready.status.availableReplicas == 2
        await api.create(config_map("b"))
        async for kind, obj in api.watch(ConfigMap, fields={"metadata.name": "b"}):
            seen = (kind, obj.metadata.name)
            start = obj.metadata.resourceVersion
            break
        assert seen == ("ADDED", "b")
        await api.patch(ConfigMap, "b", {"data": {"x": "y"}})
        async for kind, obj in api.watch(ConfigMap, resource_version=start, fields={"metadata.name": "b"}):
            seen = (kind, obj.metadata.name)
            break
        assert seen == ("MODIFIED", "b")


async def test_a_pod_s_log_is_read_and_followed(found: World) -> None:
    await found.speaking_pod("p")
    async with api_client(found) as api:
        assert [line async for line in api.log("p", newlines=False)] == LINES.decode().splitlines()
        assert [line async for line in api.log("p", follow=True, tail_lines=2)] == ["second\n", "third\n"]
        assert (await api.get(Pod, "p")).status.phase == "Running"


async def test_from_inside_of_a_pod_one_is_its_account(found: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in found.environment.items():
        monkeypatch.setitem(os.environ, name, value)
    config = KubeConfig.from_service_account(found.account)
    async with AsyncClient(config=config, trust_env=False) as api:
        assert [pod async for pod in api.list(Pod)] == []
        with pytest.raises(ApiError) as refused:
            await api.create(config_map("c"))
        assert refused.value.status.reason == "Forbidden"
