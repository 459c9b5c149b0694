"""A cluster whose node is played: the real API server, controllers and scheduler, and pods that run at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from apiserver.server import ApiServer
from controllers.certificates import certificate_controllers
from controllers.runner import run as run_controllers
from controllers.runner import run_each
from machinery.api.errors import StatusError
from machinery.api.resource import Object
from machinery.api.resources import NODES, PODS
from machinery.api.views import Pod
from machinery.client.cache import Cache, Change
from machinery.client.client import Client, PatchType
from machinery.client.clock import SystemClock
from machinery.signing import signed
from machinery.usage import NodeUsage, PodUsage, Usage, Usages
from scheduler.loop import run as run_scheduler
from tests.contract.apiserver_running import running

NEVER = "example.com/never"
"""An image that no node can pull: its pods stay Pending."""
NODE = {
    "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10000"},
    "capacity": {"cpu": "4", "memory": "8Gi", "pods": "10000"},
    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
}


class PlayedNodes:
    """Mark pods that are bound to them Running and Ready, and finish their deletion, as kubelets would."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._changed: asyncio.Queue[Object] = asyncio.Queue()
        server.cache.subscribe(PODS, self._on_pod)

    def _on_pod(self, change: Change) -> None:
        if change.after is not None and change.after["spec"].get("nodeName"):
            self._changed.put_nowait(change.after)

    async def run(self) -> None:
        client = self._server.client("system:admin", ("system:masters",))
        await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": NODE})
        while True:
            pod = await self._changed.get()
            try:
                await self._play(client, pod)
            except StatusError as error:
                # A test may be quicker than its node, and delete the pod at once.
                if error.code not in (404, 409):
                    raise

    async def _play(self, client: Client, pod: Object) -> None:
        metadata = pod["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        if metadata.get("deletionTimestamp"):
            await client.delete(PODS, name, namespace, uid=metadata["uid"], grace_period_seconds=0)
        elif pod["status"].get("phase") == "Pending" and not _is_stuck(pod):
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            patch = {"status": {"phase": "Running", "conditions": [ready]}}
            await client.patch(PODS, name, patch, namespace, patch_type=PatchType.STRATEGIC, subresource="status")


class PlayedUsage:
    """Every container of a running pod uses 5 thousandths of a core and 10 MiB, a node a tenth of a core and a GiB."""

    def __init__(self) -> None:
        self._cache: Cache | None = None

    def follow(self, cache: Cache) -> None:
        self._cache = cache

    async def usages(self) -> Usages:
        return self.latest

    @property
    def latest(self) -> Usages:
        if self._cache is None:
            return Usages()
        now, window = datetime.now(UTC), timedelta(seconds=15)
        each, whole = Usage(5_000_000, 10 << 20), Usage(100_000_000, 1 << 30)
        running = [pod for pod in map(Pod, self._cache.list(PODS)) if pod.phase == "Running"]
        return Usages(
            {node["metadata"]["name"]: NodeUsage(now, window, whole) for node in self._cache.list(NODES)},
            {
                (pod.namespace, pod.name): PodUsage(now, window, {c["name"]: each for c in pod.containers})
                for pod in running
            },
        )


def _is_stuck(pod: Object) -> bool:
    return any(container["image"].startswith(NEVER) for container in pod["spec"]["containers"])


@asynccontextmanager
async def played_cluster(directory: Path) -> AsyncIterator[tuple[ApiServer, Client]]:
    """The API server and an administrator's client, as long as the block lasts."""
    usage = PlayedUsage()
    async with running(directory, usage=usage) as server, asyncio.TaskGroup() as group:
        usage.follow(server.cache)
        certificates = certificate_controllers(partial(signed, server.pki.authority), server.may_request_certificate)
        tasks = [
            group.create_task(run_each(certificates, server.controller_client, server.cache, SystemClock())),
            group.create_task(
                run_controllers(server.controller_client, server.cache, SystemClock(), root_ca="CERTIFICATE")
            ),
            group.create_task(run_scheduler(server.client("system:kube-scheduler"), server.cache, SystemClock())),
            group.create_task(PlayedNodes(server).run()),
        ]
        yield server, server.client("system:admin", ("system:masters",))
        for task in tasks:
            task.cancel()
