"""Server, conmon or runc killed in the middle of their work: it is finished, undone or told, and nothing leaks."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest

from runtime.config import program
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


def wrapped(node: Node, name: str, script: str) -> None:
    """Puts a script in the place of a program; `$REAL` is the program."""
    folder = node.directory / "bin"
    folder.mkdir(exist_ok=True)
    real = program(name)
    (folder / name).write_text(f"#!/bin/sh\nREAL={real} NODE={node.directory}\n{script}\n")
    (folder / name).chmod(0o755)
    node.environment["PATH"] = f"{folder}:{os.environ['PATH']}"


async def restart(node: Node) -> None:
    await node.kill()
    await node.start()


async def refusal(node: Node, container: str) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await node.begin(container)
    status = await node.status(container)
    assert (status.state, status.exit_code, status.reason) == (state("EXITED"), 128, "StartError")
    assert status.message == failure.value.details()
    return str(status.message)


async def gone(node: Node) -> None:
    for sandbox in (await node.runtime.ListPodSandbox(make("ListPodSandboxRequest"))).items:
        await node.remove_sandbox(sandbox.id)
    assert node.leftovers() == NOTHING


async def test_what_conmon_says_on_its_standard_error_is_told(node: Node) -> None:
    wrapped(node, "conmon", "echo 'no such option: --cid' >&2; exit 1")
    await restart(node)
    container = await node.create(await node.sandbox("conmon"), "exec sleep 1000")
    assert "OCI runtime create failed: no such option: --cid: unknown" in await refusal(node, container)
    await gone(node)


@pytest.mark.parametrize("seconds", ["0.001", "0.01", "0.02", "0.04", "0.08"])
async def test_runc_killed_while_it_creates_is_a_failed_start(node: Node, seconds: str) -> None:
    wrapped(
        node, "runc", f'case " $* " in *" create "*) exec timeout -s KILL {seconds} $REAL "$@";; esac; exec $REAL "$@"'
    )
    await restart(node)
    sandbox = await node.sandbox("runc")
    container = await node.create(sandbox, "exec sleep 1000")
    try:
        await node.begin(container)
    except grpc.aio.AioRpcError:
        assert (await node.status(container)).reason == "StartError"
    await gone(node)


async def test_runc_killed_when_its_container_waits_already_is_a_failed_start(node: Node) -> None:
    # conmon then reads the output of a process that says nothing and doesn't end.
    wrapped(node, "runc", 'case " $* " in *" create "*) $REAL "$@"; kill -KILL $$;; esac; exec $REAL "$@"')
    await restart(node)
    sandbox = await node.sandbox("left")
    assert "conmon ended without a word" in await refusal(node, await node.create(sandbox, "exec sleep 1000"))
    await gone(node)


HELD = """case " $* " in *" create "*) echo $$ >$NODE/creating; while [ ! -e $NODE/go ]; do sleep 0.05; done;; esac
exec $REAL "$@\""""


async def creating(node: Node) -> tuple[Any, str, int]:
    """The call of a start in whose middle runc is held, its container, and the pid of runc."""
    wrapped(node, "runc", HELD)
    await restart(node)
    container = await node.create(await node.sandbox("held"), "exec sleep 1000")
    begun = node.runtime.StartContainer(make("StartContainerRequest", container_id=container))
    async with asyncio.timeout(60):
        while not (node.directory / "creating").exists() or not (node.directory / "creating").read_text():
            await asyncio.sleep(0.01)
    return begun, container, int((node.directory / "creating").read_text())


async def test_conmon_killed_while_runc_creates_is_a_failed_start(node: Node) -> None:
    begun, _, runc = await creating(node)
    parent = int(Path(f"/proc/{runc}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    (node.directory / "go").touch()
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await begun
    assert "conmon ended without a word" in (failure.value.details() or "")
    await gone(node)


@pytest.mark.parametrize("goes_on", [False, True])
async def test_a_server_that_comes_back_while_runc_creates_starts_the_container(node: Node, goes_on: bool) -> None:
    _, container, _ = await creating(node)
    await node.kill()
    if goes_on:
        (node.directory / "go").touch()
    await node.start()
    (node.directory / "go").touch()
    assert (await node.status(container)).state == state("CREATED")
    await node.begin(container)
    assert (await node.execute(container, "echo here")).stdout == b"here\n"
    await gone(node)
