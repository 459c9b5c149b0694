"""The runtime as the kubelet uses it: values in, values out, gRPC inside. The one file that knows CRI's messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kubelet import podstate
from kubelet.cri_values import (
    ContainerStats,
    ExecResult,
    Image,
    RuntimeStatus,
    RuntimeVersion,
    Streams,
    container_state,
    container_stats,
    image_of,
    runtime_status,
    sandbox_state,
)
from kubelet.podstate import ContainerState, PodState, SandboxState
from machinery.rpc.wire import CRI

_CALL_SECONDS = 120.0
_PULL_SECONDS = 3600.0
_RPC_CODES = {
    "CANCELLED": "Canceled",
    "UNKNOWN": "Unknown",
    "INVALID_ARGUMENT": "InvalidArgument",
    "DEADLINE_EXCEEDED": "DeadlineExceeded",
    "NOT_FOUND": "NotFound",
    "ALREADY_EXISTS": "AlreadyExists",
    "PERMISSION_DENIED": "PermissionDenied",
    "RESOURCE_EXHAUSTED": "ResourceExhausted",
    "FAILED_PRECONDITION": "FailedPrecondition",
    "ABORTED": "Aborted",
    "UNIMPLEMENTED": "Unimplemented",
    "INTERNAL": "Internal",
    "UNAVAILABLE": "Unavailable",
    "UNAUTHENTICATED": "Unauthenticated",
}


class RuntimeFailure(Exception):
    """A CRI call that failed; `str()` is the runtime's own text, `rpc_text` adds the code as kubectl shows it."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code

    @property
    def rpc_text(self) -> str:
        return f"rpc error: code = {self.code} desc = {self}"


