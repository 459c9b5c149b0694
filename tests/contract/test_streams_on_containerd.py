"""The kubelet's streams over another runtime: Debian's containerd, whose own streaming server speaks SPDY and v4.

What it does not know (v5, SPDY in a WebSocket) the kubelet translates.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from kubelet import podstate
from kubelet.cri import Cri
from kubelet.streaming import Streaming
from machinery.api.resource import Object
from machinery.rpc.wire import CRI
from machinery.streams.channels import STDOUT
from machinery.streams.remote_command import SUCCESS
from runtime.images.layout import write_layout
from tests.contract.containerd_server import containerd
from tests.contract.cri_node import BUSYBOX
from tests.contract.stream_client import forwarding, open_pair, spdy_command, tunnelled, websocket_command, whole

pytestmark = [
    pytest.mark.skipif(not BUSYBOX.exists(), reason="no busybox at hand"),
    pytest.mark.asyncio(loop_scope="module"),
]
UID = "0b0e5d0c-0000-4000-8000-000000000001"
POD: Object = {
    "metadata": {"name": "p", "namespace": "ns", "uid": UID},
    "spec": {"containers": [{"name": "c", "stdin": True}]},
}
LABELS = {podstate.POD_UID: UID, podstate.CONTAINER_NAME: "c"}
NODE = CRI.enum("runtime.v1.NamespaceMode")["NODE"]


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The endpoint of a containerd of our own, with an image to run."""
    cri = """sandbox_image = "docker.io/library/sleeper:latest"
disable_apparmor = true
restrict_oom_score_adj = true"""
    with containerd(folder, cri, "native") as endpoint:
        command = ["ctr", "-a", str(folder / "c.sock"), "-n", "k8s.io", "images", "import", "--snapshotter", "native"]
        subprocess.run([*command, sleeper(folder)], check=True, capture_output=True)
        yield endpoint


def sleeper(folder: Path) -> Path:
    """An image of busybox that sleeps by itself, as sandboxes must."""
    rootfs = folder / "rootfs"
    for name in ("bin", "etc", "tmp"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, rootfs / "bin/busybox")
    for applet in ("sh", "cat", "sleep", "sort", "head", "httpd", "nc", "mkdir", "nslookup", "stty"):
        (rootfs / "bin" / applet).symlink_to("busybox")
    layout = write_layout(folder / "layout", rootfs, {"Cmd": ["sleep", "1000000"], "Env": ["PATH=/bin"]})
    index = json.loads((layout.directory / "index.json").read_text())
    index["manifests"][0]["annotations"] = {"io.containerd.image.name": "docker.io/library/sleeper:latest"}
    (layout.directory / "index.json").write_text(json.dumps(index))
    subprocess.run(["tar", "-C", layout.directory, "-cf", folder / "sleeper.tar", "."], check=True)
    return folder / "sleeper.tar"


async def run_pod(cri: Cri, folder: Path) -> tuple[str, str]:
    """A sandbox on the host's network, and in it a container that answers lines."""
    security = {"namespace_options": {"network": NODE}}
    parent = f"/mkpy-ctrd-{uuid.uuid4().hex[:6]}"
    sandbox = {
        "metadata": {"name": "p", "uid": UID, "namespace": "ns"},
        "labels": {podstate.POD_UID: UID},
        "log_directory": str(folder / "logs"),
        "linux": {"cgroup_parent": parent, "security_context": security},
    }
    sandbox_id = await cri.run_sandbox(sandbox)
    container = {
        "metadata": {"name": "c"},
        "image": {"image": "docker.io/library/sleeper:latest"},
        "command": ["sh", "-c", "while read line; do echo got $line; done"],
        "stdin": True,
        "labels": LABELS,
        "log_path": "c.log",
        "linux": {"security_context": security},
    }
    container_id = await cri.create_container(sandbox_id, container, sandbox)
    await cri.start_container(container_id)
    return sandbox_id, parent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node() -> AsyncIterator[str]:
    """The URL of a kubelet's streams over a containerd with one pod."""
    with tempfile.TemporaryDirectory(prefix="mkpy-ctrd-") as name, running(Path(name)) as endpoint:
        async with Cri(endpoint) as cri:
            sandbox, parent = await run_pod(cri, Path(name))
            application = web.Application()
            Streaming(cri, lambda: [POD]).add_routes(application.router)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            try:
                yield f"http://127.0.0.1:{runner.addresses[0][1]}"
            finally:
                await runner.cleanup()
                await cri.stop_sandbox(sandbox)
                await cri.remove_sandbox(sandbox)
                for group in Path("/sys/fs/cgroup").glob(f"*{parent}"):
                    group.rmdir()


