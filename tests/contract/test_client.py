"""One suite over both clients and both caches: a component can't tell whether the API server is in its process."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from machinery.api.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    ServiceUnavailable,
    StatusError,
    Unauthorized,
)
from machinery.api.resource import Object
from machinery.api.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from machinery.client.cache import Cache, Change
from machinery.client.client import Client, PatchType, WatchEvent
from machinery.client.clock import SystemClock
from machinery.client.credentials import Credentials, KubeconfigError
from machinery.client.http import HttpClient
from machinery.client.reflector import ReflectedCache
from tests.contract.apiserver_running import running

DEADLINE = 20.0
NS = "default"


@dataclass
class Given:
    """An administrator's client, one of a user who may do nothing, and a cache."""

    client: Client
    stranger: Client
    cache: Cache


@asynccontextmanager
async def in_process(directory: Path) -> AsyncIterator[Given]:
    async with running(directory) as server:
        admin = server.client("admin", ("system:masters", "system:authenticated"))
        yield Given(admin, server.client("nobody", ("system:authenticated",)), server.cache)


@asynccontextmanager
async def over_http(directory: Path) -> AsyncIterator[Given]:
    async with running(directory) as server, asyncio.TaskGroup() as group:
        base = f"https://127.0.0.1:{server.port}"
        pairs = [server.pki.client("a", "admin", ("system:masters",)), server.pki.client("n", "nobody")]
        admin, stranger = (HttpClient(base, server.pki.ssl_context_client(pair)) for pair in pairs)
        async with admin, stranger:
            cache = ReflectedCache(admin, dict.fromkeys((CONFIG_MAPS, SECRETS, PODS), ""), SystemClock())
            following = group.create_task(cache.run())
            await cache.synced.wait()
            yield Given(admin, stranger, cache)
            following.cancel()


Way = Callable[[Path], Any]


@pytest.fixture(params=[in_process, over_http], ids=["in-process", "http"])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


def config_map(name: str = "c", **data: str) -> Object:
    metadata = {"name": name, "namespace": NS}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def test_an_object_lives_from_create_to_delete(way: Way, tmp_path: Path) -> None:
    async with way(tmp_path) as given:
        client: Client = given.client
        made = await client.create(CONFIG_MAPS, config_map(a="1"), NS)
        assert made["metadata"]["uid"]
        assert await client.get(CONFIG_MAPS, "c", NS) == made
        changed = await client.update(CONFIG_MAPS, {**made, "data": {"a": "2"}})
        assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
        patched = await client.patch(CONFIG_MAPS, "c", {"data": {"b": "3"}}, NS)
        assert patched["data"] == {"a": "2", "b": "3"}
        replaced = await client.patch(
            CONFIG_MAPS, "c", [{"op": "remove", "path": "/data/b"}], NS, patch_type=PatchType.JSON
        )
        assert replaced["data"] == {"a": "2"}
        await client.delete(CONFIG_MAPS, "c", NS, uid=made["metadata"]["uid"])
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAPS, "c", NS)


async def test_components_manage_fields_under_the_names_of_upstream_s_programs(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        controller = server.controller_client("root-ca-cert-publisher")
        admin = ("system:masters", "system:authenticated")
        written = [
            await controller.create(CONFIG_MAPS, config_map("by-a-controller", a="1"), NS),
            await server.client("admin", admin, program="kubelet").create(CONFIG_MAPS, config_map(a="1"), NS),
            await server.client("system:kube-scheduler", admin).create(CONFIG_MAPS, config_map("d", a="1"), NS),
            await server.client("admin", admin).get(NAMESPACES, NS),
        ]
    assert [each["metadata"]["managedFields"][0]["manager"] for each in written] == [
        "kube-controller-manager", "kubelet", "kube-scheduler", "kube-apiserver",
    ]  # fmt: skip


async def test_apply_tells_who_owns_what_and_refuses_to_take_it(way: Way, tmp_path: Path) -> None:
    async with way(tmp_path) as given:
        client: Client = given.client
        apply: Any = {"patch_type": PatchType.APPLY, "namespace": NS}
        await client.patch(CONFIG_MAPS, "c", config_map(a="1"), field_manager="one", **apply)
        with pytest.raises(Conflict) as refused:
            await client.patch(CONFIG_MAPS, "c", config_map(a="2"), field_manager="two", **apply)
        assert [(cause.reason, cause.field) for cause in refused.value.causes] == [("FieldManagerConflict", ".data.a")]
        forced = await client.patch(CONFIG_MAPS, "c", config_map(a="2"), field_manager="two", force=True, **apply)
        assert forced["data"] == {"a": "2"}


async def test_lists_are_narrowed_by_namespace_labels_and_fields(way: Way, tmp_path: Path) -> None:
    async with way(tmp_path) as given:
        client: Client = given.client
        for name, tier in (("one", "front"), ("two", "back")):
            obj = config_map(name)
            obj["metadata"]["labels"] = {"tier": tier}
            await client.create(CONFIG_MAPS, obj, NS)
        found = await client.list(CONFIG_MAPS, NS, labels="tier=back")
        assert [(item["kind"], item["metadata"]["name"]) for item in found.items] == [("ConfigMap", "two")]
        found = await client.list(CONFIG_MAPS, NS, fields="metadata.name=one")
        assert [item["metadata"]["name"] for item in found.items] == ["one"]
        assert not (await client.list(CONFIG_MAPS, "nowhere")).items
        assert (await client.list(CONFIG_MAPS)).resource_version


async def test_status_and_scale_are_written_apart_from_the_spec(way: Way, tmp_path: Path) -> None:
    async with way(tmp_path) as given:
        client: Client = given.client
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": NS}, "spec": spec}
        made = await client.create(DEPLOYMENTS, obj, NS)
        told = {**made, "spec": {**made["spec"], "replicas": 9}, "status": {"replicas": 1}}
        told = await client.update(DEPLOYMENTS, told, subresource="status")
        assert (told["spec"]["replicas"], told["status"]["replicas"]) == (1, 1)
        scale = await client.get(DEPLOYMENTS, "d", NS, subresource="scale")
        assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 1)
        scaled = await client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": 2}}, NS, subresource="scale")
        assert scaled["spec"]["replicas"] == 2


