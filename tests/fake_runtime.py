"""The double of the runtime: CRI on a unix socket, no processes. Containers run until a test ends them.

Verified by what the kubelet relies on alone: states, events, images, exit codes. `runs` decides what a command does.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio

from machinery.rpc.wire import CRI

EXITED, RUNNING, CREATED = 2, 1, 0


def make(name: str, /, **values: Any) -> Any:
    return CRI.message(f"runtime.v1.{name}")(**values)


@dataclass
class Outcome:
    """What a container does: exits at once with a code, fails to start with words, or (both None) runs on."""

    exit_code: int | None = None
    start_error: str | None = None


@dataclass
class FakeRuntime:
    """`images` are present, `registry` can be pulled; `runs(config)` decides on each container."""

    images: set[str] = field(default_factory=set)
    registry: set[str] = field(default_factory=set)
    password: str = ""
    """What the registry wants to see, where it wants anything."""
    runs: Callable[[Any], Outcome] = lambda config: Outcome()
    sandboxes: dict[str, Any] = field(default_factory=dict)
    containers: dict[str, Any] = field(default_factory=dict)
    configs: dict[str, Any] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    exec_code: int = 0
    tells_containers: bool = False
    """With their sandbox, as the embedded runtime does and containerd doesn't."""
    address: str = ""
    """Of every sandbox; empty: one each."""
    update_error: str = ""
    reopen_error: str = ""
    memory: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    stream_url: str = ""
    """What serves the streams of exec, attach and port-forward."""

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._listeners: set[asyncio.Queue[Any]] = set()

    def end(self, container_id: str, code: int) -> None:
        """The container's process ends by itself."""
        status = self.containers[container_id]
        if status.state == RUNNING:
            status.state, status.exit_code, status.finished_at = EXITED, code, time.time_ns()
            status.reason = "Completed" if code == 0 else "Error"
            self._tell(container_id)

    def named(self, name: str) -> list[Any]:
        """The statuses of the containers of that name, in the order of their making."""
        return [status for status in self.containers.values() if status.metadata.name == name]

    def _tell(self, container_id: str) -> None:
        sandbox = self.sandboxes.get(self.owners[container_id])
        if sandbox is not None:
            event = make("ContainerEventResponse", container_id=container_id, pod_sandbox_status=sandbox)
            for queue in self._listeners:
                queue.put_nowait(event)

    async def Version(self, request: Any, context: Any) -> Any:  # noqa: N802 - the RPC's name
        return make("VersionResponse", version="0.1.0", runtime_name="fake", runtime_version="1")

    async def Status(self, request: Any, context: Any) -> Any:  # noqa: N802
        conditions = [{"type": "RuntimeReady", "status": True}, {"type": "NetworkReady", "status": True}]
        return make("StatusResponse", status={"conditions": conditions})

    async def RunPodSandbox(self, request: Any, context: Any) -> Any:  # noqa: N802
        number = next(self._numbers)
        if request.runtime_handler:
            self.calls.append(f"run by {request.runtime_handler}")
        sandbox_id, config = f"s{number:064d}", request.config
        self.sandboxes[sandbox_id] = make(
            "PodSandboxStatus",
            id=sandbox_id,
            metadata=config.metadata,
            created_at=time.time_ns(),
            network={"ip": self.address or f"10.0.0.{number}"},
            labels=dict(config.labels),
        )
        self.configs[sandbox_id] = config
        return make("RunPodSandboxResponse", pod_sandbox_id=sandbox_id)

    async def StopPodSandbox(self, request: Any, context: Any) -> Any:  # noqa: N802
        for container_id, owner in self.owners.items():
            if owner == request.pod_sandbox_id and container_id in self.containers:
                self.end(container_id, 137)
        if request.pod_sandbox_id in self.sandboxes:
            self.sandboxes[request.pod_sandbox_id].state = 1
        return make("StopPodSandboxResponse")

    async def RemovePodSandbox(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.sandboxes.pop(request.pod_sandbox_id, None)
        for container_id, owner in self.owners.items():
            if owner == request.pod_sandbox_id:
                self.containers.pop(container_id, None)
        return make("RemovePodSandboxResponse")

    async def PodSandboxStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.pod_sandbox_id not in self.sandboxes:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such sandbox")
        inside = [c for c in self.containers.values() if self.owners[c.id] == request.pod_sandbox_id]
        return make(
            "PodSandboxStatusResponse",
            status=self.sandboxes[request.pod_sandbox_id],
            containers_statuses=inside if self.tells_containers else [],
        )

    async def ListPodSandbox(self, request: Any, context: Any) -> Any:  # noqa: N802
        items = [
            make("PodSandbox", id=s.id, metadata=s.metadata, state=s.state, labels=dict(s.labels))
            for s in self.sandboxes.values()
            if request.filter.label_selector.items() <= dict(s.labels).items()
        ]
        return make("ListPodSandboxResponse", items=items)

    async def CreateContainer(self, request: Any, context: Any) -> Any:  # noqa: N802
        container_id, config = f"c{next(self._numbers):064d}", request.config
        self.containers[container_id] = make(
            "ContainerStatus",
            id=container_id,
            metadata=config.metadata,
            state=CREATED,
            created_at=time.time_ns(),
            image={"image": config.image.user_specified_image},
            image_ref=config.image.image,
            labels=dict(config.labels),
            annotations=dict(config.annotations),
            log_path=f"{request.sandbox_config.log_directory}/{config.log_path}",
        )
        self.configs[container_id] = config
        self.owners[container_id] = request.pod_sandbox_id
        return make("CreateContainerResponse", container_id=container_id)

    async def StartContainer(self, request: Any, context: Any) -> Any:  # noqa: N802
        container_id = request.container_id
        status, outcome = self.containers[container_id], self.runs(self.configs[container_id])
        if outcome.start_error is not None:
            status.state, status.exit_code, status.reason = EXITED, 128, "StartError"
            status.message, status.finished_at = outcome.start_error, time.time_ns()
            await context.abort(grpc.StatusCode.UNKNOWN, outcome.start_error)
        status.state, status.started_at = RUNNING, time.time_ns()
        self._tell(container_id)
        if outcome.exit_code is not None:
            self.end(container_id, outcome.exit_code)
        return make("StartContainerResponse")

    async def StopContainer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.calls.append(f"stop {self.containers[request.container_id].metadata.name} {request.timeout}")
        self.end(request.container_id, 0)
        return make("StopContainerResponse")

    async def RemoveContainer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.containers.pop(request.container_id, None)
        return make("RemoveContainerResponse")

    async def UpdateContainerResources(self, request: Any, context: Any) -> Any:  # noqa: N802
        if self.update_error:
            await context.abort(grpc.StatusCode.UNKNOWN, self.update_error)
        name = self.containers[request.container_id].metadata.name
        self.calls.append(f"update {name} {request.linux.cpu_shares} {request.linux.memory_limit_in_bytes}")
        return make("UpdateContainerResourcesResponse")

    async def ListContainers(self, request: Any, context: Any) -> Any:  # noqa: N802
        items = [
            make("Container", id=c.id, pod_sandbox_id=self.owners[c.id], metadata=c.metadata, state=c.state, labels=dict(c.labels))  # noqa: E501
            for c in self.containers.values()
            if request.filter.label_selector.items() <= dict(c.labels).items()
            and (not request.filter.HasField("state") or request.filter.state.state == c.state)
        ]  # fmt: skip
        return make("ListContainersResponse", containers=items)

    async def ContainerStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.container_id not in self.containers:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such container")
        return make("ContainerStatusResponse", status=self.containers[request.container_id])

    async def ExecSync(self, request: Any, context: Any) -> Any:  # noqa: N802
        return make("ExecSyncResponse", stdout=b"said\n", exit_code=self.exec_code)

    async def Exec(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.calls.append(f"exec {_streams(request)} {' '.join(request.cmd)}")
        return make("ExecResponse", url=self.stream_url)

    async def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.calls.append(f"attach {_streams(request)}")
        return make("AttachResponse", url=self.stream_url)

    async def PortForward(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.calls.append(f"forward {list(request.port)}")
        return make("PortForwardResponse", url=self.stream_url)

    async def GetContainerEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)

    async def ReopenContainerLog(self, request: Any, context: Any) -> Any:  # noqa: N802
        if self.reopen_error:
            await context.abort(grpc.StatusCode.UNKNOWN, self.reopen_error)
        await asyncio.to_thread(Path(self.containers[request.container_id].log_path).touch)
        return make("ReopenContainerLogResponse")

    async def ListContainerStats(self, request: Any, context: Any) -> Any:  # noqa: N802
        stats = [
            make(
                "ContainerStats",
                attributes={"id": c.id, "metadata": c.metadata, "labels": dict(c.labels)},
                memory={"working_set_bytes": {"value": self.memory.get(c.metadata.name, 0)}},
            )
            for c in self.containers.values()
            if c.state == RUNNING
        ]
        return make("ListContainerStatsResponse", stats=stats)

    async def ImageFsInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return make("ImageFsInfoResponse", image_filesystems=[{"fs_id": {"mountpoint": "/nowhere"}}])

    async def ListImages(self, request: Any, context: Any) -> Any:  # noqa: N802
        return make(
            "ListImagesResponse",
            images=[{"id": f"sha256:{n}", "repo_tags": [n], "size": 7} for n in sorted(self.images)],
        )

    async def ImageStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        name = request.image.image
        if name not in self.images:
            return make("ImageStatusResponse")
        return make("ImageStatusResponse", image={"id": f"sha256:{name}", "repo_tags": [name], "size": 7})

    async def PullImage(self, request: Any, context: Any) -> Any:  # noqa: N802
        name = request.image.image
        if name not in self.registry:
            await context.abort(grpc.StatusCode.NOT_FOUND, f'failed to pull and unpack image "{name}": not found')
        if request.auth.password != self.password:
            await context.abort(grpc.StatusCode.UNKNOWN, f'failed to pull and unpack image "{name}": unauthorized')
        self.images.add(name)
        return make("PullImageResponse", image_ref=name)


def _streams(request: Any) -> str:
    return ",".join(name for name in ("stdin", "stdout", "stderr", "tty") if getattr(request, name))


@asynccontextmanager
async def serving(runtime: FakeRuntime, socket: Path) -> AsyncIterator[str]:
    """The endpoint at which `runtime` answers."""
    server = grpc.aio.server()
    for service in ("RuntimeService", "ImageService"):
        server.add_generic_rpc_handlers((CRI.handler(f"runtime.v1.{service}", runtime),))
    server.add_insecure_port(f"unix://{socket}")
    await server.start()
    try:
        yield f"unix://{socket}"
    finally:
        await server.stop(0)
