"""A CRI server in a process of its own, its client, and what it may leave on the host: for the contract tests."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc.aio

from machinery.ip_families import IPV4, IPV6, Family
from machinery.linux.mount import mount_points
from machinery.rpc.wire import CRI
from runtime.config import RuntimeConfig
from runtime.images.layout import write_layout
from runtime.images.service import ImageService
from runtime.server import destroy
from runtime.snapshots.selection import open_snapshotter
from tests.contract.cri_serving import config as serving_config

SERVING = Path(__file__).with_name("cri_serving.py")
BUSYBOX = Path("/bin/busybox")
PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:500:600:web:/srv:/bin/sh\n"
GROUP = "root:x:0:\nweb:x:600:\nextra:x:700:web\n"


def make(name: str, /, **values: Any) -> Any:
    return CRI.message(f"runtime.v1.{name}")(**values)


def state(name: str) -> int:
    return CRI.enum("runtime.v1.ContainerState")[f"CONTAINER_{name}"]


def node_mode(name: str) -> int:
    return CRI.enum("runtime.v1.NamespaceMode")[name]


class Node:
    """A client of a CRI server in a process of its own."""

    def __init__(self, config: RuntimeConfig, directory: Path) -> None:
        self.config, self.directory = config, directory
        self.process: subprocess.Popen[bytes] | None = None
        self.runtime: Any = None
        self.images: Any = None
        self._channel: Any = None
        self.environment: dict[str, str] = {}
        """What the server gets besides this process's own."""

    @property
    def arguments(self) -> list[str]:
        """Those of `cri_serving.config`."""
        return [str(self.directory), self.config.instance, *self.config.pod_cidrs]

    async def start(self) -> None:
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(SERVING), *self.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self.environment},
            )
        assert self.process.stdout
        line = await asyncio.to_thread(self.process.stdout.readline)
        assert line == b"ready\n", (self.directory / "log").read_text()
        self._channel = grpc.aio.insecure_channel(f"unix:{self.config.socket}")
        self.runtime = CRI.stub(self._channel, "runtime.v1.RuntimeService")
        self.images = CRI.stub(self._channel, "runtime.v1.ImageService")

    async def kill(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        await self.died()

    async def died(self) -> None:
        """Returns when the server has been killed, by whomever."""
        assert self.process and self.process.stdin and self.process.stdout
        await self._channel.close()
        assert await asyncio.to_thread(self.process.wait) == -signal.SIGKILL
        self.process.stdin.close()
        self.process.stdout.close()

    async def fault_points(self, command: str) -> list[str]:
        """`kill NAME`, `fail NAME` or `names`, see `FaultPoints.obey`."""
        assert self.process and self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()
        names: list[str] = json.loads(await asyncio.to_thread(self.process.stdout.readline))
        return names

    def sandbox_config(self, name: str, **linux: Any) -> Any:
        return make(
            "PodSandboxConfig",
            metadata=make("PodSandboxMetadata", name=name, uid=f"uid-{name}", namespace="default"),
            hostname=name,
            log_directory=str(self.directory / "logs" / name),
            labels={"app": name},
            linux=make("LinuxPodSandboxConfig", **linux),
        )

    async def sandbox(self, name: str, config: Any = None) -> str:
        config = config or self.sandbox_config(name)
        return str((await self.runtime.RunPodSandbox(make("RunPodSandboxRequest", config=config))).pod_sandbox_id)

    async def create(self, sandbox: str, script: str, name: str = "c", **values: Any) -> str:
        linux = values.pop("linux", None) or make("LinuxContainerConfig")
        if not linux.security_context.HasField("namespace_options"):
            linux.security_context.namespace_options.pid = CRI.enum("runtime.v1.NamespaceMode")["CONTAINER"]
        defaults: dict[str, Any] = {
            "metadata": make("ContainerMetadata", name=name),
            "image": make("ImageSpec", image="busybox:latest"),
            "command": ["sh", "-c", script],
            "log_path": f"{name}.log",
            "linux": linux,
        }
        config = make("ContainerConfig", **{**defaults, **values})
        answer = await self.runtime.CreateContainer(
            make("CreateContainerRequest", pod_sandbox_id=sandbox, config=config)
        )
        return str(answer.container_id)

    async def begin(self, container: str) -> str:
        await self.runtime.StartContainer(make("StartContainerRequest", container_id=container))
        return container

    async def run(self, sandbox: str, script: str, name: str = "c", **values: Any) -> str:
        return await self.begin(await self.create(sandbox, script, name, **values))

    async def status(self, container: str) -> Any:
        return (await self.runtime.ContainerStatus(make("ContainerStatusRequest", container_id=container))).status

    async def ended(self, container: str) -> Any:
        """The status of a container once it has exited, waiting on the stream of events."""
        async with asyncio.timeout(20):
            stream = self.runtime.GetContainerEvents(make("GetEventsRequest"))
            await stream.initial_metadata()
            try:
                if (found := await self.status(container)).state == state("EXITED"):
                    return found
                async for event in stream:
                    if event.container_id == container and event.container_event_type == 2:
                        return await self.status(container)
            finally:
                stream.cancel()
        raise AssertionError("the stream of events ended")

    async def execute(self, container: str, script: str, timeout: int = 10) -> Any:
        request = make("ExecSyncRequest", container_id=container, cmd=["sh", "-c", script], timeout=timeout)
        return await self.runtime.ExecSync(request)

    async def stop(self, container: str, grace: int = 0) -> None:
        await self.runtime.StopContainer(make("StopContainerRequest", container_id=container, timeout=grace))

    async def remove_sandbox(self, sandbox: str) -> None:
        await self.runtime.StopPodSandbox(make("StopPodSandboxRequest", pod_sandbox_id=sandbox))
        await self.runtime.RemovePodSandbox(make("RemovePodSandboxRequest", pod_sandbox_id=sandbox))

    async def address(self, sandbox: str) -> str:
        return (await self.addresses(sandbox))[0]

    async def addresses(self, sandbox: str) -> list[str]:
        answer = await self.runtime.PodSandboxStatus(make("PodSandboxStatusRequest", pod_sandbox_id=sandbox))
        network = answer.status.network
        return [network.ip, *(other.ip for other in network.additional_ips)]

    def logged(self, sandbox: str, name: str = "c") -> list[list[str]]:
        """The container's log as [stream, tag, text] a line."""
        lines = (self.directory / "logs" / sandbox / f"{name}.log").read_text().splitlines()
        return [line.split(" ", 3)[1:] for line in lines]

    async def says(self, sandbox: str, name: str, text: str) -> None:
        """Returns once the container's log has the text."""
        log = self.directory / "logs" / sandbox / f"{name}.log"
        async with asyncio.timeout(60):
            while not (log.exists() and text in log.read_text()):
                await asyncio.sleep(0.01)

    def leftovers(self) -> dict[str, list[str]]:
        """What there is on the host of sandboxes and containers of this instance."""
        links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
        cgroups = [str(found) for found in Path("/sys/fs/cgroup").glob(f"*/*{self.config.instance}*/*/")]
        kept = ("ns", "bundles", "exits", "conmon", "runc", "sandboxes")
        return {
            "links": [line for line in links.splitlines() if f": v{self.config.instance}" in line],
            "mounts": [*mount_points(self.config.run), *mount_points(self.config.root)],
            "cgroups": [path for path in cgroups if not path.endswith("/conmon")],
            "processes": self._processes(),
            "folders": [str(found) for name in kept for found in (self.config.run / name).glob("*")],
            "records": [
                str(found) for name in ("sandboxes", "containers") for found in (self.config.root / name).glob("*")
            ],
        }

    def _processes(self) -> list[str]:
        """The command lines that name the instance, of conmon and runc that is, without the server's own."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(self.config.run) in words and str(SERVING) not in words:
                    found.append(words)
        return sorted(found)


NOTHING: dict[str, list[str]] = {
    "processes": [],
    "links": [],
    "mounts": [],
    "cgroups": [],
    "folders": [],
    "records": [],
}


def busybox_archive(directory: Path) -> Path:
    """busybox:latest as a `docker save` would write it, with users and groups."""
    rootfs = directory / "rootfs"
    for name in ("bin", "etc", "tmp", "root", "srv"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, rootfs / "bin/busybox")
    for applet in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            (rootfs / "bin" / applet).symlink_to("busybox")
    (rootfs / "etc/passwd").write_text(PASSWD)
    (rootfs / "etc/group").write_text(GROUP)
    volumes: dict[str, Any] = {"/srv": {}, "/made/below": {}}
    settings = {"Cmd": ["sh"], "Env": ["FROM=image"], "WorkingDir": "/srv", "Volumes": volumes}
    layout = write_layout(directory / "layout", rootfs, settings)
    index = json.loads((layout.directory / "index.json").read_text())
    index["manifests"][0]["annotations"] = {"io.containerd.image.name": "docker.io/library/busybox:latest"}
    (layout.directory / "index.json").write_text(json.dumps(index))
    target = directory / "busybox.tar"
    with tarfile.open(target, "w") as tar:
        tar.add(layout.directory, ".")
    return target


@asynccontextmanager
async def serving(directory: Path, archive: Path, families: Sequence[Family] = (IPV4,)) -> AsyncIterator[Node]:
    instance = uuid.uuid4().hex[:6]
    number = int(instance, 16)
    ranges = {
        IPV4: f"10.{128 + number % 100}.{number // 100 % 256}.0/24",
        IPV6: f"fd00:{instance[:2]}:{instance[2:]}::/64",
    }
    config = serving_config(str(directory), instance, *(ranges[family] for family in families))
    config.root.mkdir(parents=True)
    images = ImageService(config.root, open_snapshotter(config.root / "snapshots"), {})
    await images.import_archive(archive)
    node = Node(config, directory)
    try:
        await node.start()
        yield node
    finally:
        if node.process and node.process.poll() is None:
            await node.kill()
        await destroy(config)
        assert not config.run.exists() and not config.root.exists()
