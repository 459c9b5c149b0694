"""kill -9 of the runtime's server at every side effect of a pod's life: the next start finishes or undoes, all is true.

`testdata/fault-points.txt` lists the side effects, step by step; a new one must be added there (`python -m
tests.contract.test_fault_points` prints the list), and with that is tested.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from machinery.linux.boot import start_time
from tests.contract.cri_node import NOTHING, Node, busybox_archive, make, node_mode, serving, state
from tests.fault_points import pairs

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root"),
    pytest.mark.asyncio(loop_scope="module"),
]
LIST = Path(__file__).parent / "testdata/fault-points.txt"
POLITE = "trap 'exit 7' TERM; touch /up; echo up; while :; do sleep 1000 & wait $!; done"


@dataclass
class Pod:
    """A pod as its kubelet knows it: what was acknowledged."""

    node: Node
    sandbox: str = ""
    container: str = ""
    busy: str = ""

    async def run_sandbox(self) -> None:
        options = make("NamespaceOption", pid=node_mode("POD"))
        security = make("LinuxSandboxSecurityContext", namespace_options=options)
        config = self.node.sandbox_config("life", security_context=security)
        port = 20000 + int(self.node.config.instance, 16) % 10000
        config.port_mappings.append(make("PortMapping", container_port=80, host_port=port))
        self.sandbox = await self.node.sandbox("life", config)

    async def create_container(self) -> None:
        # Or it would tell what the container before this one said.
        (self.node.directory / "logs/life/c.log").unlink(missing_ok=True)
        self.container = await self.node.create(self.sandbox, POLITE)

    async def start_container(self) -> None:
        await self.node.begin(self.container)

    async def execute(self) -> None:
        await self.node.execute(self.container, "true")

    async def update(self) -> None:
        more = make("LinuxContainerResources", memory_limit_in_bytes=128 << 20)
        request = make("UpdateContainerResourcesRequest", container_id=self.container, linux=more)
        await self.node.runtime.UpdateContainerResources(request)

    async def reopen_log(self) -> None:
        log = self.node.directory / "logs/life/c.log"
        with suppress(FileNotFoundError):
            log.rename(log.with_suffix(".1"))
        await self.node.runtime.ReopenContainerLog(make("ReopenContainerLogRequest", container_id=self.container))

    async def stop_container(self) -> None:
        await self.node.says("life", "c", "up")
        await self.node.stop(self.container, 60)

    async def remove_container(self) -> None:
        await self.node.runtime.RemoveContainer(make("RemoveContainerRequest", container_id=self.container))
        self.container = ""

    async def run_another(self) -> None:
        self.busy = await self.node.run(self.sandbox, "exec sleep 1000", "busy")

    async def stop_sandbox(self) -> None:
        await self.node.runtime.StopPodSandbox(make("StopPodSandboxRequest", pod_sandbox_id=self.sandbox))

    async def remove_sandbox(self) -> None:
        await self.node.runtime.RemovePodSandbox(make("RemovePodSandboxRequest", pod_sandbox_id=self.sandbox))
        self.sandbox = self.busy = ""


Step = Callable[[Pod], Awaitable[None]]
SANDBOX, CONTAINER, BUSY = (Pod.run_sandbox,), (Pod.create_container, Pod.start_container), (Pod.run_another,)
LIFE: Mapping[str, tuple[Step, ...]] = {
    "RunPodSandbox": SANDBOX,
    "CreateContainer": (*SANDBOX, Pod.create_container),
    "StartContainer": (*SANDBOX, *CONTAINER),
    "ExecSync": (*SANDBOX, *CONTAINER, Pod.execute),
    "UpdateContainerResources": (*SANDBOX, *CONTAINER, Pod.update),
    "ReopenContainerLog": (*SANDBOX, *CONTAINER, Pod.reopen_log),
    "StopContainer": (*SANDBOX, *CONTAINER, Pod.stop_container),
    "RemoveContainer": (*SANDBOX, *CONTAINER, Pod.stop_container, Pod.remove_container),
    "StopPodSandbox": (*SANDBOX, *BUSY, Pod.stop_sandbox),
    "RemovePodSandbox": (*SANDBOX, *BUSY, Pod.stop_sandbox, Pod.remove_sandbox),
}
"""Each step of a pod's life: what comes before it, and the step itself."""


async def come_to(pod: Pod, step: str) -> Step:
    """Takes what comes before the step; the step itself is for the caller to take."""
    *before, take = LIFE[step]
    for each in before:
        await each(pod)
    return take


async def die(pod: Pod, step: str, point: str) -> None:
    """Kills the server at the point of the step."""
    take = await come_to(pod, step)
    await pod.node.fault_points(f"kill {point}")
    with pytest.raises((grpc.aio.AioRpcError, grpc.aio.UsageError)):
        await take(pod)
    await pod.node.died()


async def nothing_is_left(surviving: Surviving) -> None:
    """Of the pod, that is, once it is removed."""
    node = surviving.node
    await remove(node)
    assert await strays(node) == NOTHING
    (kept,) = (await node.runtime.ListContainers(make("ListContainersRequest"))).containers
    assert (kept.id, kept.state) == (surviving.quiet, state("RUNNING"))