async def test_a_sub_resource_is_created_under_its_parent(way: Way, tmp_path: Path) -> None:
    async with way(tmp_path) as given:
        client: Client = given.client
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s", "namespace": NS}}
        await client.create(SERVICE_ACCOUNTS, account, NS)
        wish = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
        made = await client.create(SERVICE_ACCOUNTS, wish, NS, name="s", subresource="token")
        assert made["status"]["token"].count(".") == 2


@pytest.mark.parametrize(
    ("expected", "attempt"),
    [
        (NotFound, lambda given: given.client.get(CONFIG_MAPS, "ghost", NS)),
        (
            NotFound,
            lambda given: given.client.create(CONFIG_MAPS, {**config_map(), "metadata": {"name": "c"}}, "nowhere"),
        ),
        (AlreadyExists, lambda given: given.client.create(NAMESPACES, namespace(NS))),
        (Invalid, lambda given: given.client.create(CONFIG_MAPS, config_map("No Name"), NS)),
        (BadRequest, lambda given: given.client.list(CONFIG_MAPS, NS, labels="a in (")),
        (Forbidden, lambda given: given.stranger.list(SECRETS, NS)),
        (Conflict, lambda given: given.client.delete(NAMESPACES, "kube-node-lease", uid="another")),
    ],
)
async def test_errors_are_of_the_same_type_and_words(
    expected: type[StatusError], attempt: Callable[[Given], Any], tmp_path: Path
) -> None:
    said = []
    for way in (in_process, over_http):
        async with way(tmp_path) as given:
            with pytest.raises(expected) as refused:
                await attempt(given)
            said.append(refused.value.status())
    # The uid in a message differs from cluster to cluster.
    strip = [{**body, "message": body["message"].partition("UID in record")[0]} for body in said]
    assert strip[0] == strip[1]


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


async def test_an_update_of_an_old_state_is_a_conflict(way: Way, tmp_path: Path) -> None:
    async with way(tmp_path) as given:
        client: Client = given.client
        made = await client.create(CONFIG_MAPS, config_map(), NS)
        await client.update(CONFIG_MAPS, {**made, "data": {"a": "1"}})
        with pytest.raises(Conflict, match="the object has been modified"):
            await client.update(CONFIG_MAPS, {**made, "data": {"a": "2"}})


async def test_what_changes_nothing_is_not_written(way: Way, tmp_path: Path) -> None:
    async with way(tmp_path) as given:
        client: Client = given.client
        made = await client.create(CONFIG_MAPS, config_map(a="1"), NS)
        unpinned = {**made, "metadata": {k: v for k, v in made["metadata"].items() if k != "resourceVersion"}}
        for again in (made, unpinned):
            assert await client.update(CONFIG_MAPS, again) == made
        assert await client.patch(CONFIG_MAPS, "c", {"data": {"a": "1"}}, NS) == made


