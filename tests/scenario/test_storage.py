"""Claims from the user's wish to the node's directory and back: the real server, binder, scheduler and provisioner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from apiserver.server import ApiServer
from kubelet.local_path_provisioner import LocalPathProvisioner
from machinery.api.errors import Forbidden, NotFound
from machinery.api.resource import Object, Resource
from machinery.api.resources import (
    CONFIG_MAPS,
    EVENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    STORAGE_CLASSES,
)
from machinery.client.client import Client
from machinery.client.clock import SystemClock
from minikube_py.addons import storage
from tests.played_cluster import played_cluster


class Died(BaseException):
    """The process is gone; nothing of it may catch that."""


class Mortal:
    """A client that performs so many writes, and dies before the next."""

    def __init__(self, client: Client, writes: int) -> None:
        self._client, self._left = client, writes

    def __getattr__(self, name: str) -> Any:
        if name in ("create", "update", "patch", "delete"):
            if self._left == 0:
                raise Died
            self._left -= 1
        return getattr(self._client, name)


class Storing:
    """A cluster whose node `n` makes volumes below `directory`."""

    def __init__(self, server: ApiServer, client: Client, directory: Path) -> None:
        self.server, self.client, self.directory = server, client, directory

    async def until(self, is_so: Callable[[], bool], *resources: Resource) -> None:
        """Returns once it is so, looking whenever one of the resources changes."""
        changed = asyncio.Event()
        ends = [self.server.cache.subscribe(resource, lambda change: changed.set()) for resource in resources]
        try:
            async with asyncio.timeout(60):
                while not is_so():
                    await changed.wait()
                    changed.clear()
        finally:
            for end in ends:
                end()

    def provisioner(self, client: Client | None = None) -> LocalPathProvisioner:
        own = client or self.server.controller_client(storage.ACCOUNT)
        return LocalPathProvisioner(own, self.server.cache, SystemClock(), "n", self.directory)

    async def die_once(self, writes: int) -> None:
        """A provisioner that performs so many writes and dies before the next; then one that lives."""
        client: Any = Mortal(self.server.controller_client(storage.ACCOUNT), writes)
        with suppress(Died):
            await self.provisioner(client).run()
        await self.provisioner().run()

    async def claim(self, name: str = "c", **spec: Any) -> None:
        own = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
        made = {"metadata": {"name": name}, "spec": own}
        await self.client.create(PERSISTENT_VOLUME_CLAIMS, made, "default")

    async def pod(self, name: str = "p", volume: Object | None = None) -> None:
        used = {"name": "v", **(volume or {"persistentVolumeClaim": {"claimName": "c"}})}
        spec = {"containers": [{"name": "c", "image": "i"}], "volumes": [used]}
        await self.client.create(PODS, {"metadata": {"name": name}, "spec": spec}, "default")

    def status(self, resource: Resource, name: str, namespace: str = "default") -> str:
        found = self.server.cache.get(resource, namespace if resource.namespaced else "", name)
        return str(found["status"]["phase"]) if found else "gone"

    def nominated(self, name: str) -> str:
        found = self.server.cache.get(PODS, "default", name)
        return str(found["status"].get("nominatedNodeName", "")) if found else ""

    async def reach(self, resource: Resource, name: str, phase: str) -> None:
        await self.until(lambda: self.status(resource, name) == phase, resource)

    def volumes(self) -> list[Object]:
        return list(self.server.cache.list(PERSISTENT_VOLUMES))

    async def reasons(self, kind: str) -> set[str]:
        found = await self.client.list(EVENTS, "")
        return {each["reason"] for each in found.items if each["involvedObject"]["kind"] == kind}


@asynccontextmanager
async def cluster(directory: Path) -> AsyncIterator[Storing]:
    async with played_cluster(directory / "server") as (server, client), asyncio.TaskGroup() as group:
        await storage.publish(client)
        storing = Storing(server, client, directory / "storage")
        task = group.create_task(storing.provisioner().run())
        yield storing
        task.cancel()


async def test_a_claim_gets_a_directory_and_takes_it_along(tmp_path: Path) -> None:
    async with cluster(tmp_path) as storing:
        await storing.claim()
        await storing.pod()
        await storing.reach(PODS, "p", "Running")
        (volume,) = storing.volumes()
        directory = Path(volume["spec"]["local"]["path"])
        assert directory.parent == storing.directory
        assert directory.stat().st_mode & 0o777 == 0o777
        (directory / "data").write_text("")
        await storing.client.delete(PERSISTENT_VOLUME_CLAIMS, "c", "default")
        assert storing.status(PERSISTENT_VOLUME_CLAIMS, "c") == "Bound", "a pod uses it"
        await storing.client.delete(PODS, "p", "default")
        await storing.until(lambda: not storing.volumes(), PERSISTENT_VOLUMES)
        assert not directory.exists()
        assert await storing.reasons("PersistentVolumeClaim") >= {
            "WaitForFirstConsumer", "ExternalProvisioning", "Provisioning", "ProvisioningSucceeded",
        }  # fmt: skip


@pytest.mark.parametrize("writes", range(5))
async def test_whenever_the_provisioner_dies_the_next_one_finishes(tmp_path: Path, writes: int) -> None:
    """Its writes: the event before, the volume, the event after; then the volume's deletion and its finalizer."""
    async with played_cluster(tmp_path / "server") as (server, client), asyncio.TaskGroup() as group:
        await storage.publish(client)
        storing = Storing(server, client, tmp_path / "storage")
        task = group.create_task(storing.die_once(writes))
        await storing.claim()
        await storing.pod()
        await storing.reach(PODS, "p", "Running")
        assert [each["status"]["phase"] for each in storing.volumes()] == ["Bound"]
        await client.delete(PODS, "p", "default")
        await client.delete(PERSISTENT_VOLUME_CLAIMS, "c", "default")
        await storing.until(lambda: not storing.volumes(), PERSISTENT_VOLUMES)
        assert list(storing.directory.iterdir()) == []
        task.cancel()


