"""The CRI server on its unix socket: `serve` leaves containers running, `destroy` removes all that it made."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from machinery.linux import cgroup, child, processes
from machinery.linux.mount import mount_points, unmount
from machinery.rpc.wire import CRI
from runtime.config import RuntimeConfig
from runtime.containerd.events import Events as NativeEvents
from runtime.containerd.serving import handlers as containerd_handlers
from runtime.cri.events import Events
from runtime.cri.faults import guarded
from runtime.cri.image_service import ImageService as CriImages
from runtime.cri.runtime_service import RuntimeService
from runtime.cri.streaming.server import StreamingServer
from runtime.images.preloaded import import_archives
from runtime.images.service import ImageService
from runtime.network import firewalls
from runtime.network.bridge import BridgeNetwork
from runtime.network.selection import open_network, remove_networks
from runtime.sandbox.containers import Containers
from runtime.sandbox.records import ContainerRecord
from runtime.sandbox.sandboxes import Sandboxes
from runtime.snapshots.selection import open_snapshotter

LOG = logging.getLogger("runtime")


async def serve(
    config: RuntimeConfig, *, ready: asyncio.Event | None = None, settled: asyncio.Event | None = None
) -> None:
    """Serves until cancelled; sets `ready` once the socket answers and what ran before is adopted.

    What can wait, the import of archives, begins when `settled` is set.
    """
    await asyncio.to_thread(_make_folders, config)
    snapshotter = await asyncio.to_thread(open_snapshotter, config.root / "snapshots")
    images = await asyncio.to_thread(ImageService, config.root, snapshotter, config.mirrors)
    network = await asyncio.to_thread(open_network, config)
    sandboxes = Sandboxes(config, network)
    events = Events(sandboxes.records.get)
    native_events = NativeEvents()
    native_events.follow(images)

    def changed(record: ContainerRecord, what: str) -> None:
        events.container(record, what)
        native_events.container(record, what)

    async with asyncio.TaskGroup() as group:
        containers = Containers(config, sandboxes, images, changed, group)
        await sandboxes.adopt()
        await containers.adopt()
        await images.recover([record.id for record in containers.records])
        streaming = StreamingServer(sandboxes, containers)
        await streaming.start()
        runtime_service = RuntimeService(sandboxes, containers, network, events, images, config, streaming)
        handlers = (
            CRI.handler("runtime.v1.RuntimeService", guarded(runtime_service, group)),
            CRI.handler("runtime.v1.ImageService", guarded(CriImages(images, config.root), group)),
            *containerd_handlers(config, images, containers, native_events, group),
        )
        try:
            async with _listening(config, handlers) as ended:
                group.create_task(containers.run())
                if isinstance(network, BridgeNetwork):
                    group.create_task(firewalls.follow(network.pass_firewalls))
                if config.archives is not None and settled is not None:
                    memory = config.root / "imported.json"
                    group.create_task(import_archives(config.archives, memory, images, settled))
                if ready is not None:
                    ready.set()
                await ended()
        finally:
            await streaming.stop()


@asynccontextmanager
async def _listening(config: RuntimeConfig, handlers: Sequence[Any]) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """Answers on the socket, which is gone afterwards; what it gives waits for the server's end."""
    import grpc.aio

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 16 << 20), ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(handlers)
    config.socket.unlink(missing_ok=True)
    server.add_insecure_port(f"unix:{config.socket}")
    await server.start()
    config.socket.chmod(0o600)
    LOG.info("serving CRI and containerd's API on %s", config.socket)
    try:
        yield server.wait_for_termination
    finally:
        await server.stop(grace=None)
        config.socket.unlink(missing_ok=True)


def _make_folders(config: RuntimeConfig) -> None:
    for folder in (config.root, config.run):
        folder.mkdir(parents=True, exist_ok=True, mode=0o711)
    for folder in (config.namespaces, config.bundles, config.exits, config.sockets, config.runc_root):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)


async def destroy(config: RuntimeConfig) -> None:
    """Removes everything of the instance from this machine, also where it was half gone; its server must not run."""
    if not config.root.exists() and not config.run.exists():
        return
    pids = await asyncio.to_thread(_processes, config)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await asyncio.gather(*(_gone(pid) for pid in pids))
    await asyncio.to_thread(_remove, config)


def _processes(config: RuntimeConfig) -> list[int]:
    """Containers' processes by their cgroups, and the conmons that watch them by their bundles."""
    at_bundles = processes.with_word(f"{config.bundles}/")
    conmons = {pid for pid, words in at_bundles.items() if Path(words[0]).name == "conmon"}
    return sorted(cgroup.processes(config.cgroup_root) | conmons)


async def _gone(pid: int) -> None:
    """Returns when the process has ended, for ten seconds at most."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            await child.ended(pid)


def _remove(config: RuntimeConfig) -> None:
    remove_networks(config)
    for folder in (config.run, config.root):
        for point in reversed(mount_points(folder)):
            unmount(point, lazily=True)
    cgroup.remove(config.cgroup_root)
    for folder in (
        config.run / "sandboxes",
        config.namespaces,
        config.bundles,
        config.exits,
        config.sockets,
        config.runc_root,
        config.root,
    ):
        shutil.rmtree(folder, ignore_errors=True)
    config.socket.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        # Others may keep their sockets there.
        config.run.rmdir()
