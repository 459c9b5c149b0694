"""Containers of sandboxes: created as a record and a root filesystem, started by conmon and runc, ended, removed.

An end is told by conmon's exit file. After a start of this process running containers are adopted: pid and start time
say whether they live, exit files how they ended meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machinery.contain import contain
from machinery.linux import cgroup, child
from machinery.linux.boot import boot_id, start_time
from machinery.linux.child import Output
from machinery.linux.durable import remove_folder
from machinery.linux.rooted import path_within
from runtime.config import RuntimeConfig
from runtime.errors import FailedPrecondition, NotFound, RuntimeFault, Unknown
from runtime.sandbox.attachment import Attachment
from runtime.sandbox.bundle import ASKED, Bundle, amend_bundle, resources_message, told_resources, write_bundle
from runtime.sandbox.conmon import Conmon
from runtime.sandbox.creation import (
    Image,
    Images,
    image_volumes,
    images_mounted,
    new_record,
    target_pid,
    wanted_devices,
)
from runtime.sandbox.declared_volumes import declared_volumes
from runtime.sandbox.execution import Execution, Wanted, open_execution
from runtime.sandbox.exits import ExitWatch
from runtime.sandbox.host import this_host
from runtime.sandbox.records import ContainerRecord, Records, SandboxRecord, read_json
from runtime.sandbox.sandboxes import Sandboxes, hostname
from runtime.sandbox.spec import Surroundings, resources

LOG = logging.getLogger("containers")
KILL_SECONDS = 10.0
UNSEEN = "ContainerStatusUnknown"


class Containers:
    """All containers of an instance; `on_change` is told each record that was created, started, stopped or deleted."""

    def __init__(
        self,
        config: RuntimeConfig,
        sandboxes: Sandboxes,
        images: Images,
        on_change: Callable[[ContainerRecord, str], None],
        group: asyncio.TaskGroup,
    ) -> None:
        self._config = config
        self._sandboxes = sandboxes
        self._images = images
        self._on_change = on_change
        self._group = group
        self._conmon = Conmon(config)
        self.records: Records[ContainerRecord] = Records(config.containers, ContainerRecord)
        self._ended: dict[str, asyncio.Event] = {}
        self._exits: asyncio.Queue[str] = asyncio.Queue()
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
        record = new_record(sandbox, config, image)
        container_id = record.id
        await asyncio.to_thread(self.records.write, record)
        try:
            rootfs = await self._images.prepare_rootfs(container_id, image.id)
            await self._mount_images(record, config)
            await asyncio.to_thread(self._write_bundle, record, sandbox, config, image, rootfs)
        except (RuntimeFault, OSError):
            await self._clear(record)
            await asyncio.to_thread(self.records.remove, container_id)
            raise
        self._on_change(record, "created")
        return container_id

    async def _mount_images(self, record: ContainerRecord, config: Any) -> None:
        """Unpacks the images that are mounted as volumes; each becomes a folder of this host, and is only read."""
        for name, entry in zip(image_volumes(record), images_mounted(config), strict=True):
            folder = await self._images.prepare_rootfs(name, entry.image.image)
            entry.host_path = str(await asyncio.to_thread(path_within, folder, entry.image_sub_path))
            entry.readonly = True

    def _write_bundle(
        self, record: ContainerRecord, sandbox: SandboxRecord, config: Any, image: Image, rootfs: Path
    ) -> None:
        settings = image.config.get("config") or {}
        around = Surroundings(
            self._sandboxes.namespace_files(sandbox),
            record.cgroup_path,
            {**declared_volumes(config, settings, rootfs), **self._sandboxes.files(sandbox)},
            target_pid(self.records, sandbox, config.linux.security_context.namespace_options),
            wanted_devices(config),
            hostname(sandbox),
        )
        write_bundle(self._bundle(record.id), Bundle(config, settings, rootfs, around), record)
        record.state = "created"
        self.records.note(record)

    def told(self, record: ContainerRecord) -> tuple[Any, Any]:
        """What CRI asked for and the OCI specification made of it; each empty where a reboot took it. Blocks."""
        bundle = self._bundle(record.id)
        return read_json(bundle / ASKED), read_json(bundle / "config.json")

    def _bundle(self, container_id: str) -> Path:
        return self._config.bundles / container_id

    async def start(self, record: ContainerRecord) -> None:
        """Runs the container's process; raises Unknown in runc's words, and the record then tells StartError."""
        if record.state != "created":
            raise FailedPrecondition(f"container {record.id!r} is in {record.state} state")
        log = Path(record.log_path or "/dev/null")
        try:
            pid = await self._conmon.create(
                record.id,
                self._bundle(record.id),
                log,
                tty=record.tty,
                stdin=record.stdin,
                stdin_once=record.stdin_once,
            )
            record.pid, record.pid_start = pid, start_time(pid)
            record.conmon_pid = await asyncio.to_thread(self._conmon.own_pid, record.id)
            record.conmon_start = start_time(record.conmon_pid)
            await asyncio.to_thread(self.records.note, record)
            await self._conmon.start(record.id, pid)
        except (Unknown, OSError) as error:
            await self._forget_processes(record)
            record.state, record.exit_code, record.reason = "exited", 128, "StartError"
            record.message, record.finished_at = str(error), time.time_ns()
            await asyncio.to_thread(self.records.try_note, record)
            self._on_change(record, "stopped")
            raise
        record.state, record.started_at = "running", time.time_ns()
        await asyncio.to_thread(self.records.try_note, record)
        self._on_change(record, "started")
        self._follow(record)

    def _follow(self, record: ContainerRecord) -> None:
        """Sees to it that the end of a running container is noticed, also one that came before this."""
        if self._conmon.exit_file(record.id).exists():
            self._exits.put_nowait(record.id)
        self._group.create_task(self._outlive_conmon(record))

    async def _outlive_conmon(self, record: ContainerRecord) -> None:
        """conmon writes how the container ended before it ends; one that did not takes the container with it."""
        if start_time(record.conmon_pid) == record.conmon_start:
            await child.ended(record.conmon_pid)
        if record.state == "running" and not self._conmon.exit_file(record.id).exists():
            LOG.error("conmon of container %s is gone: how the container ends can't be known", record.id)
            await self._conmon.kill(record.id, "KILL", everyone=True)
        await self.settle(record.id)

    async def stop(self, record: ContainerRecord, grace_seconds: int) -> None:
        """Returns when the container has ended: by its stop signal within the grace, by KILL after it."""
        if record.state == "created":
            record.state, record.exit_code, record.reason = "exited", 0, ""
            record.finished_at = time.time_ns()
            await asyncio.to_thread(self.records.try_note, record)
            return
        if record.state != "running":
            return
        ended = self._event(record.id)
        if grace_seconds > 0:
            await self._conmon.stop(record.id, record.pid, record.stop_signal)
            if await _within(ended, grace_seconds):
                return
        await self._conmon.kill(record.id, "KILL", everyone=True)
        if not await _within(ended, KILL_SECONDS):
            raise Unknown(f"an error occurs during waiting for container {record.id!r} to be killed")

    async def signal(self, record: ContainerRecord, number: int, *, everyone: bool = False) -> None:
        """Sends a signal to the first process, or to all; raises FailedPrecondition, Unknown in runc's words."""
        await self._tell(record, "kill", *(["--all"] if everyone else []), record.id, str(number))

    async def pause(self, record: ContainerRecord) -> None:
        """The container's processes stand still until `resume`; a stop ends them all the same."""
        await self._tell(record, "pause", record.id)

    async def resume(self, record: ContainerRecord) -> None:
        await self._tell(record, "resume", record.id)

    async def _tell(self, record: ContainerRecord, *command: str) -> None:
        if record.state != "running":
            raise FailedPrecondition(f"container {record.id!r} is in {record.state} state")
        done = await self._conmon.runc(*command)
        if done.status:
            raise Unknown(done.stderr.decode(errors="replace").strip())

    def _event(self, container_id: str) -> asyncio.Event:
        return self._ended.setdefault(container_id, asyncio.Event())

    async def run(self) -> None:
        """Settles containers as they end; runs until cancelled."""
        watch = ExitWatch(self._config.exits, self._exits.put_nowait)
        try:
            for record in self.records:
                if record.state == "running":
                    self._follow(record)
            while True:
                self._group.create_task(self.settle(await self._exits.get()))
        finally:
            watch.close()

    async def settle(self, container_id: str) -> None:
        """Notes how a container ended, from its exit file; nothing where it is settled already."""
        record = self.records.get(container_id)
        if record is None or record.state != "running":
            return
        with contain(f"end of container {container_id}"):
            async with self._settling.setdefault(container_id, asyncio.Lock()):
                await self._settle(record)

    async def _settle(self, record: ContainerRecord) -> None:
        if record.state == "running":
            code, at, reason = await asyncio.to_thread(self._read_exit, record.id)
            if reason == UNSEEN:
                record.message = await asyncio.to_thread(self._why_unseen, record.id)
            await self._finish(record, code, at, reason)

    def _why_unseen(self, container_id: str) -> str:
        words = self._conmon.last_words(container_id)
        return f"conmon, which watched the container, ended before it{f': {words}' if words else ''}"

    def _read_exit(self, container_id: str) -> tuple[int, int, str]:
        path = self._conmon.exit_file(container_id)
        try:
            return int(path.read_text().strip() or 0), path.stat().st_mtime_ns, ""
        except FileNotFoundError:
            return 137, time.time_ns(), UNSEEN

    async def _finish(self, record: ContainerRecord, code: int, at: int, reason: str = "") -> None:
        out_of_memory = await asyncio.to_thread(self._was_out_of_memory, record)
        await self._forget_processes(record)
        record.state, record.exit_code, record.finished_at = "exited", code, max(at, record.started_at)
        record.reason = reason or ("OOMKilled" if out_of_memory else "Completed" if code == 0 else "Error")
        await asyncio.to_thread(self.records.try_note, record)
        self._event(record.id).set()
        self._on_change(record, "stopped")

    async def _forget_processes(self, record: ContainerRecord) -> None:
        """Lets runc forget a container that has ended; what can't be removed now is with the container itself."""
        try:
            await self._conmon.delete(record.id, record.cgroup_path)
        except OSError as error:
            LOG.warning("container %s: %s", record.id, error)

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
        await self._conmon.delete(record.id, record.cgroup_path)
        for name in (record.id, *image_volumes(record)):
            await self._images.remove_rootfs(name)

        def clear() -> None:
            cgroup.remove(record.cgroup_path)
            self._conmon.exit_file(record.id).unlink(missing_ok=True)
            # conmon links its sockets' folder to the bundle.
            (self._config.sockets / record.id).unlink(missing_ok=True)
            remove_folder(self._bundle(record.id))

        await asyncio.to_thread(clear)

    async def execute(self, record: ContainerRecord, command: list[str], seconds: int) -> Output:
        self.running(record.id)
        return await self._conmon.execute(record.id, command, seconds)

    def running(self, container_id: str) -> ContainerRecord:
        """The record of a container that runs; raises NotFound and FailedPrecondition."""
        record = self.known(container_id)
        if record.state != "running":
            raise FailedPrecondition(f"container is in CONTAINER_{record.state.upper()} state")
        return record

    async def open(self, record: ContainerRecord, command: list[str], wanted: Wanted) -> Execution:
        """A command started in the container with its streams open; raises Unknown in runc's words."""
        return await open_execution(self._conmon, record.id, self._bundle(record.id), command, wanted, self._group)

    def attach(self, record: ContainerRecord) -> Attachment:
        """The container's own streams; raises Unknown where it has ended."""
        return Attachment(self._bundle(record.id))

    async def reopen_log(self, record: ContainerRecord) -> None:
        """Has conmon open the log's path anew, after it was renamed; returns once the new file is there."""
        if record.state != "running":
            raise FailedPrecondition("container is not running")
        await self._conmon.reopen_log(record.id, Path(record.log_path))

    async def update(self, record: ContainerRecord, asked: Any) -> None:
        """Changes the limits; they are in the status at once and survive a restart of this process."""
        if record.state not in ("created", "running"):
            raise FailedPrecondition(f"container {record.id!r} is in {record.state} state")
        told = told_resources(asked, record.resources)
        limits = resources(resources_message(told), this_host())
        if record.state == "running":
            await self._conmon.update(record.id, limits)
        else:
            await asyncio.to_thread(amend_bundle, self._bundle(record.id), limits)
        record.resources = told
        await asyncio.to_thread(self.records.write, record)

    async def adopt(self) -> None:
        """After a start: says of each container what became of it meanwhile; none is restarted."""
        now = boot_id()
        for record in self.records:
            sandbox = self._sandboxes.records.get(record.sandbox_id)
            if sandbox is None or record.state == "creating":
                await self.remove(record)
                continue
            if record.state == "created" and record.boot_id != now:
                record.message = "the machine was started anew, and what the container was to be started from is gone"
                await self._finish(record, 137, time.time_ns(), UNSEEN)
            if record.state == "created":
                await self._adopt_created(record)
            if record.state != "running":
                continue
            if self._conmon.exit_file(record.id).exists():
                await self.settle(record.id)
            elif record.boot_id != now or start_time(record.pid) != record.pid_start or not record.pid:
                LOG.warning("container %s ended and nobody saw how", record.id)
                record.message = await asyncio.to_thread(self._why_unseen, record.id)
                if record.boot_id != now:
                    record.message = "the machine went down or was started anew while the container ran"
                await self._finish(record, 137, time.time_ns(), UNSEEN)

    async def _adopt_created(self, record: ContainerRecord) -> None:
        """Killed within a start: a process that has run is adopted as running, else all is as before the start.

        conmon and runc know nothing of the kill: they may be about to create the container.
        """
        if record.pid and await self._conmon.state(record.id) != "created":
            record.state, record.started_at = "running", time.time_ns()
            await asyncio.to_thread(self.records.write, record)
            return
        # Written first: to the next start, if this one is killed, what is ended here must not seem to have run.
        record.pid = record.pid_start = 0
        await asyncio.to_thread(self.records.write, record)
        await self._conmon.end(record.id)
        await self._conmon.delete(record.id, record.cgroup_path)
        for path in (self._conmon.exit_file(record.id), self._conmon.pid_file(record.id)):
            path.unlink(missing_ok=True)


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
