"""kill -9 of the runtime's server at every side effect of a start that has something to finish or to undo.

Each start gets one side effect further than the one before it, until one reaches its end: what many half starts have
left must be as after a whole one. `testdata/start-fault-points.txt` lists the side effects by what a kill before them
has left; a new one must be added there (`python -m tests.contract.test_start_fault_points` prints the list).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tests.contract.cri_node import Node, busybox_archive
from tests.contract.test_fault_points import (
    Pod,
    Surviving,
    die,
    lists_are_exact,
    nothing_is_left,
    remove,
    running,
    the_pod_goes_on,
)
from tests.fault_points import listed

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root"),
    pytest.mark.asyncio(loop_scope="module"),
]
PROGRAM = Path(__file__).with_name("start_steps.py")
LIST = Path(__file__).parent / "testdata/start-fault-points.txt"
"""Of each step what a start after its kill does that none of the starts above it does."""
LEFT: Mapping[str, str] = {
    "RunPodSandbox": "Records.note: rename ROOT/sandboxes/*.json",
    "CreateContainer": "Records.note: rename ROOT/containers/*.json",
    "StartContainer": "let_go: open RUN/runc/*/exec.fifo",
    "StopPodSandbox": "spawn.start: spawn runc kill",
}
"""The step of a pod's life that was killed, and where."""


async def killed(node: Node, step: str) -> Pod:
    """The pod, of which a container ends while nobody watches."""
    pod = Pod(node)
    await die(pod, step, LEFT[step])
    if step == "StopPodSandbox":
        os.kill(int((node.config.bundles / pod.busy / "pid").read_text()), signal.SIGKILL)
        async with asyncio.timeout(60):
            while not (node.config.exits / pod.busy).exists():
                await asyncio.sleep(0.01)
    return pod


async def steps_of_a_start(node: Node, known: Sequence[str]) -> list[str]:
    """Where each start was killed until one came to its end; they go past the points that are known."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, *node.arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    told, _ = await child.communicate(json.dumps([*known]).encode() + b"\n")
    found: list[str] = json.loads(told)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def surviving(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> AsyncIterator[Surviving]:
    async with running(tmp_path_factory.mktemp("node"), archive) as found:
        yield found


@pytest.mark.parametrize("step", LEFT)
async def test_half_starts_come_to_the_end_of_a_whole_one(surviving: Surviving, step: str) -> None:
    node, points = surviving.node, listed(LIST)
    await surviving.recover()
    known = [point for each in [*points][: [*points].index(step)] for point in points[each]]
    pod = await killed(node, step)
    assert await steps_of_a_start(node, known) == points[step]
    await node.start()
    await lists_are_exact(surviving, pod, step)
    await the_pod_goes_on(pod)
    await nothing_is_left(surviving)


async def print_list() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), busybox_archive(Path(folder))) as surviving:
            known: list[str] = []
            for step in LEFT:
                await killed(surviving.node, step)
                found = await steps_of_a_start(surviving.node, known)
                known += found
                await surviving.node.start()
                sys.stdout.write("\n".join([step, *(f"  {point}" for point in found)]) + "\n")
                await remove(surviving.node)


if __name__ == "__main__":
    asyncio.run(print_list())
