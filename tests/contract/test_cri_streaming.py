"""CRI's Exec, Attach and PortForward on the embedded runtime, by clients that speak as crictl and kubectl do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc.aio
import pytest
import pytest_asyncio

from machinery.streams.channels import COMMAND_PROTOCOLS, STDOUT
from machinery.streams.remote_command import SPDY_PROTOCOLS, SUCCESS
from runtime.cri.streaming.tokens import MOST, SECONDS, Tokens
from runtime.errors import ResourceExhausted
from tests.contract.cri_node import BUSYBOX, Node, busybox_archive, make, serving
from tests.contract.stream_client import (
    Answer,
    RefusedError,
    WebSocketCommand,
    bare_websocket,
    forwarding,
    open_pair,
    spdy_command,
    tunnelled,
    upgraded,
    websocket_command,
    whole,
)

pytestmark = [
    pytest.mark.skipif(not BUSYBOX.exists(), reason="no busybox at hand"),
    pytest.mark.asyncio(loop_scope="module"),
]
MEGABYTE = 1 << 20
SLEEP = "trap exit TERM; while true; do sleep 1000 & wait; done"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    archive = busybox_archive(tmp_path_factory.mktemp("busybox"))
    async with serving(tmp_path_factory.mktemp("node"), archive) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sleeper(node: Node) -> str:
    """A container to run commands in."""
    return await node.run(await node.sandbox("sleeper"), SLEEP)


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(node: Node, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A sandbox of the test's own name."""
    found = await node.sandbox(request.node.name.replace("_", "-")[:60])
    yield found
    await node.remove_sandbox(found)


async def exec_url(node: Node, container: str, *command: str, **flags: bool) -> str:
    flags = flags or {"stdout": True, "stderr": True}
    request = make("ExecRequest", container_id=container, cmd=command, **flags)
    return str((await node.runtime.Exec(request)).url)


def said(answer: Answer) -> Any:
    return json.loads(answer.status)


