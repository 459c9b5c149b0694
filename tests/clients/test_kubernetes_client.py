"""The `kubernetes` package of PyPI: typed and dynamic, watching, logs, informers, from inside of a pod."""

from __future__ import annotations

import gc
import queue
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, dynamic, informer, utils, watch
from kubernetes.config.incluster_config import InClusterConfigLoader
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

from tests.clients.case import objects
from tests.clients.client_world import LINES, World, in_thread, world

MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
DEPLOYMENT = objects()["deployment"]
# The package drops connections without a word, and the server ends before it has heard of that.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture
async def found(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made
    gc.collect()


@contextmanager
def api_client(found: World) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(found.kubeconfig)) as api:
        yield api
        # Its own end leaves the connections open, on which the server would wait.
        api.rest_client.pool_manager.clear()


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"made": "here"}), data=data)


async def test_what_is_made_is_listed_patched_in_each_way_and_deleted(found: World) -> None:
    def use() -> None:
        with api_client(found) as api:
            core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
            core.create_namespaced_config_map("default", config_map("c", a="1"))
            (item,) = core.list_namespaced_config_map("default", label_selector="made=here").items
            assert item.metadata.creation_timestamp.tzinfo is not None
            patched = core.patch_namespaced_config_map("c", "default", {"data": {"b": "2"}})
            assert patched.data == {"a": "1", "b": "2"}
            patched = core.patch_namespaced_config_map("c", "default", {"data": {"a": None}}, _content_type=MERGE)
            assert patched.data == {"b": "2"}
            step = [{"op": "replace", "path": "/data/b", "value": "3"}]
            assert core.patch_namespaced_config_map("c", "default", step).data == {"b": "3"}
            patched.metadata.resource_version = "1"
            with pytest.raises(client.ApiException) as refused:
                core.replace_namespaced_config_map("c", "default", patched)
            assert (refused.value.status, refused.value.reason) == (409, "Conflict")
            core.delete_namespaced_config_map("c", "default")
            with pytest.raises(client.ApiException) as missing:
                core.read_namespaced_config_map("c", "default")
            assert missing.value.status == 404
            made = apps.create_namespaced_deployment("default", DEPLOYMENT)
            assert made.spec.strategy.rolling_update.max_surge == "25%"
            scale = apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 3}})
            assert (scale.kind, scale.spec.replicas) == ("Scale", 3)
            page = apps.list_namespaced_replica_set("default", limit=1)
            assert page.metadata.resource_version

    await in_thread(use)


async def test_what_is_listed_page_by_page_is_deleted_at_once(found: World) -> None:
    def use() -> None:
        with api_client(found) as api:
            core = client.CoreV1Api(api)
            for name in ("a", "b", "c", "d", "e"):
                core.create_namespaced_config_map("default", config_map(name))
            names, token = [], ""
            while token is not None:
                page = core.list_namespaced_config_map("default", label_selector="made=here", limit=2, _continue=token)
                names += [item.metadata.name for item in page.items]
                token = page.metadata._continue
            assert names == ["a", "b", "c", "d", "e"]
            core.delete_collection_namespaced_config_map("default", label_selector="made=here")
            assert not core.list_namespaced_config_map("default", label_selector="made=here").items

    await in_thread(use)


async def test_a_leader_is_elected_by_a_lease(found: World) -> None:
    class DoneError(Exception):
        pass

    def use() -> None:
        with api_client(found) as api:
            leases = client.CoordinationV1Api(api)
            lock = LeaseLock("leader", "default", "me")
            lock.api_instance = leases
            heard: list[str] = []

            def lead() -> None:
                heard.append(leases.read_namespaced_lease("leader", "default").spec.holder_identity)
                raise DoneError

            candidate = electionconfig.Config(
                lock, lease_duration=3, renew_deadline=2, retry_period=1, onstarted_leading=lead,
                onstopped_leading=lambda: heard.append("stopped"),
            )  # fmt: skip
            leaderelection.LeaderElection(candidate).run()
            assert heard == ["me", "stopped"]
            assert leases.read_namespaced_lease("leader", "default").spec.lease_duration_seconds == 3

    await in_thread(use)


async def test_an_applied_object_belongs_to_its_manager(found: World) -> None:
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}

    def use() -> None:
        with api_client(found) as api:
            core = client.CoreV1Api(api)
            how: dict[str, Any] = {"field_manager": "first", "_content_type": APPLY}
            core.patch_namespaced_config_map("c", "default", applied, **how)
            how["field_manager"] = "second"
            with pytest.raises(client.ApiException) as refused:
                core.patch_namespaced_config_map("c", "default", {**applied, "data": {"a": "2"}}, **how)
            assert 'conflict with \\"first\\"' in refused.value.body
            core.patch_namespaced_config_map("c", "default", {**applied, "data": {"a": "2"}}, **how, force=True)
            managed = core.read_namespaced_config_map("c", "default").metadata.managed_fields
            assert [entry.manager for entry in managed] == ["second"]

    await in_thread(use)


