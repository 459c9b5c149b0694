"""What the runtime refuses, and how it ends what takes too long, through its CRI socket; root is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.contract.cri_node import NOTHING, Node, make, node_mode, state

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root")
WAIT_FOREVER = "while :; do sleep 1000; done"


async def refused(node: Node, sandbox: str, **values: Any) -> tuple[grpc.StatusCode, str]:
    """Code and words of a refused creation."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await node.create(sandbox, "true", **values)
    return failure.value.code(), failure.value.details() or ""


async def test_a_group_without_a_user_is_refused(node: Node) -> None:
    sandbox = await node.sandbox("group")
    alone = make("LinuxContainerSecurityContext", run_as_group=make("Int64Value", value=1002))
    answer = await refused(node, sandbox, linux=make("LinuxContainerConfig", security_context=alone))
    assert answer == (grpc.StatusCode.INVALID_ARGUMENT, 'user group "1002" is specified without user')
    await node.remove_sandbox(sandbox)
    assert node.leftovers() == NOTHING


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"readonly": False}, "recursive read-only mount conflicts with RW mount"),
        ({"readonly": True, "propagation": 1}, 'needs private propagation, got "PROPAGATION_HOST_TO_CONTAINER"'),
        ({"readonly": True, "propagation": 2}, 'needs private propagation, got "PROPAGATION_BIDIRECTIONAL"'),
    ],
)
async def test_a_mount_that_can_not_be_read_only_to_its_ground_is_refused(
    node: Node, tmp_path: Path, values: dict[str, Any], words: str
) -> None:
    sandbox = await node.sandbox("ground")
    mount = make("Mount", container_path="/m", host_path=str(tmp_path), recursive_read_only=True, **values)
    code, said = await refused(node, sandbox, mounts=[mount])
    assert code is grpc.StatusCode.INVALID_ARGUMENT and words in said
    await node.remove_sandbox(sandbox)
    assert node.leftovers() == NOTHING


async def test_the_processes_of_a_container_are_shared_only_while_it_runs_and_within_its_sandbox(node: Node) -> None:
    sandbox, other = await node.sandbox("own"), await node.sandbox("other")
    target = await node.run(sandbox, "exec sleep 4321", "target")

    def into(container: str) -> Any:
        options = make("NamespaceOption", pid=node_mode("TARGET"), target_id=container)
        security = make("LinuxContainerSecurityContext", namespace_options=options)
        return make("LinuxContainerConfig", security_context=security)

    guest = await node.run(sandbox, WAIT_FOREVER, "guest", linux=into(target))
    assert b"4321" in (await node.execute(guest, "cat /proc/1/cmdline")).stdout
    _, said = await refused(node, other, linux=into(target))
    assert "does not belong to sandbox" in said
    _, said = await refused(node, sandbox, linux=into("0" * 64))
    assert "does not exist" in said
    await node.stop(guest)
    await node.stop(target)
    _, said = await refused(node, sandbox, linux=into(target))
    assert said.endswith(f'"{target}" is not running - in state CONTAINER_EXITED')
    await node.remove_sandbox(sandbox)
    await node.remove_sandbox(other)
    assert node.leftovers() == NOTHING


async def test_a_missing_command_is_told_also_where_processes_are_shared(node: Node) -> None:
    """runc warns of the cgroups of such a container before it says what failed."""
    options = make("NamespaceOption", pid=node_mode("POD"))
    security = make("LinuxSandboxSecurityContext", namespace_options=options)
    sandbox = await node.sandbox("shared", node.sandbox_config("shared", security_context=security))
    linux = make("LinuxContainerConfig", security_context=make("LinuxContainerSecurityContext"))
    linux.security_context.namespace_options.CopyFrom(options)
    container = await node.create(sandbox, "", command=["/no/such/thing"], linux=linux)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await node.begin(container)
    assert 'exec: "/no/such/thing": stat /no/such/thing: no such file' in (failure.value.details() or "")
    status = await node.status(container)
    assert (status.state, status.reason) == (state("EXITED"), "StartError")
    assert "/no/such/thing" in status.message
    await node.remove_sandbox(sandbox)


async def test_a_command_that_took_too_long_is_gone_with_its_last_trace(node: Node) -> None:
    container = await node.run(await node.sandbox("late"), WAIT_FOREVER)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await node.execute(container, "exec sleep 4321", timeout=1)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    # One that ended and that nobody has reaped has no arguments any more, but the name.
    names = (await node.execute(container, "cat /proc/[0-9]*/stat")).stdout.decode()
    assert [line for line in names.splitlines() if line.split()[2] == "Z"] == []