async def test_an_ephemeral_volume_lives_as_long_as_its_pod(tmp_path: Path) -> None:
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}
    async with cluster(tmp_path) as storing:
        await storing.pod(volume={"ephemeral": {"volumeClaimTemplate": template}})
        await storing.reach(PODS, "p", "Running")
        assert storing.status(PERSISTENT_VOLUME_CLAIMS, "p-v") == "Bound"
        await storing.client.delete(PODS, "p", "default")
        await storing.until(lambda: not storing.volumes(), PERSISTENT_VOLUMES)
        assert storing.status(PERSISTENT_VOLUME_CLAIMS, "p-v") == "gone"
        assert list(storing.directory.iterdir()) == []


async def test_while_a_volume_is_made_the_pod_tells_where_it_will_go(tmp_path: Path) -> None:
    async with played_cluster(tmp_path / "server") as (server, client), asyncio.TaskGroup() as group:
        await storage.publish(client)
        storing = Storing(server, client, tmp_path / "storage")
        await storing.claim()
        await storing.pod()
        await storing.until(lambda: storing.nominated("p") == "n", PODS)
        task = group.create_task(storing.provisioner().run())
        await storing.reach(PODS, "p", "Running")
        assert storing.nominated("p") == "", "it is there"
        task.cancel()


async def test_a_pod_whose_claim_goes_meanwhile_will_go_nowhere(tmp_path: Path) -> None:
    async with played_cluster(tmp_path / "server") as (server, client):
        await storage.publish(client)
        storing = Storing(server, client, tmp_path / "storage")
        await storing.claim()
        await storing.pod()
        await storing.until(lambda: storing.nominated("p") == "n", PODS)
        await client.delete(PERSISTENT_VOLUME_CLAIMS, "c", "default")
        await storing.until(lambda: storing.nominated("p") == "", PODS)