async def test_a_command_by_every_protocol(node: Node, sleeper: str) -> None:
    script = ("sh", "-c", "echo out; echo err >&2; exit 3")
    for name in SPDY_PROTOCOLS:
        async with spdy_command(await exec_url(node, sleeper, *script), protocol=name) as command:
            answer = await command.answer()
        assert (answer.stdout, answer.stderr) == (b"out\n", b"err\n")
        if name == "v4.channel.k8s.io":
            assert said(answer)["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
        else:
            assert b"command terminated with non-zero exit code" in answer.status
    for protocol in COMMAND_PROTOCOLS:
        async with websocket_command(await exec_url(node, sleeper, *script), protocol.name) as socket:
            assert await socket.next() == (STDOUT, b"")
            answer = await socket.answer()
        assert (answer.stdout, answer.stderr) == (b"out\n", b"err\n")
        if protocol.has_status:
            assert said(answer)["reason"] == "NonZeroExitCode"
        else:
            assert b"exit code 3" in answer.status


async def test_success_and_failure_are_told(node: Node, sleeper: str) -> None:
    async with spdy_command(await exec_url(node, sleeper, "true")) as command:
        assert (await command.answer()).status == SUCCESS.status()
    async with websocket_command(await exec_url(node, sleeper, "no-such-thing")) as socket:
        answer = await socket.answer()
    assert (answer.stdout, answer.stderr) == (b"", b"")
    assert said(answer)["reason"] == "InternalError"
    assert 'exec: "no-such-thing": executable file not found in $PATH' in said(answer)["message"]
    async with websocket_command(await exec_url(node, sleeper, "sh", "-c", "kill -9 $$")) as socket:
        assert said(await socket.answer())["details"]["causes"][0]["message"] == "137"


async def test_input_ends_by_itself(node: Node, sleeper: str) -> None:
    flags = {"stdin": True, "stdout": True}
    async with spdy_command(await exec_url(node, sleeper, "cat", **flags), ("stdin", "stdout")) as command:
        await command.send(b"hello ")
        assert await command.streams["stdout"].read() == b"hello "
        await command.send(b"world")
        await command.end_input()
        answer = await command.answer()
    assert (answer.stdout, answer.status) == (b"world", SUCCESS.status())
    async with websocket_command(await exec_url(node, sleeper, "sort", **flags)) as socket:
        await socket.send(b"b\na\n")
        await socket.end_input()
        assert (await socket.answer()).stdout == b"a\nb\n"


async def test_a_terminal(node: Node, sleeper: str) -> None:
    flags = {"stdin": True, "stdout": True, "tty": True}
    script = "tty; echo $TERM; while read word; do [ $word = end ] && exit 7; stty size; echo asked; done"
    async with websocket_command(await exec_url(node, sleeper, "sh", "-c", script, **flags)) as socket:
        await socket.resize(101, 33)
        # runc sets both terminals' modes after the command has begun: on a busy machine the first lines end otherwise.
        seen = await said_up_to(socket, b"xterm")
        assert b"/dev/pts/" in seen
        # The size and what is typed are on their way side by side.
        while b"33 101\r\n" not in seen:
            await socket.send(b"go\n")
            seen = await said_up_to(socket, b"asked")
        await socket.send(b"end\n")
        assert said(await socket.answer())["details"]["causes"][0]["message"] == "7"


async def said_up_to(socket: WebSocketCommand, mark: bytes) -> bytes:
    """What the command says until the mark."""
    seen = b""
    while mark not in seen:
        message = await socket.next()
        assert message is not None, seen
        seen += message[1]
    return seen


async def test_a_terminal_that_the_client_leaves_is_hung_up(node: Node, sleeper: str) -> None:
    flags = {"stdin": True, "stdout": True, "tty": True}
    script = "trap 'echo gone >/tmp/hup; exit' HUP; echo here; while true; do sleep 0.1; done"
    async with websocket_command(await exec_url(node, sleeper, "sh", "-c", script, **flags)) as socket:
        while b"here" not in (await socket.next() or (0, b""))[1]:
            continue
    done = await node.execute(sleeper, "while ! cat /tmp/hup 2>/dev/null; do sleep 0.1; done", 20)
    assert done.stdout == b"gone\n"


async def test_megabytes_both_ways_and_nobody_is_ahead(node: Node, sleeper: str) -> None:
    size = 24 * MEGABYTE
    flags = {"stdin": True, "stdout": True}
    block = bytes(range(256)) * 256

    async with spdy_command(await exec_url(node, sleeper, "cat", **flags), ("stdin", "stdout")) as command:

        async def send() -> None:
            for _ in range(size // len(block)):
                await command.send(block)
            await command.end_input()

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            answer = await command.answer()
    assert answer.stdout == block * (size // len(block))
    script = f"head -c {size} /dev/zero"
    async with websocket_command(await exec_url(node, sleeper, "sh", "-c", script)) as socket:
        answer = await socket.answer()
    assert len(answer.stdout) == size
    assert answer.status == SUCCESS.status()


async def test_a_command_that_reads_no_more_still_answers(node: Node, sleeper: str) -> None:
    flags = {"stdin": True, "stdout": True}
    url = await exec_url(node, sleeper, "sh", "-c", "head -c 5; exec <&-; echo done", **flags)
    async with websocket_command(url) as socket:
        for _ in range(40):
            await socket.send(b"x" * (64 << 10))
        answer = await socket.answer()
    assert (answer.stdout, answer.status) == (b"xxxxxdone\n", SUCCESS.status())


@pytest.mark.parametrize("connect", [bare_websocket, None], ids=["WebSocket", "SPDY"])
async def test_who_leaves_in_the_middle_leaves_no_command_waiting(node: Node, sandbox: str, connect: Any) -> None:
    container = await node.run(sandbox, SLEEP)
    url = await exec_url(node, container, "cat", stdin=True, stdout=True)
    client: Any = connect(url) if connect else spdy_command(url, ("stdin", "stdout"))
    async with client as command:
        with contextlib.suppress(TimeoutError):
            # Nobody reads what comes back, so in the end nothing more is taken.
            async with asyncio.timeout(3):
                while True:
                    await command.send(bytes(64 << 10))
        await command.cut()
    done = await node.execute(container, "while pidof cat >/dev/null; do sleep 0.1; done; echo gone", 20)
    assert done.stdout == b"gone\n"


async def test_a_url_serves_once(node: Node, sleeper: str) -> None:
    url = await exec_url(node, sleeper, "true")
    with pytest.raises(RefusedError) as refused:
        async with upgraded(url, ["v9.channel.k8s.io"]):
            pass
    assert refused.value.status == 403
    assert "client supports [v9.channel.k8s.io], server accepts [v4.channel.k8s.io" in refused.value.body
    with pytest.raises(RefusedError) as refused:
        async with spdy_command(url):
            pass
    assert refused.value.status == 404
    async with aiohttp.ClientSession() as session, session.get(await exec_url(node, sleeper, "true")) as answer:
        assert answer.status == 400


async def test_streams_need_something_that_runs(node: Node, sandbox: str) -> None:
    container = await node.create(sandbox, "true")
    for call in (
        node.runtime.Exec(make("ExecRequest", container_id=container, cmd=["true"], stdout=True)),
        node.runtime.Attach(make("AttachRequest", container_id=container, stdout=True)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call
        assert "container is in CONTAINER_CREATED state" in (error.value.details() or "")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await node.runtime.PortForward(make("PortForwardRequest", pod_sandbox_id="nothing"))
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


async def attach_url(node: Node, container: str, **flags: bool) -> str:
    return str((await node.runtime.Attach(make("AttachRequest", container_id=container, **flags))).url)


async def test_attached_to_a_container_s_input_and_output(node: Node, sandbox: str) -> None:
    script = "read a; echo out $a; echo err >&2; read b; echo $b"
    container = await node.run(sandbox, script, stdin=True, stdin_once=True)
    flags = {"stdin": True, "stdout": True, "stderr": True}
    url = await attach_url(node, container, **flags)
    async with spdy_command(url, ("stdin", "stdout", "stderr")) as command:
        await command.send(b"one\n")
        assert await command.streams["stdout"].read() == b"out one\n"
        await command.send(b"two\n")
        answer = await command.answer()
    assert (answer.stdout, answer.stderr, answer.status) == (b"two\n", b"err\n", SUCCESS.status())
    assert (await node.ended(container)).exit_code == 0
    assert [line[2] for line in node.logged("test-attached-to-a-container-s-input-and-output")] == [
        "out one",
        "err",
        "two",
    ]


async def test_input_that_is_given_once_ends(node: Node, sandbox: str) -> None:
    container = await node.run(sandbox, "sort; echo sorted", stdin=True, stdin_once=True)
    url = await attach_url(node, container, stdin=True, stdout=True)
    async with spdy_command(url, ("stdin", "stdout")) as command:
        await command.send(b"b\na\n")
        await command.end_input()
        assert (await command.answer()).stdout == b"a\nb\nsorted\n"


async def test_input_that_stays_open_outlasts_who_attached(node: Node, sandbox: str) -> None:
    container = await node.run(sandbox, "while read a; do echo got $a; done", stdin=True)
    for word in (b"one", b"two"):
        url = await attach_url(node, container, stdin=True, stdout=True)
        async with spdy_command(url, ("stdin", "stdout")) as command:
            await command.send(word + b"\n")
            assert await command.streams["stdout"].read() == b"got " + word + b"\n"
            await command.end_input()
            assert (await command.answer()).status == SUCCESS.status()


async def test_attached_to_a_terminal(node: Node, sandbox: str) -> None:
    script = "while read word; do stty size; echo got $word; done"
    container = await node.run(sandbox, script, stdin=True, tty=True)
    url = await attach_url(node, container, stdin=True, stdout=True, tty=True)
    async with websocket_command(url) as socket:
        for width in range(90, 100):
            # Size after size, as a window's edge is drawn: the last one counts.
            await socket.resize(width, 22)
        seen = b""
        while b"22 99\r\n" not in seen:
            await socket.send(b"word\n")
            seen = await said_up_to(socket, b"got word\r\n")


LISTEN = "exec nc -ll -p 8080 -e sh -c 'read a; echo you said $a'"


async def forward_url(node: Node, sandbox: str, *ports: int) -> str:
    request = make("PortForwardRequest", pod_sandbox_id=sandbox, port=ports)
    return str((await node.runtime.PortForward(request)).url)


async def listening(node: Node, container: str) -> None:
    await node.execute(container, "until netstat -ltn | grep -q 8080; do sleep 0.05; done", 20)


async def test_a_port_inside(node: Node, sandbox: str) -> None:
    container = await node.run(sandbox, LISTEN)
    await listening(node, container)
    async with forwarding(await forward_url(node, sandbox)) as session:
        for number in range(3):
            data, errors = await open_pair(session, 8080, number)
            await data.write(b"hello %d\n" % number)
            assert await whole(data) == b"you said hello %d\n" % number
            await data.end()
            assert await whole(errors) == b""


async def test_connections_side_by_side_and_half_closed(node: Node, sandbox: str) -> None:
    # Answers when its input has ended, so each connection must be told of the end alone.
    container = await node.run(sandbox, "exec nc -ll -p 8080 -e sh -c 'sort; echo end'")
    await listening(node, container)
    async with forwarding(await forward_url(node, sandbox)) as session:
        pairs = [await open_pair(session, 8080, number) for number in range(5)]
        for number, (data, _) in enumerate(pairs):
            await data.write(b"%d\n" % number)
        for number, (data, errors) in reversed(list(enumerate(pairs))):
            await data.end()
            assert await whole(data) == b"%d\nend\n" % number
            assert await whole(errors) == b""


async def test_a_refused_port_is_worded_as_upstream(node: Node, sandbox: str) -> None:
    async with forwarding(await forward_url(node, sandbox)) as session:
        data, errors = await open_pair(session, 81, 0)
        words = (await whole(errors)).decode()
        assert words.startswith(
            f"error forwarding port 81 to pod {sandbox}, uid : failed to execute portforward in network namespace "
        )
        assert words.endswith(
            f': failed to connect to localhost:81 inside namespace "{sandbox}", '
            "IPv4: dial tcp4 127.0.0.1:81: connect: connection refused "
            "IPv6 dial tcp6 [::1]:81: connect: connection refused "
        )
        assert await whole(data) == b""


async def test_spdy_in_a_websocket(node: Node, sandbox: str) -> None:
    await listening(node, await node.run(sandbox, LISTEN))
    url = await forward_url(node, sandbox)
    async with tunnelled(url) as session:
        data, errors = await open_pair(session, 8080, 0)
        await data.write(b"tunnel\n")
        assert await whole(data) == b"you said tunnel\n"
        await data.end()
        assert await whole(errors) == b""


async def test_a_port_by_plain_channels(node: Node, sandbox: str) -> None:
    await listening(node, await node.run(sandbox, LISTEN))
    url = await forward_url(node, sandbox, 8080, 81)
    async with websocket_command(url, "v4.channel.k8s.io") as socket:
        starts = {await socket.next() for _ in range(4)}
        assert starts == {(0, b"\x90\x1f"), (1, b"\x90\x1f"), (2, b"Q\0"), (3, b"Q\0")}
        await socket.send(b"channels\n", 0)
        found = dict([await socket.next() or (-1, b""), await socket.next() or (-1, b"")])
    assert found[0] == b"you said channels\n"
    assert b"connection refused" in found[3]


async def test_nothing_of_a_stream_is_left(node: Node, sandbox: str) -> None:
    container = await node.run(sandbox, SLEEP)
    url = await exec_url(node, container, "sh", "-c", "echo started; sleep 1000", stdin=True, stdout=True)
    async with websocket_command(url) as socket:
        assert await socket.next() == (STDOUT, b"")
        assert await socket.next() == (STDOUT, b"started\n")
    bundle = node.config.bundles / container
    assert len(list(bundle.glob("exec-*"))) == 1
    await node.stop(container)
    async with asyncio.timeout(20):
        while list(bundle.glob("exec-*")):
            await asyncio.sleep(0.01)


async def test_tokens_are_good_once_and_for_a_minute() -> None:
    now = 0.0
    tokens: Tokens[str] = Tokens(lambda: now)
    token = tokens.promise("this")
    assert tokens.redeem(token) == "this"
    assert tokens.redeem(token) is None
    token = tokens.promise("that")
    now = SECONDS
    assert tokens.redeem(token) is None
    for number in range(MOST):
        tokens.promise(str(number))
    with pytest.raises(ResourceExhausted):
        tokens.promise("one more")
