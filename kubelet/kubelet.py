"""The kubelet: a worker for each pod of this node, woken by the API's changes and the runtime's events.

It sees the runtime through CRI alone. What the runtime holds of pods that are no longer in the API is ended.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from kubelet import node_status, podspec
from kubelet.config import KubeletConfig
from kubelet.context import Context, host_resolver, memory_capacity
from kubelet.cri import Cri, RuntimeFailure
from kubelet.images import ImagePuller
from kubelet.sandboxconfig import log_directory
from kubelet.server import KubeletServer
from kubelet.tokens import Tokens
from kubelet.worker import PodWorker
from machinery.api.resource import Object
from machinery.api.resources import PODS
from machinery.client.cache import Cache, Change
from machinery.client.client import Client
from machinery.client.clock import Clock
from machinery.client.recorder import EventRecorder
from machinery.contain import contain

LOG = logging.getLogger("kubelet")
RELIST = 30.0
RETRY = 0.2


class Kubelet:
    """Runs the pods that are bound to `config.node_name`."""

    def __init__(self, config: KubeletConfig, client: Client, cache: Cache, clock: Clock) -> None:
        self._config = config
        self._client = client
        self._cache = cache
        self._clock = clock
        self._workers: dict[str, PodWorker] = {}
        self._arrivals: asyncio.Queue[PodWorker] = asyncio.Queue()
        self._context: Context | None = None

    async def run(self) -> None:
        """Registers the node and runs its pods until cancelled; containers are left running."""
        config = self._config
        async with Cri(config.runtime_endpoint) as cri:
            version = await self._runtime_answers(cri)
            self._context = Context(
                config=config,
                cri=cri,
                client=self._client,
                cache=self._cache,
                clock=self._clock,
                recorder=EventRecorder(self._client, "kubelet", config.node_name, self._clock),
                puller=ImagePuller(cri, self._cache, self._clock),
                tokens=Tokens(self._client, self._clock),
                resolver=host_resolver(),
                runtime_name=version[0],
                memory_capacity=memory_capacity(),
            )
            server = KubeletServer(config, self.pods, self._log_path)
            await server.start()
            try:
                async with asyncio.TaskGroup() as group:
                    self._cache.subscribe(PODS, self._on_pod)
                    group.create_task(self._employ(group))
                    group.create_task(self._follow_runtime(cri))
                    group.create_task(self._relist(cri))
                    group.create_task(
                        node_status.run(config, self._client, self._cache, self._clock, f"{version[0]}://{version[1]}")
                    )
            finally:
                await server.stop()

    async def _runtime_answers(self, cri: Cri) -> tuple[str, str]:
        """(name, version) of the runtime, once it is ready for pods."""
        while True:
            try:
                version = await cri.version()
                lacking = await cri.not_ready()
                if not lacking:
                    return version.name, version.version
                LOG.info("the runtime is not ready yet: %s", "; ".join(lacking))
            except RuntimeFailure as failure:
                LOG.info("the runtime does not answer yet: %s", failure)
            await self._clock.sleep(RETRY)

    def pods(self) -> list[Object]:
        """The pods of this node as its workers know them."""
        return [worker.pod for worker in self._workers.values()]

    def _on_pod(self, change: Change) -> None:
        pod = change.object
        if pod["spec"].get("nodeName") != self._config.node_name:
            return
        worker = self._workers.get(podspec.uid(pod))
        if change.after is None:
            if worker is not None and not worker.is_over:
                # Gone from the API at once (grace 0): what runs is ended all the same.
                worker.wake(_as_deleted(pod))
            return
        if worker is None:
            worker = self._workers[podspec.uid(pod)] = PodWorker(self._known, pod)
            self._arrivals.put_nowait(worker)
        else:
            worker.wake(pod)

    @property
    def _known(self) -> Context:
        assert self._context is not None, "run comes first"
        return self._context

    async def _employ(self, group: asyncio.TaskGroup) -> None:
        while True:
            group.create_task(self._work(await self._arrivals.get()))

    async def _work(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        finally:
            self._workers.pop(worker.uid, None)

    async def _follow_runtime(self, cri: Cri) -> None:
        """Wakes the worker of every pod in which the runtime saw something change."""
        while True:
            try:
                async for uid in cri.events():
                    if (worker := self._workers.get(uid)) is not None:
                        worker.wake()
            except RuntimeFailure as failure:
                LOG.warning("the runtime's events broke off: %s", failure)
            for worker in self._workers.values():
                worker.wake()
            await self._clock.sleep(RETRY)

    async def _relist(self, cri: Cri) -> None:
        """Looks at all pods now and then: events can be lost, and pods be deleted while nobody looked."""
        before: dict[str, tuple[object, ...]] = {}
        while True:
            with contain("relist"):
                now = await cri.pod_uids()
                for uid, states in now.items():
                    worker = self._workers.get(uid)
                    if worker is None:
                        await self._end_orphan(cri, uid)
                    elif before.get(uid) not in (None, states):
                        worker.wake()
                before = now
            await self._clock.sleep(RELIST)

    async def _end_orphan(self, cri: Cri, uid: str) -> None:
        """Ends what the runtime holds of a pod that the API no longer has."""
        state = await cri.pod(uid)
        if self._cache.get(PODS, state.namespace, state.name) is not None and uid in self._workers:
            return
        LOG.info("ending %s/%s, which is no longer in the API", state.namespace, state.name)
        metadata = {"name": state.name, "namespace": state.namespace, "uid": uid}
        ghost = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}, "status": {}}
        worker = self._workers[uid] = PodWorker(self._known, _as_deleted(ghost))
        self._arrivals.put_nowait(worker)

    def _log_path(self, namespace: str, name: str, container: str, previous: bool) -> Path | None:  # noqa: FBT001
        """The log file of the container's newest run, or of the one before; None where there is none."""
        for worker in self._workers.values():
            pod = worker.pod
            if (podspec.namespace(pod), podspec.name(pod)) != (namespace, name):
                continue
            folder = log_directory(pod, self._config) / container
            runs = sorted((path for path in folder.glob("*.log")), key=lambda path: int(path.stem), reverse=True)
            index = 1 if previous else 0
            return runs[index] if index < len(runs) else None
        return None


def _as_deleted(pod: Object) -> Object:
    metadata = {"deletionTimestamp": "1970-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30, **pod["metadata"]}
    return {**pod, "metadata": metadata}
