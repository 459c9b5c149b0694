"""What tests of client libraries start from: a running cluster, kubeconfigs, a pod's files, a node that tells logs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from aiohttp import web

from machinery.api.resource import Object
from machinery.api.resources import CLUSTER_ROLE_BINDINGS, NODES, PODS, SERVICE_ACCOUNTS
from tests.clients.playing import Stage, kubeconfig, stage

LINES = b"first\nsecond\nthird\n"
DEADLINE = 60.0
P, R = ParamSpec("P"), TypeVar("R")


@dataclass
class World:
    """`kubeconfig` is an administrator's file, `account` a folder as a pod finds its ServiceAccount's in."""

    staged: Stage
    kubeconfig: Path
    account: Path

    @property
    def environment(self) -> dict[str, str]:
        """Where a pod is told to find the API."""
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.staged.server.port)}

    async def eventually(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not holds():
                await self.staged.server.cache.wait_for(self.staged.server.cache.revision + 1)

    async def speaking_pod(self, name: str) -> None:
        """A running pod whose log is LINES."""
        server = self.staged.server
        await self.eventually(lambda: server.cache.get(SERVICE_ACCOUNTS, "default", "default"))
        spec = {"nodeName": "speaking", "containers": [{"name": "c", "image": "i"}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}
        await self.staged.client.create(PODS, pod, "default")
        await self.eventually(lambda: _phase(server.cache.get(PODS, "default", name)) == "Running")


async def in_thread(use: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """For clients that block: the server runs in this loop."""
    async with asyncio.timeout(DEADLINE):
        return await asyncio.to_thread(use, *args, **kwargs)


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    async with stage(directory) as staged, speaking_node(staged):
        path = directory / "kubeconfig"
        path.write_text(kubeconfig(staged.server))
        yield World(staged, path, await _account(staged, directory / "account"))


@asynccontextmanager
async def speaking_node(staged: Stage) -> AsyncIterator[None]:
    """A node whose pods all say LINES; the last line of a followed log comes late."""

    async def logs(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        tail = int(request.query.get("tailLines", "3"))
        await answer.write(b"".join(LINES.splitlines(keepends=True)[-tail:]))
        return answer

    app = web.Application()
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", logs)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=staged.server.pki.ssl_context_server()).start()
        port = runner.addresses[0][1]
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        }
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "speaking"}, "status": status}
        await staged.client.create(NODES, node)
        yield
    finally:
        await runner.cleanup()


async def _account(staged: Stage, directory: Path) -> Path:
    """The files of an account that may view everything."""
    directory.mkdir()
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "viewer", "namespace": "default"}}
    await staged.client.create(SERVICE_ACCOUNTS, account, "default")
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "viewer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": "default"}],
    }
    await staged.client.create(CLUSTER_ROLE_BINDINGS, binding)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    made = await staged.client.create(SERVICE_ACCOUNTS, request, "default", name="viewer", subresource="token")
    (directory / "token").write_text(made["status"]["token"])
    (directory / "ca.crt").write_bytes(staged.server.pki.ca_pem)
    (directory / "namespace").write_text("default")
    return directory


def _phase(pod: Object | None) -> str:
    return str(((pod or {}).get("status") or {}).get("phase", ""))
