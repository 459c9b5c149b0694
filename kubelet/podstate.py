"""What the runtime tells about one pod, as values: the input of all decisions. Knows no CRI message and no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from machinery.structs import Struct

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
CONTAINER_HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
GRACE_PERIOD = "io.kubernetes.pod.terminationGracePeriod"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"


class ContainerPhase(StrEnum):
    CREATED = "CONTAINER_CREATED"
    RUNNING = "CONTAINER_RUNNING"
    EXITED = "CONTAINER_EXITED"
    UNKNOWN = "CONTAINER_UNKNOWN"


class SandboxState(Struct, frozen=True):
    id: str
    is_ready: bool
    attempt: int
    created_at: int
    ips: tuple[str, ...] = ()
    on_host_network: bool = False


@dataclass(frozen=True)
class ContainerState:
    """`message` is complete: the termination log's text is already in it."""

    id: str
    name: str
    sandbox_id: str
    phase: ContainerPhase
    attempt: int = 0
    created_at: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""
    hash: str = ""
    log_path: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_running(self) -> bool:
        return self.phase is ContainerPhase.RUNNING

    @property
    def has_ended(self) -> bool:
        return self.phase in (ContainerPhase.EXITED, ContainerPhase.UNKNOWN)

    @property
    def has_succeeded(self) -> bool:
        return self.phase is ContainerPhase.EXITED and self.exit_code == 0


class PodState(Struct, frozen=True):
    """Sandboxes and containers of one pod, the newest first."""

    uid: str
    name: str = ""
    namespace: str = ""
    sandboxes: tuple[SandboxState, ...] = ()
    containers: tuple[ContainerState, ...] = ()

    @property
    def sandbox(self) -> SandboxState | None:
        """The ready sandbox."""
        return next((found for found in self.sandboxes if found.is_ready), None)

    @property
    def is_empty(self) -> bool:
        return not self.sandboxes and not self.containers

    @property
    def running(self) -> tuple[ContainerState, ...]:
        return tuple(found for found in self.containers if found.is_running)

    def newest(self, name: str) -> ContainerState | None:
        return next((found for found in self.containers if found.name == name), None)

    def history(self, name: str) -> tuple[ContainerState, ...]:
        return tuple(found for found in self.containers if found.name == name)

    def in_sandbox(self, name: str) -> ContainerState | None:
        """The newest container of that name in the ready sandbox: those of an older one are history."""
        sandbox = self.sandbox
        if sandbox is None:
            return None
        return next((c for c in self.containers if c.name == name and c.sandbox_id == sandbox.id), None)
