"""kill -9, and a full disk, at every side effect of a plugin's ADD and DEL: each ADD gets its DEL, and no more.

`testdata/cni-fault-points.txt` lists them; a new one must be added there (`python -m
tests.contract.test_cni_fault_points` prints the list). All else that a sandbox is made of is as on the built-in
network, see `test_fault_points`.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from machinery.rpc.wire import CRI
from tests.contract.cri_node import busybox_archive
from tests.contract.test_fault_points import (
    Pod,
    Surviving,
    come_to,
    die,
    lists_are_exact,
    nothing_is_left,
    remove,
    running,
    sandboxes,
    the_pod_goes_on,
)
from tests.contract.test_networks import PORTMAP, Ranged, forget, fresh, rules, write

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root"),
    pytest.mark.asyncio(loop_scope="module"),
]
LIST = Path(__file__).parent / "testdata/cni-fault-points.txt"
READY = CRI.enum("runtime.v1.PodSandboxState")["SANDBOX_READY"]
STEPS = ("RunPodSandbox", "StopPodSandbox")


def listed() -> list[tuple[str, str]]:
    """Step and fault point, in their order."""
    lines = [line.split(" ", 1) for line in LIST.read_text().splitlines()]
    return [(step, point) for step, point in lines]


async def passed(surviving: Surviving) -> list[tuple[str, str]]:
    """What the network does in each step."""
    found = []
    for step in STEPS:
        pod = Pod(surviving.node)
        take = await come_to(pod, step)
        await surviving.node.fault_points("names")
        await take(pod)
        names = await surviving.node.fault_points("names")
        found += [(step, name) for name in names if name.startswith(("CniNetwork.", "call: "))]
        await remove(surviving.node)
    return found


@asynccontextmanager
async def attached(folder: Path, archive: Path, ranged: Ranged) -> AsyncIterator[Surviving]:
    write(folder / "cni", ranged, lambda own: [own.ptp(), PORTMAP])
    try:
        async with running(folder, archive) as found:
            yield found
    finally:
        await asyncio.to_thread(forget, ranged)


@pytest.fixture(scope="module")
def ranged() -> Ranged:
    return fresh()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def surviving(
    tmp_path_factory: pytest.TempPathFactory, archive: Path, ranged: Ranged
) -> AsyncIterator[Surviving]:
    async with attached(tmp_path_factory.mktemp("node"), archive, ranged) as found:
        yield found


async def test_every_side_effect_of_the_network_is_listed(surviving: Surviving) -> None:
    assert await passed(surviving) == listed()


@pytest.mark.parametrize(("step", "point"), listed())
async def test_a_kill_there_is_finished_or_undone(surviving: Surviving, ranged: Ranged, step: str, point: str) -> None:
    node, pod = surviving.node, Pod(surviving.node)
    await surviving.recover()
    await die(pod, step, point)
    await node.start()
    await lists_are_exact(surviving, pod, step)
    assert leases(ranged) == len([each for each in await sandboxes(node) if each.state == READY])
    await the_pod_goes_on(pod)
    await nothing_is_leased(surviving, ranged)


@pytest.mark.parametrize(("step", "point"), listed())
async def test_an_error_there_is_told_and_harms_nothing(
    surviving: Surviving, ranged: Ranged, step: str, point: str
) -> None:
    node, pod = surviving.node, Pod(surviving.node)
    await surviving.recover()
    take = await come_to(pod, step)
    await node.fault_points(f"fail {point}")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await take(pod)
    assert "no space left on device" in (failed.value.details() or "").lower()
    await lists_are_exact(surviving, pod, step)
    await take(pod)
    await the_pod_goes_on(pod)
    await nothing_is_leased(surviving, ranged)


async def nothing_is_leased(surviving: Surviving, ranged: Ranged) -> None:
    """To the pod, that is: the other sandbox has its address and its rules still."""
    await nothing_is_left(surviving)
    assert leases(ranged) == 1
    (quiet,) = await sandboxes(surviving.node)
    assert {quiet.id} == set(re.findall("[0-9a-f]{64}", "".join(await asyncio.to_thread(rules, ranged))))


def leases(ranged: Ranged) -> int:
    return len(list((Path("/var/lib/cni/networks") / ranged.name).glob("*.*.*.*")))


async def print_list() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with attached(Path(folder), busybox_archive(Path(folder)), fresh()) as surviving:
            for step, point in await passed(surviving):
                print(step, point)


if __name__ == "__main__":
    asyncio.run(print_list())
