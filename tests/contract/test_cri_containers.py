"""The embedded runtime through its CRI socket: real runc, conmon, namespaces and network; root is needed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import grpc
import pytest

from machinery.ip_families import IPV4
from machinery.linux import nft
from machinery.linux.cgroup import counts_swap
from runtime.server import destroy
from tests.contract.cri_node import NOTHING, Node, make, node_mode, state

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root")
WAIT_FOREVER = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"


async def test_a_container_runs_logs_ends_and_leaves_nothing(node: Node) -> None:
    sandbox = await node.sandbox("life")
    container = await node.run(sandbox, "echo out; echo err >&2; echo $FROM $HOSTNAME $(hostname) $(pwd); exit 3")
    status = await node.ended(container)
    assert (status.exit_code, status.reason) == (3, "Error")
    assert status.created_at <= status.started_at <= status.finished_at
    assert sorted(node.logged("life")) == [
        ["stderr", "F", "err"],
        ["stdout", "F", "image life life /srv"],
        ["stdout", "F", "out"],
    ]
    done = await node.ended(await node.run(sandbox, "true", "ok"))
    assert (done.exit_code, done.reason) == (0, "Completed")
    await node.remove_sandbox(sandbox)
    assert node.leftovers() == NOTHING


async def test_a_command_that_is_missing_fails_at_the_start_in_runcs_words(node: Node) -> None:
    sandbox = await node.sandbox("missing")
    container = await node.create(sandbox, "", command=["/no/such/thing"])
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await node.begin(container)
    words = 'exec: "/no/such/thing": stat /no/such/thing: no such file or directory'
    assert words in (failure.value.details() or "")
    status = await node.status(container)
    assert (status.state, status.exit_code, status.reason) == (state("EXITED"), 128, "StartError")
    await node.remove_sandbox(sandbox)
    assert node.leftovers() == NOTHING


async def test_a_stop_grants_the_grace_and_kills_after_it(node: Node) -> None:
    sandbox = await node.sandbox("stop")
    polite = await node.run(sandbox, "trap 'exit 5' TERM; echo up; while :; do sleep 1000 & wait $!; done", "polite")
    deaf = await node.run(sandbox, "trap '' TERM; echo up; while :; do sleep 1; done", "deaf")
    for name in ("polite", "deaf"):
        await node.says("stop", name, "up")
    await asyncio.gather(node.stop(polite, 20), node.stop(deaf, 1))
    assert (await node.status(polite)).exit_code == 5
    assert (await node.status(deaf)).exit_code == 137
    await node.remove_sandbox(sandbox)
    assert node.leftovers() == NOTHING


async def test_commands_run_in_a_container(node: Node) -> None:
    sandbox = await node.sandbox("exec")
    container = await node.run(sandbox, WAIT_FOREVER, envs=[make("KeyValue", key="A", value=b"b c")])
    answer = await node.execute(container, "echo $A; echo e >&2; exit 7")
    assert (answer.stdout, answer.stderr, answer.exit_code) == (b"b c\n", b"e\n", 7)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await node.execute(container, "sleep 100", timeout=1)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert b"sleep 100\n" not in (await node.execute(container, "ps -o args | grep -v grep")).stdout


async def test_a_command_that_is_missing_in_a_container_is_told(node: Node) -> None:
    container = await node.run(await node.sandbox("exec"), WAIT_FOREVER)
    request = make("ExecSyncRequest", container_id=container, cmd=["/no/such"], timeout=5)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await node.runtime.ExecSync(request)
    assert 'exec: "/no/such": stat /no/such: no such file or directory' in (failure.value.details() or "")


async def test_the_default_profile_refuses_calls_that_reach_out(node: Node) -> None:
    security = make("LinuxContainerSecurityContext", seccomp=make("SecurityProfile", profile_type=0))
    container = await node.run(
        await node.sandbox("seccomp"), WAIT_FOREVER, linux=make("LinuxContainerConfig", security_context=security)
    )
    assert b"Seccomp:\t2" in (await node.execute(container, "cat /proc/self/status")).stdout
    assert (await node.execute(container, "unshare -U true")).exit_code != 0
    assert (await node.execute(container, "mount -t tmpfs none /mnt")).exit_code != 0
    assert (await node.execute(container, "(echo hello | cat) && date && chroot / true")).exit_code == 0


async def test_an_image_is_mounted_as_a_volume_that_nobody_can_write(node: Node) -> None:
    sandbox = await node.sandbox("volume")
    image = make("ImageSpec", image="busybox:latest")
    whole = make("Mount", container_path="/whole", image=image)
    part = make("Mount", container_path="/part", image=image, image_sub_path="etc")
    container = await node.run(sandbox, WAIT_FOREVER, mounts=[whole, part])
    said = (await node.execute(container, "cmp /whole/etc/passwd /part/passwd && echo same; touch /whole/x")).stdout
    assert said == b"same\n"
    assert (await node.execute(container, "touch /whole/x 2>/dev/null")).exit_code != 0
    told = {mount.container_path: mount.image.image for mount in (await node.status(container)).mounts}
    assert told == {"/whole": "busybox:latest", "/part": "busybox:latest"}
    await node.kill()
    await node.start()
    assert (await node.execute(container, "test -e /whole/etc/passwd")).exit_code == 0
    with pytest.raises(grpc.aio.AioRpcError):
        await node.create(
            sandbox, "true", "missing", mounts=[make("Mount", container_path="/m", image={"image": "no"})]
        )
    await node.remove_sandbox(sandbox)
    assert node.leftovers() == NOTHING


async def test_a_firewall_that_drops_lets_the_bridge_through_until_the_end(node: Node) -> None:
    table = f"drops{node.config.instance}"
    chain = f"{table} forward {{ type filter hook forward priority 10; policy drop; }}"
    try:
        # The rule keeps the policy from dropping what others forward meanwhile.
        rule = f"add rule inet {table} forward accept"
        await asyncio.to_thread(nft.run, f"add table inet {table}\nadd chain inet {chain}\n{rule}\n")
        await node.kill()
        await node.start()
        listed = await asyncio.to_thread(nft.run, f"list table inet {table}")
        assert listed.count(f'"{node.config.bridge}"') == 2
        await node.kill()
        await destroy(node.config)
        listed = await asyncio.to_thread(nft.run, f"list table inet {table}")
        assert node.config.bridge not in listed
    finally:
        await asyncio.to_thread(nft.run, f"delete table inet {table}")


async def test_containers_go_on_while_the_server_is_killed(node: Node, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    volume = make("Mount", container_path="/shared", host_path=str(shared))
    sandbox = await node.sandbox("adopt")
    runs = await node.run(sandbox, f"echo $$ > /shared/started; {WAIT_FOREVER}", "runs", mounts=[volume])
    os.mkfifo(shared / "end")
    ends = await node.run(sandbox, "read x < /shared/end; echo bye; exit 7", "ends", mounts=[volume])
    ended = await node.run(sandbox, "exit 4", "ended")
    await node.ended(ended)
    created = await node.create(sandbox, "true", "created")
    address = await node.address(sandbox)
    before = await node.status(runs)
    await node.kill()
    await asyncio.to_thread((shared / "end").write_text, "now\n")
    await exit_file(node, ends)
    await node.start()
    listed = (await node.runtime.ListContainers(make("ListContainersRequest"))).containers
    assert {found.id: found.state for found in listed} == {
        runs: state("RUNNING"),
        ends: state("EXITED"),
        ended: state("EXITED"),
        created: state("CREATED"),
    }
    assert (await node.status(runs)).started_at == before.started_at
    assert [(await node.status(ends)).exit_code, (await node.status(ended)).exit_code] == [7, 4]
    assert await node.address(sandbox) == address
    assert (await node.execute(runs, "echo alive")).stdout == b"alive\n"
    assert node.logged("adopt", "ends")[-1] == ["stdout", "F", "bye"]
    await node.begin(created)
    assert (await node.ended(created)).exit_code == 0
    await node.stop(runs, 20)
    assert (await node.status(runs)).exit_code == 0
    await node.remove_sandbox(sandbox)
    assert node.leftovers() == NOTHING


async def test_what_ends_unseen_while_nobody_watches_is_told_as_unknown(node: Node) -> None:
    sandbox = await node.sandbox("unseen")
    container = await node.run(sandbox, WAIT_FOREVER)
    bundle = node.config.bundles / container
    conmon, pid = (int((bundle / name).read_text()) for name in ("conmon.pid", "pid"))
    await node.kill()
    os.kill(conmon, 9)
    os.kill(pid, 9)
    await node.start()
    status = await node.status(container)
    assert (status.state, status.exit_code, status.reason) == (state("EXITED"), 137, "ContainerStatusUnknown")
    await node.remove_sandbox(sandbox)
    assert node.leftovers() == NOTHING


async def test_a_container_whose_conmon_dies_is_ended(node: Node) -> None:
    sandbox = await node.sandbox("conmon")
    container = await node.run(sandbox, WAIT_FOREVER)
    os.kill(int((node.config.bundles / container / "conmon.pid").read_text()), 9)
    status = await node.ended(container)
    assert (status.exit_code, status.reason) == (137, "ContainerStatusUnknown")
    assert status.message == "conmon, which watched the container, ended before it"
    await node.remove_sandbox(sandbox)
    assert node.leftovers() == NOTHING


async def test_sandboxes_reach_each_other_and_the_host(node: Node) -> None:
    first, second = await asyncio.gather(node.sandbox("one"), node.sandbox("two"))
    one, two = await asyncio.gather(node.address(first), node.address(second))
    assert one != two
    await node.run(first, "mkdir /www; echo hello > /www/index.html; exec httpd -f -v -p 80 -h /www")
    client = await node.run(second, WAIT_FOREVER)
    script = f"for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://{one}/ && exit 0; sleep 0.3; done; exit 1"
    assert (await node.execute(client, script)).stdout == b"hello\n"
    assert (await node.execute(client, f"ping -c1 -W2 {node.config.gateways[IPV4]}")).exit_code == 0
    assert (await node.execute(client, "ip -o addr show lo | grep -c 127.0.0.1")).stdout == b"1\n"
    await asyncio.gather(node.remove_sandbox(first), node.remove_sandbox(second))
    assert node.leftovers() == NOTHING


async def test_a_port_of_the_host_leads_into_its_sandbox(node: Node) -> None:
    port = 20000 + int(node.config.instance, 16) % 10000
    config = node.sandbox_config("port")
    config.port_mappings.append(make("PortMapping", container_port=80, host_port=port))
    sandbox = await node.sandbox("port", config)
    container = await node.run(sandbox, "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www")
    await node.execute(container, "until wget -qO- http://127.0.0.1/; do :; done")
    for host in (node.config.gateways[IPV4], "127.0.0.1"):
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 5)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert b"hello" in await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()
    await node.kill()
    await node.start()
    reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 5)
    writer.close()
    await writer.wait_closed()
    await node.remove_sandbox(sandbox)
    with pytest.raises((OSError, TimeoutError)):
        await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 2)


async def test_a_log_that_was_renamed_is_opened_anew(node: Node) -> None:
    sandbox = await node.sandbox("rotate")
    container = await node.run(
        sandbox, "while read line; do echo $line > /proc/1/fd/1; done < /etc/passwd; " + WAIT_FOREVER
    )
    await node.says("rotate", "c", "web:x")
    log = node.directory / "logs/rotate/c.log"
    log.rename(log.with_suffix(".1"))
    await node.runtime.ReopenContainerLog(make("ReopenContainerLogRequest", container_id=container))
    assert log.exists()
    await node.execute(container, "echo again > /proc/1/fd/1")
    await node.says("rotate", "c", "again")
    assert [entry[2] for entry in node.logged("rotate")] == ["again"]


async def test_too_much_memory_is_told(node: Node) -> None:
    sandbox = await node.sandbox("memory")
    linux = make("LinuxContainerConfig", resources=make("LinuxContainerResources", memory_limit_in_bytes=16 << 20))
    container = await node.run(sandbox, "x=0123456789abcdef; while :; do x=$x$x; done", linux=linux)
    status = await node.ended(container)
    assert (status.exit_code, status.reason) == (137, "OOMKilled")


async def test_usage_is_measured_and_limits_change(node: Node) -> None:
    sandbox = await node.sandbox("stats")
    resources = make("LinuxContainerResources", memory_limit_in_bytes=64 << 20, cpu_shares=512)
    container = await node.run(sandbox, WAIT_FOREVER, linux=make("LinuxContainerConfig", resources=resources))
    request = make("ContainerStatsRequest", container_id=container)
    stats = (await node.runtime.ContainerStats(request)).stats
    assert stats.cpu.usage_core_nano_seconds.value > 0 and stats.memory.working_set_bytes.value > 0
    assert stats.writable_layer.used_bytes.value > 0
    of_sandbox = (await node.runtime.PodSandboxStats(make("PodSandboxStatsRequest", pod_sandbox_id=sandbox))).stats
    assert of_sandbox.linux.network.default_interface.name == "eth0"
    more = make("LinuxContainerResources", memory_limit_in_bytes=128 << 20, cpu_shares=1024)
    await node.runtime.UpdateContainerResources(
        make("UpdateContainerResourcesRequest", container_id=container, linux=more)
    )
    assert (await node.status(container)).resources.linux.memory_limit_in_bytes == 128 << 20
    read = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"
    assert (await node.execute(container, read)).stdout == b"134217728\n"
    if counts_swap():
        with_swap = "cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes /sys/fs/cgroup/memory.swap.max 2>/dev/null"
        assert (await node.execute(container, with_swap)).stdout in (b"134217728\n", b"0\n")
    await node.kill()
    await node.start()
    assert (await node.status(container)).resources.linux.memory_limit_in_bytes == 128 << 20


async def test_users_groups_and_rights(node: Node) -> None:
    sandbox = await node.sandbox("users")
    security = make(
        "LinuxContainerSecurityContext", run_as_username="web", supplemental_groups=[900], no_new_privs=True
    )
    linux = make("LinuxContainerConfig", security_context=security)
    container = await node.run(sandbox, WAIT_FOREVER, "named", linux=linux)
    assert (await node.execute(container, "id -u; id -g; id -G; echo $HOME")).stdout == b"500\n600\n600 700 900\n/srv\n"
    assert b"NoNewPrivs:\t1" in (await node.execute(container, "cat /proc/self/status")).stdout
    user = (await node.status(container)).user.linux
    assert (user.uid, user.gid, list(user.supplemental_groups)) == (500, 600, [600, 700, 900])
    numbered = make("LinuxContainerSecurityContext", run_as_user=make("Int64Value", value=1234), readonly_rootfs=True)
    container = await node.run(
        sandbox, WAIT_FOREVER, "numbered", linux=make("LinuxContainerConfig", security_context=numbered)
    )
    assert (await node.execute(container, "id -u; id -g; touch /x || echo refused")).stdout == b"1234\n0\nrefused\n"
    privileged = make("LinuxContainerSecurityContext", privileged=True)
    container = await node.run(
        sandbox, WAIT_FOREVER, "all", linux=make("LinuxContainerConfig", security_context=privileged)
    )
    assert (await node.execute(container, "mkdir /m && mount -t tmpfs x /m")).exit_code == 0
    assert (await node.execute(container, "test -e /dev/kmsg && test -w /sys")).exit_code == 0


async def test_what_an_image_declares_as_volumes_can_be_written_below_a_read_only_root(node: Node) -> None:
    sandbox = await node.sandbox("volumes")
    context = make("LinuxContainerSecurityContext", readonly_rootfs=True)
    container = await node.run(sandbox, WAIT_FOREVER, linux=make("LinuxContainerConfig", security_context=context))
    script = "for path in /srv /made/below /made /tmp; do touch $path/x 2>/dev/null && echo $path; done"
    assert (await node.execute(container, script)).stdout == b"/srv\n/made/below\n"
    await node.remove_sandbox(sandbox)
    assert node.leftovers() == NOTHING


async def test_any_user_may_take_low_ports_and_ping_in_a_network_of_its_own(node: Node) -> None:
    user = make("LinuxContainerSecurityContext", run_as_user=make("Int64Value", value=1234), no_new_privs=True)
    linux = make("LinuxContainerConfig", security_context=user)
    free = await node.run(await node.sandbox("free"), WAIT_FOREVER, linux=linux)
    greeting = "(echo hello | nc -l -p 80) & until nc 127.0.0.1 80 </dev/null 2>/dev/null; do sleep 0.1; done"
    assert (await node.execute(free, greeting)).stdout == b"hello\n"
    groups = (await node.execute(free, "cat /proc/sys/net/ipv4/ping_group_range")).stdout
    assert groups.split() == [b"0", b"2147483647"]
    asked = node.sandbox_config("asked", sysctls={"net.ipv4.ip_unprivileged_port_start": "1000"})
    bound = await node.run(await node.sandbox("asked", asked), WAIT_FOREVER, linux=linux)
    assert b"Permission denied" in (await node.execute(bound, "nc -l -p 80")).stderr


async def test_a_pod_shares_its_processes_and_the_hosts_network(node: Node) -> None:
    options = make("NamespaceOption", pid=node_mode("POD"))
    config = node.sandbox_config(
        "shared", security_context=make("LinuxSandboxSecurityContext", namespace_options=options)
    )
    sandbox = await node.sandbox("shared", config)

    def linux(**values: int) -> Any:
        security = make("LinuxContainerSecurityContext", namespace_options=make("NamespaceOption", **values))
        return make("LinuxContainerConfig", security_context=security)

    first = await node.run(sandbox, "exec sleep 4321", "first", linux=linux(pid=node_mode("POD")))
    second = await node.run(sandbox, "exec sleep 8765", "second", linux=linux(pid=node_mode("POD")))
    assert b"sleep 4321" in (await node.execute(second, "ps -o args")).stdout
    await node.stop(first)
    assert (await node.status(second)).state == state("RUNNING")
    options = make("NamespaceOption", network=node_mode("NODE"))
    config = node.sandbox_config(
        "host", security_context=make("LinuxSandboxSecurityContext", namespace_options=options)
    )
    host = await node.sandbox("host", config)
    container = await node.run(host, WAIT_FOREVER, linux=linux(network=node_mode("NODE"), pid=node_mode("CONTAINER")))
    assert node.config.bridge.encode() in (await node.execute(container, "ip -o link")).stdout
    await asyncio.gather(node.remove_sandbox(sandbox), node.remove_sandbox(host))
    assert node.leftovers() == NOTHING


async def test_removal_is_idempotent_and_what_is_absent_is_not_found(node: Node) -> None:
    await node.remove_sandbox("0" * 64)
    await node.runtime.RemoveContainer(make("RemoveContainerRequest", container_id="0" * 64))
    await node.stop("0" * 64)
    for call, request in (
        (node.runtime.ContainerStatus, make("ContainerStatusRequest", container_id="0" * 64)),
        (node.runtime.PodSandboxStatus, make("PodSandboxStatusRequest", pod_sandbox_id="0" * 64)),
        (node.runtime.StartContainer, make("StartContainerRequest", container_id="0" * 64)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call(request)
        assert failure.value.code() is grpc.StatusCode.NOT_FOUND
    sandbox = await node.sandbox("again")
    await node.run(sandbox, WAIT_FOREVER)
    await node.remove_sandbox(sandbox)
    await node.remove_sandbox(sandbox)
    assert node.leftovers() == NOTHING


async def exit_file(node: Node, container: str) -> None:
    """Returns once conmon has written how the container ended."""
    async with asyncio.timeout(10):
        while not (node.config.exits / container).exists():
            await asyncio.sleep(0.01)
