"""CRI's RuntimeService over sandboxes and containers: messages in, messages out, faults as gRPC codes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from machinery.rpc.wire import CRI
from runtime.config import NAME, VERSION, RuntimeConfig
from runtime.cri.answers import (
    CONTAINER_STATES,
    SANDBOX_STATES,
    chosen,
    container,
    container_status,
    make,
    sandbox,
    sandbox_status,
)
from runtime.cri.events import Events
from runtime.cri.info import container_info, runtime_info, sandbox_info
from runtime.cri.stats import container_stats, sandbox_stats
from runtime.cri.streaming.server import StreamingServer
from runtime.errors import InvalidArgument, NotFound
from runtime.images.service import ImageService
from runtime.network.network import Network
from runtime.sandbox.containers import Containers
from runtime.sandbox.records import ContainerRecord, SandboxRecord
from runtime.sandbox.sandboxes import Sandboxes
from runtime.snapshots.selection import spoken_name

HANDLERS = ("", "runc")
"""The runtime handlers (RuntimeClass) that a sandbox may ask for."""
FEATURES = {"recursive_read_only_mounts": True, "user_namespaces": False}


class RuntimeService:
    """One method an RPC, named as the RPC."""

    def __init__(
        self,
        sandboxes: Sandboxes,
        containers: Containers,
        network: Network,
        events: Events,
        images: ImageService,
        config: RuntimeConfig,
        streaming: StreamingServer,
    ) -> None:
        self._sandboxes = sandboxes
        self._containers = containers
        self._network = network
        self._events = events
        self._images = images
        self._config = config
        self._snapshotter = spoken_name(images.snapshotter)
        self._streaming = streaming

    async def Version(self, request: Any, context: Any) -> Any:  # noqa: N802 - the RPC's name
        return make(
            "VersionResponse",
            version="0.1.0",
            runtime_name=NAME,
            runtime_version=VERSION,
            runtime_api_version="v1",
        )

    async def Status(self, request: Any, context: Any) -> Any:  # noqa: N802
        trouble = await asyncio.to_thread(self._network.trouble)
        network = make("RuntimeCondition", type="NetworkReady", status=not trouble)
        if trouble:
            network.reason, network.message = "NetworkPluginNotReady", trouble
        conditions = [make("RuntimeCondition", type="RuntimeReady", status=True), network]
        return make(
            "StatusResponse",
            status=make("RuntimeStatus", conditions=conditions),
            runtime_handlers=[make("RuntimeHandler", name=each, features=FEATURES) for each in HANDLERS],
            features=make("RuntimeFeatures", supplemental_groups_policy=True),
            info=runtime_info(self._config, self._snapshotter, trouble) if request.verbose else {},
        )

    async def RuntimeConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        cgroupfs = CRI.enum("runtime.v1.CgroupDriver")["CGROUPFS"]
        linux = make("LinuxRuntimeConfiguration", cgroup_driver=cgroupfs)
        return make("RuntimeConfigResponse", linux=linux)

    async def UpdateRuntimeConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        # The addresses of sandboxes are this runtime's own configuration.
        return make("UpdateRuntimeConfigResponse")

    async def RunPodSandbox(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.runtime_handler not in HANDLERS:
            raise InvalidArgument(f'no runtime for "{request.runtime_handler}" is configured')
        sandbox_id = await self._sandboxes.run(request.config, request.runtime_handler)
        record = self._sandboxes.known(sandbox_id)
        self._events.sandbox(record, "started")
        return make("RunPodSandboxResponse", pod_sandbox_id=sandbox_id)

    async def StopPodSandbox(self, request: Any, context: Any) -> Any:  # noqa: N802
        record = self._sandboxes.records.get(request.pod_sandbox_id)
        if record is not None:
            running = self._containers.of_sandbox(record.id)
            await asyncio.gather(*(self._containers.stop(each, 0) for each in running))
            await self._sandboxes.stop(record)
            self._events.sandbox(record, "stopped")
        return make("StopPodSandboxResponse")

    async def RemovePodSandbox(self, request: Any, context: Any) -> Any:  # noqa: N802
        record = self._sandboxes.records.get(request.pod_sandbox_id)
        if record is not None:
            await asyncio.gather(*(self._containers.remove(each) for each in self._containers.of_sandbox(record.id)))
            await self._sandboxes.remove(record)
            self._events.sandbox(record, "deleted")
        return make("RemovePodSandboxResponse")

    async def PodSandboxStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        record = self._sandboxes.known(request.pod_sandbox_id)
        statuses = [container_status(each) for each in self._containers.of_sandbox(record.id)]
        return make(
            "PodSandboxStatusResponse",
            status=sandbox_status(record),
            info=await asyncio.to_thread(self._sandbox_info, record) if request.verbose else {},
            containers_statuses=statuses,
            timestamp=time.time_ns(),
        )

    def _sandbox_info(self, record: SandboxRecord) -> dict[str, str]:
        asked, pid = self._sandboxes.told(record)
        return sandbox_info(record, asked, self._sandboxes.namespace_files(record), pid)

    async def ListPodSandbox(self, request: Any, context: Any) -> Any:  # noqa: N802
        wanted = request.filter
        state = wanted.state.state if wanted.HasField("state") else None
        items = [
            sandbox(record)
            for record in self._sandboxes.records
            if record.state != "creating"
            and record.id.startswith(wanted.id)
            and state in (None, SANDBOX_STATES[record.state])
            and chosen(record.labels, wanted.label_selector)
        ]
        return make("ListPodSandboxResponse", items=items)

    async def CreateContainer(self, request: Any, context: Any) -> Any:  # noqa: N802
        record = self._sandboxes.known(request.pod_sandbox_id)
        container_id = await self._containers.create(record, request.config)
        return make("CreateContainerResponse", container_id=container_id)

    async def StartContainer(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._containers.start(self._containers.known(request.container_id))
        return make("StartContainerResponse")

    async def StopContainer(self, request: Any, context: Any) -> Any:  # noqa: N802
        # CRI: "must not return an error if the container has already been stopped", and one that is gone has been.
        record = self._containers.records.get(request.container_id)
        if record is not None:
            await self._containers.stop(record, request.timeout)
        return make("StopContainerResponse")

    async def RemoveContainer(self, request: Any, context: Any) -> Any:  # noqa: N802
        record = self._containers.records.get(request.container_id)
        if record is not None:
            await self._containers.remove(record)
        return make("RemoveContainerResponse")

    async def ListContainers(self, request: Any, context: Any) -> Any:  # noqa: N802
        wanted = request.filter
        state = wanted.state.state if wanted.HasField("state") else None
        found = [
            container(record)
            for record in self._containers.records
            if record.state != "creating"
            and record.id.startswith(wanted.id)
            and record.sandbox_id.startswith(wanted.pod_sandbox_id)
            and state in (None, CONTAINER_STATES[record.state])
            and chosen(record.labels, wanted.label_selector)
        ]
        return make("ListContainersResponse", containers=found)

    async def ContainerStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        record = self._containers.known(request.container_id)
        info = await asyncio.to_thread(self._container_info, record) if request.verbose else {}
        return make("ContainerStatusResponse", status=container_status(record), info=info)

    def _container_info(self, record: ContainerRecord) -> dict[str, str]:
        return container_info(record, self._config, self._snapshotter, *self._containers.told(record))

    async def UpdateContainerResources(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._containers.update(self._containers.known(request.container_id), request.linux)
        return make("UpdateContainerResourcesResponse")

    async def UpdatePodSandboxResources(self, request: Any, context: Any) -> Any:  # noqa: N802
        # The limits of a pod are its cgroup's, which the kubelet sets; nothing of the runtime depends on them.
        self._sandboxes.known(request.pod_sandbox_id)
        return make("UpdatePodSandboxResourcesResponse")

    async def ReopenContainerLog(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._containers.reopen_log(self._containers.known(request.container_id))
        return make("ReopenContainerLogResponse")

    async def ExecSync(self, request: Any, context: Any) -> Any:  # noqa: N802
        record = self._containers.known(request.container_id)
        done = await self._containers.execute(record, list(request.cmd), request.timeout)
        return make("ExecSyncResponse", stdout=done.stdout, stderr=done.stderr, exit_code=done.status)

    async def Exec(self, request: Any, context: Any) -> Any:  # noqa: N802
        return make("ExecResponse", url=self._streaming.exec(request))

    async def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802
        return make("AttachResponse", url=self._streaming.attach(request))

    async def PortForward(self, request: Any, context: Any) -> Any:  # noqa: N802
        return make("PortForwardResponse", url=self._streaming.port_forward(request))

    async def ContainerStats(self, request: Any, context: Any) -> Any:  # noqa: N802
        return make("ContainerStatsResponse", stats=await self._stats(self._containers.known(request.container_id)))

    async def ListContainerStats(self, request: Any, context: Any) -> Any:  # noqa: N802
        wanted = request.filter
        records = [
            record
            for record in self._containers.records
            if record.state == "running"
            and record.id.startswith(wanted.id)
            and record.sandbox_id.startswith(wanted.pod_sandbox_id)
            and chosen(record.labels, wanted.label_selector)
        ]
        return make("ListContainerStatsResponse", stats=[await self._stats(record) for record in records])

    async def PodSandboxStats(self, request: Any, context: Any) -> Any:  # noqa: N802
        record = self._sandboxes.known(request.pod_sandbox_id)
        return make("PodSandboxStatsResponse", stats=await self._sandbox_stats(record))

    async def ListPodSandboxStats(self, request: Any, context: Any) -> Any:  # noqa: N802
        wanted = request.filter
        records = [
            record
            for record in self._sandboxes.records
            if record.state == "ready"
            and record.id.startswith(wanted.id)
            and chosen(record.labels, wanted.label_selector)
        ]
        return make("ListPodSandboxStatsResponse", stats=[await self._sandbox_stats(record) for record in records])

    async def _stats(self, record: ContainerRecord) -> Any:
        try:
            written = await self._images.rootfs_usage(record.id)
        except NotFound:
            # It is being removed.
            written = (0, 0)
        return await asyncio.to_thread(container_stats, record, written, str(self._config.root))

    async def _sandbox_stats(self, record: SandboxRecord) -> Any:
        inside = [await self._stats(each) for each in self._containers.of_sandbox(record.id) if each.state == "running"]
        link = "" if record.on_host_network else self._network.link(record.id)
        return await asyncio.to_thread(sandbox_stats, record, inside, link)

    async def GetContainerEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        with self._events.subscribed() as queue:
            # Tells the client that it misses nothing from now on, which it would hear with the first event only.
            await context.send_initial_metadata(())
            while True:
                yield await queue.get()