class Cri:
    """One channel to the runtime's socket. Use as an async context manager."""

    def __init__(self, endpoint: str) -> None:
        import grpc.aio

        # Every kubelet of a test run has a socket of its own; a shared subchannel would outlive the socket.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20)]
        self._channel = grpc.aio.insecure_channel(endpoint, options=options)
        self._runtime = CRI.stub(self._channel, "runtime.v1.RuntimeService")
        self._images = CRI.stub(self._channel, "runtime.v1.ImageService")

    async def __aenter__(self) -> Cri:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def version(self) -> RuntimeVersion:
        answer = await self._call(self._runtime.Version, "VersionRequest", {"version": "v1"})
        return RuntimeVersion(answer.runtime_name, answer.runtime_version)

    async def status(self) -> RuntimeStatus:
        return runtime_status(await self._call(self._runtime.Status, "StatusRequest", {}))

    async def pod_uids(self) -> dict[str, tuple[object, ...]]:
        """Every pod that the runtime knows, with a fingerprint that changes when its pod must be looked at."""
        sandboxes = await self._call(self._runtime.ListPodSandbox, "ListPodSandboxRequest", {})
        containers = await self._call(self._runtime.ListContainers, "ListContainersRequest", {})
        found: dict[str, list[object]] = {}
        for item in (*sandboxes.items, *containers.containers):
            uid = item.labels.get(podstate.POD_UID, "")
            if uid:
                found.setdefault(uid, []).append((item.id, int(item.state)))
        return {uid: tuple(sorted(states, key=str)) for uid, states in found.items()}

    async def pod(self, uid: str, known: Sequence[str] | None = None) -> PodState:
        """All that the runtime holds of one pod, or of these of its sandboxes; what vanishes meanwhile is left out."""
        if known is None:
            selector = {"label_selector": {podstate.POD_UID: uid}}
            listed = await self._call(self._runtime.ListPodSandbox, "ListPodSandboxRequest", {"filter": selector})
            known = [item.id for item in listed.items]
        found = [await self._sandbox(sandbox_id) for sandbox_id in known]
        boxes = [each for each in found if each is not None]
        containers = [container for _, _, inside in boxes for container in inside]
        if not containers:
            containers = await self._containers(uid)
        name, namespace = next((named for _, named, _ in boxes), ("", ""))
        return PodState(
            uid=uid,
            name=name,
            namespace=namespace,
            sandboxes=tuple(
                sorted((box for box, _, _ in boxes), key=lambda box: (box.attempt, box.created_at), reverse=True)
            ),
            containers=tuple(sorted(containers, key=lambda c: (c.created_at, c.attempt), reverse=True)),
        )

    async def _sandbox(self, sandbox_id: str) -> tuple[SandboxState, tuple[str, str], list[ContainerState]] | None:
        """The sandbox, its pod's name and namespace, and its containers where the runtime tells them along."""
        try:
            answer = await self._call(
                self._runtime.PodSandboxStatus, "PodSandboxStatusRequest", {"pod_sandbox_id": sandbox_id}
            )
        except RuntimeFailure as failure:
            if failure.code == "NotFound":
                return None
            raise
        inside = [container_state(each, sandbox_id) for each in answer.containers_statuses]
        metadata = answer.status.metadata
        return sandbox_state(answer.status), (metadata.name, metadata.namespace), inside

    async def _containers(self, uid: str) -> list[ContainerState]:
        """A pod's containers, one by one: runtimes need not tell them with the sandbox."""
        selector = {"label_selector": {podstate.POD_UID: uid}}
        listed = await self._call(self._runtime.ListContainers, "ListContainersRequest", {"filter": selector})
        found = [await self._container(item.id, item.pod_sandbox_id) for item in listed.containers]
        return [state for state in found if state is not None]

    async def _container(self, container_id: str, sandbox_id: str) -> ContainerState | None:
        try:
            answer = await self._call(
                self._runtime.ContainerStatus, "ContainerStatusRequest", {"container_id": container_id}
            )
        except RuntimeFailure as failure:
            if failure.code == "NotFound":
                return None
            raise
        return container_state(answer.status, sandbox_id)

    async def run_sandbox(self, config: Mapping[str, Any], handler: str = "") -> str:
        body = {"config": config, "runtime_handler": handler}
        answer = await self._call(self._runtime.RunPodSandbox, "RunPodSandboxRequest", body)
        return str(answer.pod_sandbox_id)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._call(self._runtime.StopPodSandbox, "StopPodSandboxRequest", {"pod_sandbox_id": sandbox_id})

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._call(self._runtime.RemovePodSandbox, "RemovePodSandboxRequest", {"pod_sandbox_id": sandbox_id})

    async def create_container(
        self, sandbox_id: str, config: Mapping[str, Any], sandbox_config: Mapping[str, Any]
    ) -> str:
        body = {"pod_sandbox_id": sandbox_id, "config": config, "sandbox_config": sandbox_config}
        answer = await self._call(self._runtime.CreateContainer, "CreateContainerRequest", body)
        return str(answer.container_id)

    async def start_container(self, container_id: str) -> None:
        await self._call(self._runtime.StartContainer, "StartContainerRequest", {"container_id": container_id})

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        """Returns when it has ended; one that is gone already is fine."""
        body = {"container_id": container_id, "timeout": grace_seconds}
        try:
            await self._call(
                self._runtime.StopContainer, "StopContainerRequest", body, seconds=grace_seconds + _CALL_SECONDS
            )
        except RuntimeFailure as failure:
            if failure.code != "NotFound":
                raise

    async def remove_container(self, container_id: str) -> None:
        await self._call(self._runtime.RemoveContainer, "RemoveContainerRequest", {"container_id": container_id})

    async def update_container(self, container_id: str, resources: Mapping[str, Any]) -> None:
        """Changes the limits of a running container."""
        body = {"container_id": container_id, "linux": resources}
        await self._call(self._runtime.UpdateContainerResources, "UpdateContainerResourcesRequest", body)

    async def reopen_log(self, container_id: str) -> None:
        await self._call(self._runtime.ReopenContainerLog, "ReopenContainerLogRequest", {"container_id": container_id})

    async def exec_sync(self, container_id: str, command: Sequence[str], seconds: int) -> ExecResult:
        body = {"container_id": container_id, "cmd": list(command), "timeout": seconds}
        answer = await self._call(self._runtime.ExecSync, "ExecSyncRequest", body, seconds=seconds + 10)
        return ExecResult(answer.stdout, answer.stderr, answer.exit_code)

    async def container_stats(self) -> dict[str, list[ContainerStats]]:
        """Pod uid -> what its running containers use."""
        answer = await self._call(self._runtime.ListContainerStats, "ListContainerStatsRequest", {})
        return container_stats(answer)

    async def used_images(self) -> set[str]:
        """What containers, running or not, name as their images: ids, or digests where the runtime tells those."""
        answer = await self._call(self._runtime.ListContainers, "ListContainersRequest", {})
        return {str(each.image_id or each.image_ref) for each in answer.containers}

    async def remove_image(self, image: str) -> None:
        """The image is gone under all its names; one that is gone already is fine."""
        await self._call(self._images.RemoveImage, "RemoveImageRequest", {"image": {"image": image}})

    async def image_folder(self) -> Path | None:
        """Where the runtime keeps images; None where that is not on this machine."""
        answer = await self._call(self._images.ImageFsInfo, "ImageFsInfoRequest", {})
        folders = [Path(each.fs_id.mountpoint) for each in answer.image_filesystems]
        return next((folder for folder in folders if folder.exists()), None)

    async def running_container(self, uid: str, name: str) -> str | None:
        """The id of the pod's newest running container of that name."""
        selector = {"label_selector": {podstate.POD_UID: uid, podstate.CONTAINER_NAME: name}}
        running = {"state": CRI.enum("runtime.v1.ContainerState")["CONTAINER_RUNNING"]}
        body = {"filter": {**selector, "state": running}}
        listed = await self._call(self._runtime.ListContainers, "ListContainersRequest", body)
        found = max(listed.containers, key=lambda each: each.created_at, default=None)
        return None if found is None else str(found.id)

    async def ready_sandbox(self, uid: str) -> str | None:
        """The id of the pod's newest sandbox that is up."""
        ready = {"state": CRI.enum("runtime.v1.PodSandboxState")["SANDBOX_READY"]}
        body = {"filter": {"label_selector": {podstate.POD_UID: uid}, "state": ready}}
        listed = await self._call(self._runtime.ListPodSandbox, "ListPodSandboxRequest", body)
        found = max(listed.items, key=lambda each: each.created_at, default=None)
        return None if found is None else str(found.id)

    async def exec(self, container_id: str, command: Sequence[str], streams: Streams) -> str:
        """The URL of the runtime that serves the command's streams."""
        body = {"container_id": container_id, "cmd": list(command), "tty": streams.tty, **_streams(streams)}
        return str((await self._call(self._runtime.Exec, "ExecRequest", body)).url)

    async def attach(self, container_id: str, streams: Streams, *, tty: bool) -> str:
        """The URL of the runtime that serves the container's own streams; a terminal has no stderr."""
        body = {"container_id": container_id, "tty": tty, **_streams(streams)}
        if tty:
            body["stderr"] = False
        return str((await self._call(self._runtime.Attach, "AttachRequest", body)).url)

    async def port_forward(self, sandbox_id: str, ports: Sequence[int]) -> str:
        """The URL of the runtime that serves the sandbox's ports."""
        body = {"pod_sandbox_id": sandbox_id, "port": list(ports)}
        return str((await self._call(self._runtime.PortForward, "PortForwardRequest", body)).url)

    async def image(self, image: str) -> Image | None:
        answer = await self._call(self._images.ImageStatus, "ImageStatusRequest", {"image": {"image": image}})
        return image_of(answer.image) if answer.HasField("image") and answer.image.id else None

    async def images(self) -> list[Image]:
        answer = await self._call(self._images.ListImages, "ListImagesRequest", {})
        return [image_of(image) for image in answer.images]

    async def pull(self, image: str, auth: Mapping[str, str] | None, sandbox_config: Mapping[str, Any]) -> str:
        """The image's reference by digest or id."""
        body: dict[str, Any] = {"image": {"image": image}, "sandbox_config": sandbox_config}
        if auth:
            body["auth"] = auth
        answer = await self._call(self._images.PullImage, "PullImageRequest", body, seconds=_PULL_SECONDS)
        return str(answer.image_ref)

    async def events(self) -> AsyncIterator[str]:
        """The uid of a pod whenever something in it has changed; raises RuntimeFailure where the stream breaks."""
        import grpc

        stream = self._runtime.GetContainerEvents(CRI.message("runtime.v1.GetEventsRequest")())
        try:
            async for event in stream:
                uid = event.pod_sandbox_status.metadata.uid or next(
                    (status.labels.get(podstate.POD_UID, "") for status in event.containers_statuses), ""
                )
                yield str(uid)
        except grpc.aio.AioRpcError as error:
            raise rpc_failure(error) from error
        finally:
            stream.cancel()

    async def _call(self, method: Any, message: str, body: Mapping[str, Any], *, seconds: float = _CALL_SECONDS) -> Any:
        import grpc

        request = CRI.message(f"runtime.v1.{message}")(**body)
        try:
            return await method(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise rpc_failure(error) from error


def _streams(streams: Streams) -> dict[str, bool]:
    return {"stdin": streams.stdin, "stdout": streams.stdout, "stderr": streams.stderr}


def rpc_failure(error: Any) -> RuntimeFailure:
    """What a gRPC call raised, in the words of Go's clients."""
    return RuntimeFailure(_RPC_CODES.get(error.code().name, "Unknown"), error.details() or "")