async def test_what_is_retained_stays(tmp_path: Path) -> None:
    async with cluster(tmp_path) as storing:
        kept = {**storage.CLASS, "metadata": {"name": "kept"}, "reclaimPolicy": "Retain"}
        await storing.client.create(STORAGE_CLASSES, kept)
        await storing.claim(storageClassName="kept")
        await storing.pod()
        await storing.reach(PODS, "p", "Running")
        (volume,) = storing.volumes()
        await storing.client.delete(PODS, "p", "default")
        await storing.reach(PODS, "p", "gone")
        await storing.client.delete(PERSISTENT_VOLUME_CLAIMS, "c", "default")
        await storing.reach(PERSISTENT_VOLUMES, volume["metadata"]["name"], "Released")
        await storing.client.delete(PERSISTENT_VOLUMES, volume["metadata"]["name"])
        await storing.until(lambda: not storing.volumes(), PERSISTENT_VOLUMES)
        assert Path(volume["spec"]["local"]["path"]).is_dir()


async def test_a_volume_deleted_before_its_claim_goes_with_it(tmp_path: Path) -> None:
    async with cluster(tmp_path) as storing:
        await storing.claim()
        await storing.pod()
        await storing.reach(PODS, "p", "Running")
        (volume,) = storing.volumes()
        await storing.client.delete(PERSISTENT_VOLUMES, volume["metadata"]["name"])
        assert storing.volumes()
        await storing.client.delete(PODS, "p", "default")
        await storing.client.delete(PERSISTENT_VOLUME_CLAIMS, "c", "default")
        await storing.until(lambda: not storing.volumes(), PERSISTENT_VOLUMES)
        assert not Path(volume["spec"]["local"]["path"]).exists()


async def test_a_claim_without_a_class_gets_a_default_one_later(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (server, client):
        storing = Storing(server, client, tmp_path)
        await storing.claim()
        await storage.publish(client)

        def has_class() -> bool:
            found = server.cache.get(PERSISTENT_VOLUME_CLAIMS, "default", "c") or {}
            return bool(found["spec"].get("storageClassName") == "local-path")

        await storing.until(has_class, PERSISTENT_VOLUME_CLAIMS)


async def test_the_default_class_is_the_users_from_then_on(tmp_path: Path) -> None:
    async with played_cluster(tmp_path) as (_, client):
        await storage.publish(client)
        await client.patch(STORAGE_CLASSES, "local-path", {"metadata": {"annotations": {"mine": "yes"}}})
        await storage.publish(client)
        assert (await client.get(STORAGE_CLASSES, "local-path"))["metadata"]["annotations"]["mine"] == "yes"
        await client.delete(STORAGE_CLASSES, "local-path")
        await storage.publish(client)
        with pytest.raises(NotFound):
            await client.get(STORAGE_CLASSES, "local-path")
        await client.delete(CONFIG_MAPS, storage.ACCOUNT, storage.NAMESPACE)
        await storage.publish(client)
        await client.get(STORAGE_CLASSES, "local-path")


async def test_only_what_can_grow_is_let_grow(tmp_path: Path) -> None:
    more = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    async with cluster(tmp_path) as storing:
        await storing.claim()
        await storing.pod()
        await storing.reach(PODS, "p", "Running")
        with pytest.raises(Forbidden, match="only dynamically provisioned pvc can be resized and the storageclass"):
            await storing.client.patch(PERSISTENT_VOLUME_CLAIMS, "c", more, "default")
        await storing.claim("waits")
        with pytest.raises(Forbidden, match="Only bound persistent volume claims can be expanded"):
            await storing.client.patch(PERSISTENT_VOLUME_CLAIMS, "waits", more, "default")


async def test_what_a_crash_has_left_is_taken_away_unless_it_holds_data(tmp_path: Path) -> None:
    empty, full = tmp_path / "storage/pvc-1_default_gone", tmp_path / "storage/pvc-2_default_gone"
    for each in (empty, full):
        each.mkdir(parents=True)
    (full / "data").write_text("")
    async with cluster(tmp_path) as storing:
        await storing.claim()
        await storing.pod()
        await storing.reach(PODS, "p", "Running")
        assert not empty.exists()
        assert full.exists()