async def test_a_watch_misses_nothing_after_its_list(way: Way, tmp_path: Path) -> None:
    async with way(tmp_path) as given, asyncio.timeout(DEADLINE):
        client: Client = given.client
        listed = await client.list(CONFIG_MAPS, NS)
        made = await client.create(CONFIG_MAPS, config_map(a="x" * 300_000), NS)
        await client.update(CONFIG_MAPS, {**made, "data": {}})
        await client.delete(CONFIG_MAPS, "c", NS)
        seen: list[WatchEvent] = []
        async with client.watch(CONFIG_MAPS, NS, resource_version=listed.resource_version) as events:
            async for event in events:
                if event.type != "BOOKMARK":
                    seen.append(event)
                if event.type == "DELETED":
                    break
        assert [event.type for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
        assert seen[0].object == made
        revisions = [int(event.object["metadata"]["resourceVersion"]) for event in seen]
        assert revisions == sorted(set(revisions))


async def test_who_watches_sees_a_pod_without_grace_marked_before_it_goes(way: Way, tmp_path: Path) -> None:
    async with way(tmp_path) as given, asyncio.timeout(DEADLINE):
        client: Client = given.client
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": NS}}, NS)
        spec = {"containers": [{"name": "c", "image": "i"}]}
        made = await client.create(PODS, {"metadata": {"name": "p"}, "spec": spec}, NS)
        metadata = made["metadata"]
        gone = await client.delete(
            PODS, "p", NS, uid=metadata["uid"], resource_version=metadata["resourceVersion"], grace_period_seconds=0
        )
        seen: list[WatchEvent] = []
        async with client.watch(PODS, NS, resource_version=metadata["resourceVersion"]) as events:
            async for event in events:
                seen.append(event)
                if event.type == "DELETED":
                    break
        assert [event.type for event in seen if event.type != "BOOKMARK"] == ["MODIFIED", "DELETED"]
        for each in (gone, seen[-1].object):
            assert each["metadata"]["deletionTimestamp"] and each["metadata"]["deletionGracePeriodSeconds"] == 0
        with pytest.raises(NotFound):
            await client.get(PODS, "p", NS)


async def test_a_watch_from_a_revision_that_never_was_is_refused(way: Way, tmp_path: Path) -> None:
    async with way(tmp_path) as given, asyncio.timeout(DEADLINE):
        with pytest.raises(StatusError):
            async with given.client.watch(CONFIG_MAPS, NS, resource_version="nonsense") as events:
                await anext(events)


async def test_a_cache_follows_and_tells_each_change_once(way: Way, tmp_path: Path) -> None:
    async with way(tmp_path) as given, asyncio.timeout(DEADLINE):
        client, cache = given.client, given.cache
        await client.create(SECRETS, {**config_map("before"), "kind": "Secret", "data": {}}, NS)
        changes: list[Change] = []
        made = await client.create(CONFIG_MAPS, config_map(a="1"), NS)
        await cache.wait_for(int(made["metadata"]["resourceVersion"]))
        end = cache.subscribe(CONFIG_MAPS, changes.append)
        assert cache.get(CONFIG_MAPS, NS, "c") == made
        assert made in cache.list(CONFIG_MAPS, NS)
        assert [change for change in changes if change.after == made] == [Change(CONFIG_MAPS, None, made)]
        changed = await client.update(CONFIG_MAPS, {**made, "data": {}})
        await cache.wait_for(int(changed["metadata"]["resourceVersion"]))
        assert changes[-1] == Change(CONFIG_MAPS, made, changed)
        await client.delete(CONFIG_MAPS, "c", NS)
        while cache.get(CONFIG_MAPS, NS, "c") is not None:
            await cache.wait_for(cache.revision + 1)
        assert changes[-1].after is None
        end()
        told = len(changes)
        last = await client.create(CONFIG_MAPS, config_map("d"), NS)
        await cache.wait_for(int(last["metadata"]["resourceVersion"]))
        assert len(changes) == told


async def test_a_cache_knows_owners_nodes_and_labels(way: Way, tmp_path: Path) -> None:
    async with way(tmp_path) as given, asyncio.timeout(DEADLINE):
        client, cache = given.client, given.cache
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": NS}}
        await client.create(SERVICE_ACCOUNTS, account, NS)
        owner = await client.create(CONFIG_MAPS, config_map("owner"), NS)
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
        metadata = {"name": "p", "namespace": NS, "labels": {"app": "x"}, "ownerReferences": [reference]}
        spec = {"containers": [{"name": "c", "image": "i"}]}
        pod = await client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, NS)
        await cache.wait_for(int(pod["metadata"]["resourceVersion"]))
        assert list(cache.owned_by(PODS, owner["metadata"]["uid"])) == [pod]
        assert list(cache.on_node("")) == list(cache.labelled(PODS, NS, "app", "x")) == [pod]
        assert list(cache.orphans(PODS, NS)) == [pod]
        assert list(cache.orphans(PODS, "other")) == []
        assert list(cache.labelled(PODS, NS, "app", "y")) == list(cache.labelled(PODS, "other", "app", "x")) == []
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "n"}}
        await client.create(PODS, binding, NS, name="p", subresource="binding")
        bound = await client.get(PODS, "p", NS)
        await cache.wait_for(int(bound["metadata"]["resourceVersion"]))
        assert (list(cache.on_node("")), list(cache.on_node("n"))) == ([], [bound])


