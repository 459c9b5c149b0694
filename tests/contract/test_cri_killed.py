"""The runtime's server killed in the middle of its work: the next start finishes or undoes it, and nothing leaks."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import grpc
import pytest

from tests.contract.cri_node import NOTHING, Node, busybox_archive, make, serving, state

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root")


@pytest.mark.parametrize("after", [0.02, 0.05, 0.08, 0.12, 0.2, 0.3])
async def test_a_kill_at_any_time_leaks_nothing(tmp_path: Path, after: float) -> None:
    archive = busybox_archive(tmp_path)
    async with serving(tmp_path, archive) as node:
        quiet = await node.run(await node.sandbox("quiet"), "exec sleep 1000")
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(churn(node, f"p{number}"))
            await asyncio.sleep(after)
            await node.kill()
        await node.start()
        assert (await node.status(quiet)).state == state("RUNNING")
        containers = (await node.runtime.ListContainers(make("ListContainersRequest"))).containers
        for container in containers:
            # Whatever became of it, it can be started or has a true state.
            if container.state == state("CREATED"):
                await node.begin(container.id)
            if (await node.status(container.id)).state == state("RUNNING"):
                assert (await node.execute(container.id, "echo here")).stdout == b"here\n"
        for sandbox in (await node.runtime.ListPodSandbox(make("ListPodSandboxRequest"))).items:
            await node.remove_sandbox(sandbox.id)
        assert node.leftovers() == NOTHING


async def churn(node: Node, name: str) -> None:
    """Pods that come and go until the server does not answer."""
    try:
        for number in range(100):
            sandbox = await node.sandbox(f"{name}-{number}")
            container = await node.run(sandbox, "exec sleep 1000")
            if number % 2 == 0:
                await node.stop(container)
                await node.remove_sandbox(sandbox)
    except (grpc.aio.AioRpcError, grpc.aio.UsageError):
        return
