"""CRI's messages as the kubelet's values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

from kubelet import podstate
from kubelet.podstate import ContainerPhase, ContainerState, SandboxState
from machinery.rpc.wire import CRI
from machinery.structs import Struct


class RuntimeVersion(Struct, frozen=True):
    name: str
    version: str


class RuntimeHandler(Struct, frozen=True):
    """One way in which the runtime runs containers, and what it can do; the empty name is the usual one."""

    name: str
    recursive_read_only_mounts: bool = False
    user_namespaces: bool = False


class RuntimeStatus(Struct, frozen=True):
    """`not_ready` says why the runtime can't run pods yet; nothing where it can."""

    not_ready: tuple[str, ...] = ()
    handlers: tuple[RuntimeHandler, ...] = ()
    supplemental_groups_policy: bool = False


class Image(Struct, frozen=True):
    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size: int
    uid: int | None
    username: str
    pinned: bool


class ExecResult(Struct, frozen=True):
    stdout: bytes
    stderr: bytes
    exit_code: int


class ContainerStats(Struct, frozen=True):
    """What a running container uses: bytes of memory that can't be taken back, bytes of its writable layer.

    `cpu` are the nanoseconds of all cores since it began, as they were at `cpu_at` (nanoseconds of Unix time).
    """

    name: str
    working_set: int
    written: int
    pod: str = ""
    namespace: str = ""
    cpu: int = 0
    cpu_at: int = 0
    memory: int = 0
    rss: int = 0


def container_stats(answer: Any) -> dict[str, list[ContainerStats]]:
    """Pod uid -> what its running containers use."""
    found: dict[str, list[ContainerStats]] = {}
    for each in answer.stats:
        labels, memory = each.attributes.labels, each.memory
        usage = ContainerStats(
            labels.get(podstate.CONTAINER_NAME, each.attributes.metadata.name),
            int(memory.working_set_bytes.value),
            int(each.writable_layer.used_bytes.value),
            labels.get(podstate.POD_NAME, ""),
            labels.get(podstate.POD_NAMESPACE, ""),
            int(each.cpu.usage_core_nano_seconds.value),
            int(each.cpu.timestamp),
            int(memory.usage_bytes.value),
            int(memory.rss_bytes.value),
        )
        found.setdefault(labels.get(podstate.POD_UID, ""), []).append(usage)
    return found


class Streams(Protocol):
    """The standard streams that a client uses."""

    @property
    def stdin(self) -> bool: ...
    @property
    def stdout(self) -> bool: ...
    @property
    def stderr(self) -> bool: ...
    @property
    def tty(self) -> bool: ...


def runtime_status(answer: Any) -> RuntimeStatus:
    wanted = [c for c in answer.status.conditions if c.type in ("RuntimeReady", "NetworkReady") and not c.status]
    handlers = tuple(
        RuntimeHandler(each.name, each.features.recursive_read_only_mounts, each.features.user_namespaces)
        for each in answer.runtime_handlers
    )
    return RuntimeStatus(
        tuple(f"{c.type}=false reason:{c.reason} message:{c.message}" for c in wanted),
        handlers,
        bool(answer.features.supplemental_groups_policy),
    )


def sandbox_state(status: Any) -> SandboxState:
    ips = (status.network.ip, *(other.ip for other in status.network.additional_ips))
    return SandboxState(
        id=status.id,
        is_ready=CRI.enum_name("runtime.v1.PodSandboxState", status.state) == "SANDBOX_READY",
        attempt=status.metadata.attempt,
        created_at=status.created_at,
        ips=tuple(ip for ip in ips if ip),
        on_host_network=status.linux.namespaces.options.network == CRI.enum("runtime.v1.NamespaceMode")["NODE"],
    )


def container_state(status: Any, sandbox_id: str) -> ContainerState:
    annotations = dict(status.annotations)
    return ContainerState(
        id=status.id,
        name=status.labels.get(podstate.CONTAINER_NAME, status.metadata.name),
        sandbox_id=sandbox_id,
        phase=ContainerPhase(CRI.enum_name("runtime.v1.ContainerState", status.state)),
        attempt=int(annotations.get(podstate.RESTART_COUNT, status.metadata.attempt)),
        created_at=status.created_at,
        started_at=_time(status.started_at),
        finished_at=_time(status.finished_at),
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        image=status.image.image,
        image_id=status.image_ref or status.image_id,
        hash=annotations.get(podstate.CONTAINER_HASH, ""),
        log_path=status.log_path,
        annotations=annotations,
    )


def image_of(image: Any) -> Image:
    return Image(
        id=image.id,
        tags=tuple(image.repo_tags),
        digests=tuple(image.repo_digests),
        size=image.size,
        uid=image.uid.value if image.HasField("uid") else None,
        username=image.username,
        pinned=image.pinned,
    )


def _time(nanoseconds: int) -> datetime | None:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC) if nanoseconds else None