async def passed(node: Node) -> str:
    """A pod's whole life as the list has it."""
    lines: list[str] = []
    for step in LIFE:
        pod = Pod(node)
        take = await come_to(pod, step)
        await node.fault_points("names")
        await take(pod)
        lines += [step, *(f"  {point}" for point in await node.fault_points("names"))]
        await remove(node)
    return "\n".join(lines) + "\n"


@dataclass
class Surviving:
    node: Node
    quiet: str
    """A container of another sandbox, which no kill may harm."""

    async def recover(self) -> None:
        """Where a test failed before, the next one begins anew."""
        if self.node.process is None or self.node.process.poll() is not None:
            await self.node.start()
        await remove(self.node)


@asynccontextmanager
async def running(folder: Path, archive: Path) -> AsyncIterator[Surviving]:
    async with serving(folder, archive) as node:
        yield Surviving(node, await node.run(await node.sandbox("quiet"), "exec sleep 100000", "quiet"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def surviving(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> AsyncIterator[Surviving]:
    async with running(tmp_path_factory.mktemp("node"), archive) as found:
        yield found


async def test_every_side_effect_of_a_pods_life_is_listed(surviving: Surviving) -> None:
    assert await passed(surviving.node) == LIST.read_text()


@pytest.mark.parametrize(("step", "point"), pairs(LIST))
async def test_a_kill_there_is_finished_or_undone(surviving: Surviving, step: str, point: str) -> None:
    node, pod = surviving.node, Pod(surviving.node)
    await surviving.recover()
    await die(pod, step, point)
    await node.start()
    await lists_are_exact(surviving, pod, step)
    await the_pod_goes_on(pod)
    await nothing_is_left(surviving)


@pytest.mark.parametrize(("step", "point"), pairs(LIST))
async def test_an_error_there_is_told_and_harms_nothing(surviving: Surviving, step: str, point: str) -> None:
    node, pod = surviving.node, Pod(surviving.node)
    await surviving.recover()
    take = await come_to(pod, step)
    await node.fault_points(f"fail {point}")
    try:
        await take(pod)
    except grpc.aio.AioRpcError as error:
        assert "no space left on device" in (error.details() or "").lower()
        failed = True
    else:
        failed = False
    assert point in await node.fault_points("names")
    if failed:
        # A container that could not be started is none to be started again.
        is_start = step == "StartContainer"
        await lists_are_exact(surviving, pod, step, code=128 if is_start else 7)
        if not is_start:
            await take(pod)
    await the_pod_goes_on(pod)
    await nothing_is_left(surviving)


async def remove(node: Node) -> None:
    for sandbox in await sandboxes(node):
        if sandbox.metadata.name == "life":
            await node.remove_sandbox(sandbox.id)


async def sandboxes(node: Node) -> list[Any]:
    return list((await node.runtime.ListPodSandbox(make("ListPodSandboxRequest"))).items)


async def lists_are_exact(surviving: Surviving, pod: Pod, step: str, code: int = 7) -> None:
    """What was acknowledged is listed, and besides it at most what was being made; states are the processes' own.

    `code` is what the container exits with, where it has exited.
    """
    node = surviving.node
    containers = (await node.runtime.ListContainers(make("ListContainersRequest"))).containers
    known = {each.id for each in containers}
    expected = {surviving.quiet, pod.container, pod.busy} - {""}
    if not step.startswith("Remove"):
        assert expected <= known
    assert len(known - expected) <= (step == "CreateContainer")
    boxes = {each.id for each in await sandboxes(node) if each.metadata.name == "life"}
    assert boxes == ({pod.sandbox} - {""}) or step in ("RunPodSandbox", "RemovePodSandbox") and len(boxes) <= 1
    for each in containers:
        status = await node.status(each.id)
        assert (each.state == state("RUNNING")) == lives(node, each.id), each
        if status.state == state("EXITED"):
            assert status.exit_code == (137 if each.id == pod.busy else code), status
    assert await strays(node) == NOTHING


async def the_pod_goes_on(pod: Pod) -> None:
    """What is there can be used: what was created starts, what runs is entered, a ready sandbox takes another."""
    node = pod.node
    for each in (await node.runtime.ListContainers(make("ListContainersRequest"))).containers:
        if each.state == state("CREATED"):
            await node.begin(each.id)
        if each.metadata.name == "c" and (await node.status(each.id)).state == state("RUNNING"):
            assert (await node.execute(each.id, "until [ -e /up ]; do :; done; echo here")).stdout == b"here\n"
            await node.stop(each.id, 60)
            assert (await node.status(each.id)).exit_code == 7
    for sandbox in await sandboxes(node):
        if sandbox.metadata.name == "life" and sandbox.state == 0:
            last = await node.run(sandbox.id, "exit 3", "last")
            assert (await node.ended(last)).exit_code == 3


def lives(node: Node, container: str) -> bool:
    try:
        return start_time(int((node.config.bundles / container / "pid").read_text())) != 0
    except FileNotFoundError:
        return False


async def strays(node: Node) -> dict[str, list[str]]:
    """What is on the host of this instance and belongs to nothing that is listed."""
    containers = (await node.runtime.ListContainers(make("ListContainersRequest"))).containers
    owners = {each.id[:8] for each in [*await sandboxes(node), *containers]}
    return {
        sort: [each for each in found if not any(owner in each for owner in owners)]
        for sort, found in node.leftovers().items()
    }


async def print_list() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), busybox_archive(Path(folder))) as found:
            sys.stdout.write(await passed(found.node))


if __name__ == "__main__":
    asyncio.run(print_list())
