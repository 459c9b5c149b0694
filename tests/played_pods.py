"""Pods whose node is played by hand: bound, running, unready, ended and gone as a test says, one move at a time."""

from __future__ import annotations

from apiserver.server import ApiServer
from machinery.api.resource import Object
from machinery.api.resources import PODS
from machinery.api.views import Pod
from machinery.client.client import Client, PatchType

SINCE = "2026-01-01T00:00:00Z"


class PlayedPods:
    """The pods of one namespace."""

    def __init__(self, server: ApiServer, client: Client, namespace: str) -> None:
        self._server = server
        self._client = client
        self._namespace = namespace

    def all(self) -> list[Pod]:
        return sorted(map(Pod, self._server.cache.list(PODS, self._namespace)), key=lambda pod: pod.name)

    async def bind(self, pod: Pod, node: str) -> None:
        binding = {"metadata": {"name": pod.name}, "target": {"kind": "Node", "name": node}}
        await self._client.create(PODS, binding, self._namespace, name=pod.name, subresource="binding")

    async def run(self, pod: Pod, *, ready: bool = True) -> None:
        ready_now = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": SINCE}
        await self._write(pod, {"phase": "Running", "conditions": [ready_now]})

    async def end(self, pod: Pod, phase: str = "Failed") -> None:
        unready = {"type": "Ready", "status": "False", "lastTransitionTime": SINCE}
        await self._write(pod, {"phase": phase, "conditions": [unready]})

    async def remove(self, pod: Pod) -> None:
        """As a kubelet once all containers of a pod that is being deleted are gone."""
        await self._client.delete(PODS, pod.name, self._namespace, uid=pod.uid, grace_period_seconds=0)

    async def play(self) -> None:
        """Removes what is being deleted, lets all that has not ended run and be ready."""
        for pod in self.all():
            if pod.deleted:
                await self.remove(pod)
            elif not pod.is_finished and not (pod.phase == "Running" and pod.is_ready):
                await self.run(pod)

    async def _write(self, pod: Pod, status: Object) -> None:
        await self._client.patch(
            PODS,
            pod.name,
            {"status": status},
            self._namespace,
            patch_type=PatchType.STRATEGIC,
            subresource="status",
        )