async def test_a_watch_goes_on_where_it_was_left(found: World) -> None:
    def use() -> None:
        with api_client(found) as api:
            core = client.CoreV1Api(api)
            core.create_namespaced_config_map("default", config_map("a"))
            start = core.list_namespaced_config_map("default").metadata.resource_version
            core.create_namespaced_config_map("default", config_map("b"))
            core.patch_namespaced_config_map("b", "default", {"data": {"x": "y"}})
            core.delete_namespaced_config_map("a", "default")
            seen = []
            watching = watch.Watch()
            for event in watching.stream(core.list_namespaced_config_map, "default", resource_version=start):
                seen.append((event["type"], event["object"].metadata.name))
                if len(seen) == 2:
                    watching.stop()
            assert seen == [("ADDED", "b"), ("MODIFIED", "b")]
            again = watch.Watch()
            resumed = again.stream(
                core.list_namespaced_config_map, "default", resource_version=watching.resource_version
            )
            event = next(iter(resumed))
            again.stop()
            assert (event["type"], event["object"].metadata.name) == ("DELETED", "a")

    await in_thread(use)


async def test_a_watch_from_before_all_that_is_known_is_gone_or_whole(found: World) -> None:
    def use() -> None:
        with api_client(found) as api:
            core = client.CoreV1Api(api)
            watching = watch.Watch()
            with pytest.raises(client.ApiException) as refused:
                for _ in watching.stream(core.list_namespaced_config_map, "default", resource_version="99999999"):
                    watching.stop()
            assert refused.value.status in (410, 504)

    await in_thread(use)


async def test_an_informer_mirrors_what_there_is(found: World) -> None:
    def use() -> None:
        with api_client(found) as api:
            core = client.CoreV1Api(api)
            core.create_namespaced_config_map("default", config_map("a"))
            heard: queue.Queue[tuple[str, str]] = queue.Queue()
            mirror = informer.SharedInformer(core.list_namespaced_config_map, "default", label_selector="made=here")
            for kind in (informer.ADDED, informer.MODIFIED, informer.DELETED):
                mirror.add_event_handler(kind, lambda obj, kind=kind: heard.put((kind, obj.metadata.name)))
            mirror.start()
            assert heard.get(timeout=30) == ("ADDED", "a")
            core.create_namespaced_config_map("default", config_map("b"))
            assert heard.get(timeout=30) == ("ADDED", "b")
            core.patch_namespaced_config_map("b", "default", {"data": {"x": "y"}})
            assert heard.get(timeout=30) == ("MODIFIED", "b")
            core.delete_namespaced_config_map("a", "default")
            assert heard.get(timeout=30) == ("DELETED", "a")
            assert [obj.metadata.name for obj in mirror.cache.list()] == ["b"]
            mirror.stop()

    await in_thread(use)


async def test_a_pod_s_log_is_read_and_followed(found: World) -> None:
    await found.speaking_pod("p")

    def use() -> None:
        with api_client(found) as api:
            core = client.CoreV1Api(api)
            assert core.read_namespaced_pod_log("p", "default") == LINES.decode()
            assert core.read_namespaced_pod_log("p", "default", tail_lines=1) == "third\n"
            followed = watch.Watch().stream(core.read_namespaced_pod_log, "p", "default")
            assert list(followed) == ["first", "second", "third"]

    await in_thread(use)


async def test_the_dynamic_client_finds_kinds_and_applies(found: World, tmp_path: Path) -> None:
    def use() -> None:
        with api_client(found) as api:
            dynamic_client = dynamic.DynamicClient(api, cache_file=str(tmp_path / "discovery"))
            deployments = dynamic_client.resources.get(api_version="apps/v1", kind="Deployment")
            body = {**DEPLOYMENT, "metadata": {"name": "web"}}
            made = deployments.server_side_apply(body, namespace="default", field_manager="dynamic")
            assert made.metadata.managedFields[0].manager == "dynamic"
            assert [item.metadata.name for item in deployments.get(namespace="default").items] == ["web"]
            assert deployments.status.get(name="web", namespace="default").kind == "Deployment"
            deployments.delete(name="web", namespace="default", body={"propagationPolicy": "Background"})
            path = tmp_path / "web.yaml"
            path.write_text(yaml.safe_dump_all([DEPLOYMENT, objects()["service"]]))
            utils.create_from_yaml(api, str(path))
            assert client.CoreV1Api(api).read_namespaced_service("web", "default").spec.cluster_ip

    await in_thread(use)


async def test_from_inside_of_a_pod_one_is_its_account(found: World) -> None:
    def use() -> None:
        loader = InClusterConfigLoader(
            str(found.account / "token"), str(found.account / "ca.crt"), environ=found.environment
        )
        configuration = client.Configuration()
        loader.load_and_set(configuration)
        with client.ApiClient(configuration) as api:
            who = client.AuthenticationV1Api(api).create_self_subject_review(client.V1SelfSubjectReview())
            assert who.status.user_info.username == "system:serviceaccount:default:viewer"
            assert client.CoreV1Api(api).list_namespaced_pod("default").items == []
            with pytest.raises(client.ApiException) as refused:
                client.CoreV1Api(api).list_namespaced_secret("default")
            assert refused.value.status == 403
            api.rest_client.pool_manager.clear()

    await in_thread(use)