async def test_commands_by_spdy(node: str) -> None:
    async with spdy_command(
        f"{node}/exec/ns/p/c?command=sh&command=-c&command=echo+out;echo+err>%262;exit+3&output=1&error=1"
    ) as command:
        answer = await command.answer()
    assert (answer.stdout, answer.stderr) == (b"out\n", b"err\n")
    assert json.loads(answer.status)["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    async with spdy_command(f"{node}/exec/ns/p/c?command=sort&input=1&output=1", ("stdin", "stdout")) as command:
        await command.send(b"b\na\n")
        await command.end_input()
        answer = await command.answer()
    assert (answer.stdout, json.loads(answer.status)) == (b"a\nb\n", json.loads(SUCCESS.status()))


async def test_commands_by_websocket_up_to_v4(node: str) -> None:
    async with websocket_command(
        f"{node}/exec/ns/p/c?command=cat&command=/etc/hosts&output=1", "v4.channel.k8s.io"
    ) as socket:
        answer = await socket.answer()
    assert b"localhost" in answer.stdout
    assert json.loads(answer.status)["status"] == "Success"


async def test_commands_by_v5_of_which_it_knows_nothing(node: str) -> None:
    script = "sort;+echo+err>%262;+exit+3"
    url = f"{node}/exec/ns/p/c?command=sh&command=-c&command={script}&input=1&output=1&error=1"
    async with websocket_command(url) as socket:
        await socket.send(b"b\na\n")
        await socket.end_input()
        answer = await socket.answer()
    assert (answer.stdout, answer.stderr) == (b"a\nb\n", b"err\n")
    assert json.loads(answer.status)["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


async def test_a_terminal_by_v5(node: str) -> None:
    script = "read+line;+stty+size;+echo+$line"
    url = f"{node}/exec/ns/p/c?command=sh&command=-c&command={script}&input=1&output=1&tty=1"
    async with websocket_command(url) as socket:
        await socket.resize(71, 23)
        # The terminal has its size a moment later, in its own time.
        await socket.send(b"hello\n")
        answer = await socket.answer()
    assert b"hello\r\n" in answer.stdout
    assert json.loads(answer.status)["status"] == "Success"


async def test_much_both_ways_by_v5(node: str) -> None:
    data = os.urandom(1 << 20) * 8
    url = f"{node}/exec/ns/p/c?command=cat&input=1&output=1"
    async with websocket_command(url) as socket, asyncio.TaskGroup() as group:
        answering = group.create_task(socket.answer())
        for start in range(0, len(data), 1 << 16):
            await socket.send(data[start : start + (1 << 16)])
        await socket.end_input()
    assert answering.result().stdout == data


async def test_who_leaves_in_the_middle_of_v5_ends_the_input(node: str) -> None:
    url = f"{node}/exec/ns/p/c?command=sh&command=-c"
    async with websocket_command(f"{url}&command=cat;+mkdir+/gone&input=1&output=1") as socket:
        await socket.send(b"said\n")
        assert await socket.next() == (STDOUT, b"")
        assert await socket.next() == (STDOUT, b"said\n")
    async with websocket_command(f"{url}&command=until+[+-d+/gone+];+do+:;+done&output=1") as socket:
        assert json.loads((await socket.answer()).status)["status"] == "Success"


async def test_attached(node: str) -> None:
    async with spdy_command(f"{node}/attach/ns/p/c?input=1&output=1", ("stdin", "stdout")) as command:
        await command.send(b"one\n")
        assert await command.streams["stdout"].read() == b"got one\n"
        await command.end_input()
        assert json.loads((await command.answer()).status)["status"] == "Success"


async def test_attached_by_v5(node: str) -> None:
    async with websocket_command(f"{node}/attach/ns/p/c?input=1&output=1") as socket:
        await socket.send(b"two\n")
        said = b""
        while said != b"got two\n":
            channel, data = await socket.next() or (-1, b"")
            assert channel == STDOUT
            said += data
        await socket.end_input()
        assert json.loads((await socket.answer()).status)["status"] == "Success"


@pytest.mark.parametrize("opened", [forwarding, tunnelled])
async def test_a_port(node: str, opened: Any) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"you said " + await reader.readline())
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listener, opened(f"{node}/portForward/ns/p") as session:
        data, errors = await open_pair(session, listener.sockets[0].getsockname()[1], 0)
        await data.write(b"hello\n")
        assert await whole(data) == b"you said hello\n"
        await data.end()
        assert await whole(errors) == b""
