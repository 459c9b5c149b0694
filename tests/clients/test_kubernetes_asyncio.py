"""The `kubernetes-asyncio` package of PyPI: what is made, watched, applied, and said by pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes_asyncio import client, config, watch
from kubernetes_asyncio.config.incluster_config import InClusterConfigLoader

from tests.clients.case import objects
from tests.clients.client_world import DEADLINE, LINES, World, world

MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"


@pytest.fixture
async def found(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


@asynccontextmanager
async def api_client(found: World) -> AsyncIterator[client.ApiClient]:
    configuration = client.Configuration()
    await config.load_kube_config(str(found.kubeconfig), client_configuration=configuration)
    async with asyncio.timeout(DEADLINE), client.ApiClient(configuration) as api:
        yield api


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"made": "here"}), data=data)


async def test_what_is_made_is_listed_patched_in_each_way_and_deleted(found: World) -> None:
    async with api_client(found) as api:
        core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
        await core.create_namespaced_config_map("default", config_map("c", a="1"))
        listed = await core.list_namespaced_config_map("default", label_selector="made=here")
        assert [item.metadata.name for item in listed.items] == ["c"]
        patched = await core.patch_namespaced_config_map("c", "default", {"data": {"b": "2"}})
        assert patched.data == {"a": "1", "b": "2"}
        merge: dict[str, Any] = {"_content_type": MERGE}
        patched = await core.patch_namespaced_config_map("c", "default", {"data": {"a": None}}, **merge)
        assert patched.data == {"b": "2"}
        step = [{"op": "replace", "path": "/data/b", "value": "3"}]
        assert (await core.patch_namespaced_config_map("c", "default", step)).data == {"b": "3"}
        await core.delete_namespaced_config_map("c", "default")
        with pytest.raises(client.ApiException) as missing:
            await core.read_namespaced_config_map("c", "default")
        assert missing.value.status == 404
        await apps.create_namespaced_deployment("default", objects()["deployment"])
        scale = await apps.read_namespaced_deployment_scale("web", "default")
        assert (scale.spec.replicas, scale.status.selector) == (2, "app=web")


async def test_an_applied_object_belongs_to_its_manager(found: World) -> None:
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    async with api_client(found) as api:
        core = client.CoreV1Api(api)
        how: dict[str, Any] = {"field_manager": "first", "_content_type": APPLY}
        await core.patch_namespaced_config_map("c", "default", applied, **how)
        other = {**applied, "data": {"a": "2"}}
        how["field_manager"] = "second"
        with pytest.raises(client.ApiException) as refused:
            await core.patch_namespaced_config_map("c", "default", other, **how)
        assert refused.value.status == 409
        taken = await core.patch_namespaced_config_map("c", "default", other, **how, force=True)
        assert [entry.manager for entry in taken.metadata.managed_fields] == ["second"]


async def test_a_watch_goes_on_where_it_was_left(found: World) -> None:
    async with api_client(found) as api:
        core = client.CoreV1Api(api)
        start = (await core.list_namespaced_config_map("default")).metadata.resource_version
        await core.create_namespaced_config_map("default", config_map("b"))
        seen = []
        async with watch.Watch().stream(
            core.list_namespaced_config_map, "default", resource_version=start, label_selector="made=here"
        ) as events:
            async for event in events:
                seen.append((event["type"], event["object"].metadata.name))
                reached = event["object"].metadata.resource_version
                if len(seen) == 2:
                    break
                await core.delete_namespaced_config_map("b", "default")
        assert seen == [("ADDED", "b"), ("DELETED", "b")]
        await core.create_namespaced_config_map("default", config_map("c"))
        async with watch.Watch().stream(
            core.list_namespaced_config_map, "default", resource_version=reached, timeout_seconds=30
        ) as events:
            event = await anext(aiter(events))
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "c")


async def test_a_pod_s_log_is_read_and_followed(found: World) -> None:
    await found.speaking_pod("p")
    async with api_client(found) as api:
        core = client.CoreV1Api(api)
        assert await core.read_namespaced_pod_log("p", "default") == LINES.decode()
        async with watch.Watch().stream(core.read_namespaced_pod_log, "p", "default") as lines:
            assert [line async for line in lines] == LINES.decode().splitlines(keepends=True)


async def test_from_inside_of_a_pod_one_is_its_account(found: World) -> None:
    configuration = client.Configuration()
    loader = InClusterConfigLoader(
        str(found.account / "token"), str(found.account / "ca.crt"), environ=found.environment
    )
    loader.load_and_set(configuration)
    async with client.ApiClient(configuration) as api:
        who = await client.AuthenticationV1Api(api).create_self_subject_review(client.V1SelfSubjectReview())
        assert who.status.user_info.username == "system:serviceaccount:default:viewer"
