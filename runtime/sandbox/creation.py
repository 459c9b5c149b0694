"""What a container is to be, as CRI asks for it and its image says: its record, devices, whose processes it sees."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any, Protocol

from machinery.linux.boot import boot_id
from machinery.rpc.wire import CRI
from runtime.errors import FailedPrecondition, NotFound
from runtime.sandbox.bundle import told_mount, told_resources
from runtime.sandbox.host import devices, devices_asked
from runtime.sandbox.records import ContainerRecord, Records, SandboxRecord
from runtime.sandbox.spec import Device

_TARGET = 3


class Image(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def config(self) -> Any: ...
    @property
    def repo_digests(self) -> Any: ...


class Images(Protocol):
    """What containers need of images."""

    def get(self, ref_or_id: str) -> Image | None: ...
    async def prepare_rootfs(self, container_id: str, image_id: str) -> Path: ...
    async def remove_rootfs(self, container_id: str) -> None: ...


def new_record(sandbox: SandboxRecord, config: Any, image: Image) -> ContainerRecord:
    """The record of a container that is not made yet, under an id of its own; `config` is CRI's ContainerConfig."""
    container_id = uuid.uuid4().hex + uuid.uuid4().hex
    return ContainerRecord(
        id=container_id,
        sandbox_id=sandbox.id,
        name=config.metadata.name,
        attempt=config.metadata.attempt,
        created_at=time.time_ns(),
        boot_id=boot_id(),
        image=config.image.user_specified_image or config.image.image,
        image_ref=next(iter(image.repo_digests), image.id),
        image_id=image.id,
        log_path=str(Path(sandbox.log_directory, config.log_path)) if config.log_path else "",
        stop_signal=_stop_signal(config, image),
        cgroup_path=f"{sandbox.cgroup_parent.rstrip('/')}/{container_id}",
        tty=config.tty,
        stdin=config.stdin,
        stdin_once=config.stdin_once,
        labels=dict(config.labels),
        annotations=dict(config.annotations),
        mounts=[told_mount(entry) for entry in config.mounts],
        resources=told_resources(config.linux.resources),
    )


def _stop_signal(config: Any, image: Image) -> str:
    if config.stop_signal:
        name = CRI.enum_name("runtime.v1.Signal", config.stop_signal)
        return name.replace("PLUS", "+").replace("MINUS", "-")
    return str((image.config.get("config") or {}).get("StopSignal") or "TERM")


def target_pid(records: Records[ContainerRecord], sandbox: SandboxRecord, options: Any) -> int:
    """Whose PID namespace the container enters, 0 for nobody's; raises NotFound, FailedPrecondition."""
    if options.pid != _TARGET:
        return 0
    about = f'invalid target container: container "{options.target_id}"'
    target = records.get(options.target_id)
    if target is None:
        raise NotFound(f"{about} does not exist")
    if target.sandbox_id != sandbox.id:
        raise FailedPrecondition(f"{about} (sandbox {target.sandbox_id}) does not belong to sandbox {sandbox.id}")
    if target.state != "running":
        # Its pid may be another process's by now.
        raise FailedPrecondition(f"{about} is not running - in state CONTAINER_{target.state.upper()}")
    return target.pid


def wanted_devices(config: Any) -> list[Device]:
    """Those of the host that the container has; all of them where it is privileged."""
    asked = [
        device
        for entry in config.devices
        for device in devices_asked(Path(entry.host_path), entry.container_path, entry.permissions)
    ]
    return [*devices(), *asked] if config.linux.security_context.privileged else asked


def images_mounted(config: Any) -> list[Any]:
    """CRI's mounts whose source is an image."""
    return [entry for entry in config.mounts if entry.image.image]


def image_volumes(record: ContainerRecord) -> list[str]:
    """The names of the root filesystems that are the container's volumes; they begin with its id."""
    count = sum("image" in entry for entry in record.mounts)
    return [f"{record.id}-{number}" for number in range(count)]