async def test_a_bound_pod_has_its_node_s_zone(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        client = server.client("admin", ("system:masters",))
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, NS)
        await client.create(NODES, {"metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z"}}})
        spec = {"containers": [{"name": "c", "image": "i"}]}
        await client.create(PODS, {"metadata": {"name": "p", "labels": {"app": "x"}}, "spec": spec}, NS)
        binding = {"metadata": {"name": "p", "labels": {"own": "y"}}, "target": {"kind": "Node", "name": "n"}}
        await client.create(PODS, binding, NS, name="p", subresource="binding")
        bound = await client.get(PODS, "p", NS)
    assert bound["metadata"]["labels"] == {"app": "x", "own": "y", "topology.kubernetes.io/zone": "z"}


class Gone:
    """A client whose watch has lost the revisions once, and whose second list shows another world."""

    def __init__(self, lists: list[list[Object]]) -> None:
        self._lists = lists
        self.ended = asyncio.Event()

    async def list(self, *args: Any, **kwargs: Any) -> Any:
        from machinery.client.client import ObjectList

        return ObjectList(self._lists.pop(0), str(10 - len(self._lists)))

    @asynccontextmanager
    async def watch(self, *args: Any, **kwargs: Any) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        if self._lists:
            raise Expired("too old resource version")
        self.ended.set()
        yield self._silent()

    async def _silent(self) -> AsyncIterator[WatchEvent]:
        await asyncio.Event().wait()
        yield WatchEvent("BOOKMARK", {})


def seen(name: str, uid: str, revision: int) -> Object:
    return {"metadata": {"name": name, "namespace": NS, "uid": uid, "resourceVersion": str(revision)}}


async def test_after_a_gap_the_difference_is_told() -> None:
    before = [seen("gone", "1", 1), seen("renewed", "2", 2), seen("same", "3", 3)]
    after = [seen("renewed", "4", 5), seen("same", "3", 3), seen("new", "5", 6)]
    client: Any = Gone([before, after])
    cache = ReflectedCache(client, {CONFIG_MAPS: ""}, SystemClock())
    told: list[tuple[str, bool, bool]] = []
    cache.subscribe(
        CONFIG_MAPS,
        lambda change: told.append(
            (change.object["metadata"]["uid"], change.before is not None, change.after is not None)
        ),
    )
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        following = group.create_task(cache.run())
        await client.ended.wait()
        following.cancel()
    first = [("1", False, True), ("2", False, True), ("3", False, True)]
    assert told == [*first, ("1", True, False), ("2", True, False), ("4", False, True), ("5", False, True)]


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with HttpClient("http://127.0.0.1:1") as client:
        with pytest.raises(ServiceUnavailable, match="can't be reached"):
            await client.list(CONFIG_MAPS)
        with pytest.raises(ServiceUnavailable):
            async with client.watch(CONFIG_MAPS, resource_version="1"):
                raise AssertionError("nobody answers")


async def test_a_kubeconfig_gives_certificates_or_a_token(tmp_path: Path) -> None:
    async with running(tmp_path / "cluster") as server:
        pair = server.pki.client("a", "admin", ("system:masters",))
        document = {
            "current-context": "one",
            "contexts": [
                {"name": "one", "context": {"cluster": "c", "user": "certificate"}},
                {"name": "two", "context": {"cluster": "c", "user": "token"}},
            ],
            "clusters": [{"name": "c", "cluster": {
                "server": f"https://127.0.0.1:{server.port}",
                "certificate-authority-data": base64.b64encode(server.pki.ca_pem).decode(),
            }}],
            "users": [
                {"name": "certificate", "user": {
                    "client-certificate": str(pair.certificate), "client-key": str(pair.key)
                }},
                {"name": "token", "user": {"token": "not.a.token"}},
            ],
        }  # fmt: skip
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(document))
        known = Credentials.from_kubeconfig(path)
        async with HttpClient(known.server, known.tls(tmp_path), token=known.token) as client:
            assert (await client.get(NAMESPACES, NS))["metadata"]["name"] == NS
        unknown = Credentials.from_kubeconfig(path, "two")
        async with HttpClient(unknown.server, unknown.tls(tmp_path), token=unknown.token) as client:
            with pytest.raises(Unauthorized):
                await client.get(NAMESPACES, NS)
        with pytest.raises(KubeconfigError, match='no context "three"'):
            Credentials.from_kubeconfig(path, "three")
