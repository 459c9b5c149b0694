"""A kubelet on the real API server with the double of the runtime: what scenarios of pods start from."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apiserver.server import ApiServer
from apiserver.storage.store import Store
from kubelet.config import KubeletConfig
from kubelet.kubelet import Kubelet
from kubelet.podworker import PodWorker
from machinery.api.resource import Object, Resource
from machinery.api.resources import CONFIG_MAPS, EVENTS, NODES, PODS, SERVICE_ACCOUNTS
from machinery.client.cache import Change
from machinery.client.client import Client
from machinery.client.clock import SystemClock
from machinery.linux import cgroup
from machinery.linux.mount import mount_points, unmount
from tests.contract.apiserver_running import running
from tests.fake_runtime import FakeRuntime, serving

DEADLINE = 20.0
IMAGE = "busybox:1"


@dataclass
class World:
    server: ApiServer
    client: Client
    runtime: FakeRuntime
    config: KubeletConfig
    kubelet: Kubelet | None = None

    def workers(self) -> list[PodWorker]:
        """Those of the kubelet that runs."""
        assert self.kubelet is not None
        return self.kubelet.workers()

    async def pod(self, name: str, container: Object | None = None, **spec: Any) -> None:
        main = {"name": "c", "image": IMAGE, "imagePullPolicy": "IfNotPresent", **(container or {})}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 1, "containers": [main], **spec},
        }
        await self.client.create(PODS, body, "default")

    async def patch(self, name: str, patch: Object, subresource: str = "") -> Object:
        return await self.client.patch(PODS, name, patch, "default", subresource=subresource)

    async def _awaited(self, resource: Resource, chosen: Callable[[Change], Object | None]) -> Object:
        """The first object that `chosen` takes from the changes, those that there are already with them."""
        found: asyncio.Future[Object] = asyncio.get_running_loop().create_future()

        def look(change: Change) -> None:
            obj = chosen(change) if not found.done() else None
            if obj is not None:
                found.set_result(obj)

        unsubscribe = self.server.cache.subscribe(resource, look)
        try:
            async with asyncio.timeout(DEADLINE):
                return await found
        finally:
            unsubscribe()

    async def until(self, name: str, holds: Callable[[Object], bool]) -> Object:
        """The pod as soon as `holds` is true of it."""

        def chosen(change: Change) -> Object | None:
            pod = change.after
            return pod if pod is not None and pod["metadata"]["name"] == name and holds(pod) else None

        return await self._awaited(PODS, chosen)

    async def node(self) -> Object:
        """The node, once it is registered."""
        return await self._awaited(NODES, lambda change: change.after)

    async def until_gone(self, name: str) -> Object:
        def chosen(change: Change) -> Object | None:
            is_gone = change.after is None and change.object["metadata"]["name"] == name
            return change.object if is_gone else None

        return await self._awaited(PODS, chosen)

    async def until_told(self, reason: str) -> Object:
        def chosen(change: Change) -> Object | None:
            return change.after if change.after is not None and change.after.get("reason") == reason else None

        return await self._awaited(EVENTS, chosen)

    def events(self, name: str) -> list[Object]:
        """What is told of the pod, in order."""
        events = [e for e in self.server.cache.list(EVENTS, "default") if e["involvedObject"]["name"] == name]
        return sorted(events, key=lambda e: int(e["metadata"]["resourceVersion"]))

    def reasons(self, name: str) -> list[str]:
        return [e["reason"] for e in self.events(name)]


@asynccontextmanager
async def kubelet(world: World) -> AsyncIterator[None]:
    client = world.server.client("system:node:n", ("system:nodes", "system:authenticated"))
    async with asyncio.TaskGroup() as group:
        world.kubelet = Kubelet(world.config, client, world.server.cache, SystemClock())
        task = group.create_task(world.kubelet.run())
        try:
            yield
        finally:
            task.cancel()


@asynccontextmanager
async def cleaned(directory: Path) -> AsyncIterator[str]:
    """A root for cgroups; what a kubelet that was cut off has left there and mounted below the directory goes."""
    root = f"/kubelet-{uuid.uuid4().hex[:8]}"
    try:
        yield root
    finally:
        # A thread that was mounting while the kubelet was cancelled has its way first.
        await asyncio.get_running_loop().shutdown_default_executor()
        for point in reversed(mount_points(directory)):
            unmount(point)
        cgroup.remove(root)


@asynccontextmanager
async def world(
    directory: Path,
    runtime: FakeRuntime,
    store: Store | None = None,
    *,
    manifests_dir: Path | None = None,
    runs: bool = True,
) -> AsyncIterator[World]:
    """The kubelet runs in it, or where `runs` is false the test runs it by `kubelet`."""
    with tempfile.TemporaryDirectory() as short:
        async with (
            serving(runtime, Path(short) / "cri.sock") as endpoint,
            world_on(directory, endpoint, store, manifests_dir=manifests_dir, runs=runs) as found,
        ):
            found.runtime = runtime
            yield found


@asynccontextmanager
async def world_on(
    directory: Path,
    endpoint: str,
    store: Store | None = None,
    *,
    manifests_dir: Path | None = None,
    runs: bool = True,
) -> AsyncIterator[World]:
    """The same over a runtime that serves already."""
    async with cleaned(directory) as cgroup_root, running(directory, store) as server:
        config = KubeletConfig(
            node_name="n",
            node_addresses=lambda: ("192.0.2.1",),
            root_dir=directory / "kubelet",
            pod_logs_dir=directory / "logs",
            runtime_endpoint=endpoint,
            manifests_dir=manifests_dir,
            cgroup_root=cgroup_root,
        )
        made = World(server, server.client("system:admin", ("system:masters",)), FakeRuntime(), config)
        for resource, body in (
            (SERVICE_ACCOUNTS, {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}}),
            (CONFIG_MAPS, config_map("kube-root-ca.crt", {"ca.crt": "CA"})),
        ):
            await made.client.create(resource, body, "default")
        async with kubelet(made) if runs else nullcontext():
            yield made


def config_map(name: str, data: dict[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


def phase_is(phase: str) -> Callable[[Object], bool]:
    return lambda pod: bool(pod["status"].get("phase") == phase)


def waits_for(reason: str) -> Callable[[Object], bool]:
    def holds(pod: Object) -> bool:
        found = pod["status"].get("containerStatuses") or []
        return any(status["state"].get("waiting", {}).get("reason") == reason for status in found)

    return holds
