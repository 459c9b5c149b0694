"""Containers of sandboxes: created as a record and a root filesystem, started by conmon and runc, ended, removed.

An end is told by conmon's exit file. After a start of this process running containers are adopted: pid and start time
say whether they live, exit files how they ended meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from machinery.linux import cgroup
from machinery.linux.boot import boot_id, start_time
from machinery.linux.child import Output
from runtime.config import RuntimeConfig
from runtime.errors import FailedPrecondition, NotFound, RuntimeFault, Unknown
from runtime.sandbox.conmon import Conmon
from runtime.sandbox.exits import ExitWatch
from runtime.sandbox.host import this_host
from runtime.sandbox.records import ContainerRecord, Records, SandboxRecord
from runtime.sandbox.sandboxes import Sandboxes
from runtime.sandbox.spec import Surroundings, container_spec
from runtime.sandbox.users import identity

LOG = logging.getLogger("containers")
KILL_SECONDS = 10.0
_TARGET = 3


class Image(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def config(self) -> Any: ...


class Images(Protocol):
    """What containers need of images."""

    def get(self, ref_or_id: str) -> Image | None: ...
    async def prepare_rootfs(self, container_id: str, image_id: str) -> Path: ...
    async def remove_rootfs(self, container_id: str) -> None: ...


class Containers:
    """All containers of an instance; `on_change` is told each record that was created, started, stopped or deleted."""

    def __init__(
        self,
        config: RuntimeConfig,
        sandboxes: Sandboxes,
        images: Images,
        on_change: Callable[[ContainerRecord, str], None],
    ) -> None:
        self._config = config
        self._sandboxes = sandboxes
        self._images = images
        self._on_change = on_change
        self._conmon = Conmon(config)
        self.records: Records[ContainerRecord] = Records(config.containers, ContainerRecord)
        self._ended: dict[str, asyncio.Event] = {}
        self._exits: asyncio.Queue[str] = asyncio.Queue()
        self._watch: ExitWatch | None = None
        self._settling: dict[str, asyncio.Lock] = {}

    def known(self, container_id: str) -> ContainerRecord:
        found = self.records.get(container_id)
        if found is None:
            raise NotFound(f'an error occurred when try to find container "{container_id}": not found')
        return found

    def of_sandbox(self, sandbox_id: str) -> list[ContainerRecord]:
        return [record for record in self.records if record.sandbox_id == sandbox_id]

    async def create(self, sandbox: SandboxRecord, config: Any) -> str:
        """A created container's id: its record, root filesystem and bundle are there, no process yet."""
        if sandbox.state != "ready":
            raise FailedPrecondition(f'sandbox "{sandbox.id}" is not running')
        image = self._images.get(config.image.image)
        if image is None:
            raise NotFound(f'failed to resolve image "{config.image.image}": not found')
        container_id = uuid.uuid4().hex + uuid.uuid4().hex
        record = ContainerRecord(
            id=container_id,
            sandbox_id=sandbox.id,
            name=config.metadata.name,
            attempt=config.metadata.attempt,
            created_at=time.time_ns(),
            boot_id=boot_id(),
            image=config.image.user_specified_image or config.image.image,
            image_ref=_reference(image),
            log_path=str(Path(sandbox.log_directory, config.log_path)) if config.log_path else "",
            stop_signal=str((image.config.get("config") or {}).get("StopSignal") or "TERM"),
            cgroup_path=f"{sandbox.cgroup_parent.rstrip('/')}/{container_id}",
            tty=config.tty,
            stdin=config.stdin,
            labels=dict(config.labels),
            annotations=dict(config.annotations),
            mounts=[_told(entry) for entry in config.mounts],
        )
        await asyncio.to_thread(self.records.write, record)
        try:
            rootfs = await self._images.prepare_rootfs(container_id, image.id)
            await asyncio.to_thread(self._write_bundle, record, sandbox, config, image, rootfs)
        except (RuntimeFault, OSError):
            await self._clear(record)
            await asyncio.to_thread(self.records.remove, container_id)
            raise
        self._on_change(record, "created")
        return container_id

    def _write_bundle(
        self, record: ContainerRecord, sandbox: SandboxRecord, config: Any, image: Image, rootfs: Path
    ) -> None:
        settings = image.config.get("config") or {}
        options = config.linux.security_context.namespace_options
        target = self.records.get(options.target_id) if options.pid == _TARGET else None
        around = Surroundings(
            self._sandboxes.namespace_files(sandbox),
            record.cgroup_path,
            self._sandboxes.files(sandbox),
            target.pid if target else 0,
        )
        user = identity(rootfs, _user(config.linux.security_context, settings))
        spec = container_spec(config, settings, rootfs, user, around, this_host())
        spec["process"]["user"]["additionalGids"] += list(config.linux.security_context.supplemental_groups)
        bundle = self._bundle(record.id)
        bundle.mkdir(parents=True, exist_ok=True)
        (bundle / "config.json").write_text(json.dumps(spec))
        working = rootfs / spec["process"]["cwd"].lstrip("/")
        if not working.exists():
            working.mkdir(parents=True)
        if record.log_path:
            Path(record.log_path).parent.mkdir(parents=True, exist_ok=True)

    def _bundle(self, container_id: str) -> Path:
        return self._config.bundles / container_id

    async def start(self, record: ContainerRecord) -> None:
        """Runs the container's process; raises Unknown in runc's words, and the record then tells StartError."""
        if record.state != "created":
            raise FailedPrecondition(f"container {record.id!r} is in {record.state} state")
        log = Path(record.log_path or "/dev/null")
        try:
            pid = await self._conmon.create(record.id, self._bundle(record.id), log, tty=record.tty, stdin=record.stdin)
            record.pid, record.pid_start = pid, start_time(pid)
            await asyncio.to_thread(self.records.write, record)
            await self._conmon.start(record.id)
        except Unknown as error:
            await self._conmon.delete(record.id)
            record.state, record.exit_code, record.reason = "exited", 128, "StartError"
            record.message, record.finished_at = str(error), time.time_ns()
            await asyncio.to_thread(self.records.write, record)
            self._on_change(record, "stopped")
            raise
        record.state, record.started_at = "running", time.time_ns()
        await asyncio.to_thread(self.records.write, record)
        self._on_change(record, "started")
        if self._conmon.exit_file(record.id).exists():
            # It ended before it was known to run; its file was told to nobody.
            self._exits.put_nowait(record.id)

    async def stop(self, record: ContainerRecord, grace_seconds: int) -> None:
        """Returns when the container has ended: by its stop signal within the grace, by KILL after it."""
        if record.state == "created":
            record.state, record.exit_code, record.reason = "exited", 0, ""
            record.finished_at = time.time_ns()
            await asyncio.to_thread(self.records.write, record)
            return
        if record.state != "running":
            return
        ended = self._event(record.id)
        if grace_seconds > 0:
            await self._conmon.kill(record.id, record.stop_signal)
            if await _within(ended, grace_seconds):
                return
        await self._conmon.kill(record.id, "KILL", everyone=True)
        if not await _within(ended, KILL_SECONDS):
            raise Unknown(f"an error occurs during waiting for container {record.id!r} to be killed")

    def _event(self, container_id: str) -> asyncio.Event:
        return self._ended.setdefault(container_id, asyncio.Event())

    async def run(self) -> None:
        """Settles containers as they end; runs until cancelled."""
        self._watch = ExitWatch(self._config.exits, self._exits.put_nowait)
        try:
            async with asyncio.TaskGroup() as group:
                for record in self.records:
                    if record.state == "running" and self._conmon.exit_file(record.id).exists():
                        self._exits.put_nowait(record.id)
                while True:
                    group.create_task(self.settle(await self._exits.get()))
        finally:
            self._watch.close()

    async def settle(self, container_id: str) -> None:
        """Notes how a container ended, from its exit file; nothing where it is settled already."""
        record = self.records.get(container_id)
        if record is None or record.state != "running":
            return
        async with self._settling.setdefault(container_id, asyncio.Lock()):
            if record.state != "running":
                return
            code, at = await asyncio.to_thread(self._read_exit, container_id)
            await self._finish(record, code, at)

    def _read_exit(self, container_id: str) -> tuple[int, int]:
        path = self._conmon.exit_file(container_id)
        try:
            return int(path.read_text().strip() or 0), path.stat().st_mtime_ns
        except FileNotFoundError:
            return 137, time.time_ns()

    async def _finish(self, record: ContainerRecord, code: int, at: int, reason: str = "") -> None:
        out_of_memory = await asyncio.to_thread(self._was_out_of_memory, record)
        await self._conmon.delete(record.id)
        record.state, record.exit_code, record.finished_at = "exited", code, max(at, record.started_at)
        record.reason = reason or ("OOMKilled" if out_of_memory else "Completed" if code == 0 else "Error")
        await asyncio.to_thread(self.records.write, record)
        self._event(record.id).set()
        self._on_change(record, "stopped")

    def _was_out_of_memory(self, record: ContainerRecord) -> bool:
        return (self._bundle(record.id) / "oom").exists() or cgroup.oom_kills(record.cgroup_path) > 0

    async def remove(self, record: ContainerRecord) -> None:
        """Ends it at once if it runs, and removes all that it has; its log stays."""
        if record.state == "running":
            await self.stop(record, 0)
        await self._clear(record)
        await asyncio.to_thread(self.records.remove, record.id)
        self._ended.pop(record.id, None)
        self._settling.pop(record.id, None)
        self._on_change(record, "deleted")

    async def _clear(self, record: ContainerRecord) -> None:
        await self._conmon.delete(record.id)
        await self._images.remove_rootfs(record.id)

        def clear() -> None:
            cgroup.remove(record.cgroup_path)
            self._conmon.exit_file(record.id).unlink(missing_ok=True)
            # conmon links its sockets' folder to the bundle.
            (self._config.sockets / record.id).unlink(missing_ok=True)
            shutil.rmtree(self._bundle(record.id), ignore_errors=True)

        await asyncio.to_thread(clear)

    async def execute(self, record: ContainerRecord, command: list[str], seconds: int) -> Output:
        if record.state != "running":
            raise FailedPrecondition(f"container is in CONTAINER_{record.state.upper()} state")
        return await self._conmon.execute(record.id, command, seconds)

    async def reopen_log(self, record: ContainerRecord) -> None:
        """Asks conmon to open the log's path anew, after it was renamed (its control file says 2)."""
        control = self._bundle(record.id) / "ctl"
        if record.state != "running" or not control.exists():
            raise FailedPrecondition("container is not running")
        await asyncio.to_thread(control.write_text, "2 0 0\n")

    async def adopt(self) -> None:
        """After a start: says of each container what became of it meanwhile; none is restarted."""
        now = boot_id()
        for record in self.records:
            sandbox = self._sandboxes.records.get(record.sandbox_id)
            if sandbox is None:
                await self.remove(record)
                continue
            if record.state == "created" and record.pid:
                # Killed between create and start: whether it runs is the kernel's to say.
                record.state, record.started_at = "running", record.started_at or record.created_at
            if record.state != "running":
                continue
            if self._conmon.exit_file(record.id).exists():
                await self.settle(record.id)
            elif record.boot_id != now or start_time(record.pid) != record.pid_start or not record.pid:
                LOG.warning("container %s ended and nobody saw how", record.id)
                await self._finish(record, 137, time.time_ns(), "ContainerStatusUnknown")


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _reference(image: Any) -> str:
    digests = list(image.repo_digests)
    return digests[0] if digests else str(image.id)


def _user(security: Any, settings: Any) -> str:
    """`user:group` as asked for, the image's own where nothing is."""
    user = security.run_as_username or (str(security.run_as_user.value) if security.HasField("run_as_user") else "")
    if not user:
        user = str(settings.get("User") or "")
    if security.HasField("run_as_group"):
        user = f"{user.partition(':')[0]}:{security.run_as_group.value}"
    return user


def _told(mount: Any) -> dict[str, Any]:
    return {
        "container_path": mount.container_path,
        "host_path": mount.host_path,
        "readonly": mount.readonly,
        "propagation": mount.propagation,
    }
