"""containerd's API as its own client uses it: Debian's ctr on the socket that serves the CRI."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest

from machinery.rpc.wire import CONTAINERD
from runtime.images.content import digest_of
from runtime.images.push import push
from tests.contract.cri_node import NOTHING, Node, make
from tests.contract.ctr_client import Ctr
from tests.contract.test_registry_pull import image, registry

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root")
BUSYBOX = "docker.io/library/busybox:latest"
WAIT_FOREVER = "trap 'exit 3' TERM; echo up; while :; do sleep 1000 & wait $!; done"


@pytest.fixture
def ctr(node: Node) -> Ctr:
    return Ctr(node.config.socket)


async def listed(node: Node) -> dict[str, Any]:
    """The CRI's images by tag."""
    answer = await node.images.ListImages(make("ListImagesRequest"))
    return {tag: found for found in answer.images for tag in found.repo_tags}


async def test_ctr_finds_the_server_its_namespace_and_its_images(node: Node, ctr: Ctr) -> None:
    assert "Server:\n  Version:  0.1.0\n  Revision: minikube-py\n  UUID: " in await ctr("version")
    assert await ctr.rows("namespaces", "list") == [["k8s.io"]]
    (found,) = (await listed(node)).values()
    assert (await ctr("images", "list", "-q")).split() == [BUSYBOX, found.id]
    row = (await ctr.rows("images", "list", f"name=={BUSYBOX}"))[0]
    assert row[0] == BUSYBOX and row[1] == "application/vnd.oci.image.manifest.v1+json"
    assert row[-1] == "io.cri-containerd.image=managed,io.cri-containerd.pinned=pinned"
    checked = (await ctr.rows("images", "check", f"name=={BUSYBOX}"))[0]
    assert checked[3:5] == ["complete", "(2/2)"] and checked[-1] == "true"


async def test_what_ctr_pulls_the_cri_has_and_runs(node: Node, ctr: Ctr, tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as address:
        name = f"{address}/library/hello:1"
        digest = await push(image(tmp_path), name)
        said = await ctr("images", "pull", "--plain-http", name)
        assert "done: " in said
    found = (await listed(node))[name]
    assert list(found.repo_digests) == [f"{address}/library/hello@{digest}"]
    assert not found.pinned
    assert (await ctr("images", "list", "-q", f"target.digest=={digest}")).split() == [
        name,
        f"{address}/library/hello@{digest}",
        found.id,
    ]
    await ctr("images", "tag", name, "docker.io/library/mine:2")
    await ctr("images", "rm", name)
    assert "docker.io/library/mine:2" in await listed(node)
    for each in (await ctr("images", "list", "-q", f"target.digest=={digest}")).split():
        await ctr("images", "rm", each)
    assert set(await listed(node)) == {BUSYBOX}
    assert digest not in await ctr("content", "list", "-q")


async def test_what_ctr_imports_is_pinned_until_somebody_says_otherwise(node: Node, ctr: Ctr, archive: Path) -> None:
    await ctr("images", "rm", "--sync", BUSYBOX)
    assert await listed(node) == {}
    said = await ctr("images", "import", str(archive))
    assert said.startswith(f"unpacking {BUSYBOX} (sha256:")
    assert (await listed(node))[BUSYBOX].pinned
    await ctr("images", "label", BUSYBOX, "io.cri-containerd.pinned=", "who=me")
    assert not (await listed(node))[BUSYBOX].pinned
    labels = (await ctr.rows("images", "list", f"name=={BUSYBOX}"))[0][-1]
    assert labels == "io.cri-containerd.image=managed,who=me"
    sandbox = await node.sandbox("imported")
    assert (await node.ended(await node.run(sandbox, "exit 4"))).exit_code == 4


async def test_an_image_of_another_machine_is_refused_by_both_names(ctr: Ctr, tmp_path: Path) -> None:
    import tarfile

    from runtime.images.layout import write_layout
    from runtime.images.platform import Platform

    (tmp_path / "files").mkdir()
    layout = write_layout(tmp_path / "far", tmp_path / "files", {}, platform=Platform("linux", "s390x"))
    index = json.loads((layout.directory / "index.json").read_text())
    index["manifests"][0]["annotations"] = {"io.containerd.image.name": "docker.io/library/far:1"}
    (layout.directory / "index.json").write_text(json.dumps(index))
    with tarfile.open(tmp_path / "far.tar", "w") as tar:
        tar.add(layout.directory, ".")
    said = await ctr.refused("images", "import", "--platform", "linux/s390x", str(tmp_path / "far.tar"))
    assert "the image is for linux/s390x, this machine runs linux/" in said


async def test_containers_have_the_ids_of_the_cri(node: Node, ctr: Ctr) -> None:
    sandbox = await node.sandbox("ids")
    container = await node.run(sandbox, WAIT_FOREVER, labels={"io.kubernetes.pod.name": "ids"})
    assert await ctr.rows("containers", "list") == [[container, BUSYBOX, "io.containerd.runc.v2"]]
    assert await ctr.rows("containers", "list", 'labels."io.kubernetes.pod.name"==other') == []
    info = json.loads(await ctr("containers", "info", container))
    assert info["Labels"]["io.kubernetes.pod.name"] == "ids"
    assert info["Spec"]["process"]["args"][0] == "sh"
    status = await node.status(container)
    (task,) = await ctr.rows("tasks", "list")
    assert task[0] == container and task[2] == "RUNNING"
    assert [task[1]] == [row[0] for row in await ctr.rows("tasks", "ps", container)][:1]
    assert status.id == container
    table = {row[0]: row[1] for row in await ctr.rows("tasks", "metrics", container) if len(row) == 2}
    assert int(table["pids.current"]) >= 1
    assert int(table.get("memory.usage_in_bytes") or table["memory.usage"]) > 0
    assert int(table.get("cpuacct.usage") or table["cpu.usage_usec"]) > 0
    keys = {row[0] for row in await ctr.rows("snapshots", "list")}
    assert container in keys
    await node.remove_sandbox(sandbox)
    assert await ctr.rows("containers", "list") == []
    assert container not in {row[0] for row in await ctr.rows("snapshots", "list")}
    assert node.leftovers() == NOTHING


async def answers(address: str, seconds: float) -> str:
    def ask() -> str:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=seconds) as response:
                return str(response.read().decode())
        except (TimeoutError, urllib.error.URLError):
            return ""

    return await asyncio.to_thread(ask)


async def test_a_paused_container_stops_answering_and_goes_on_after_resume(node: Node, ctr: Ctr) -> None:
    sandbox = await node.sandbox("paused")
    container = await node.run(sandbox, "echo hello >/tmp/index.html; exec httpd -f -p 80 -h /tmp")
    address = await node.address(sandbox)
    async with asyncio.timeout(20):
        while await answers(address, 5) != "hello\n":
            pass
    await ctr("tasks", "pause", container)
    assert [row[2] for row in await ctr.rows("tasks", "list")] == ["PAUSED"]
    assert await answers(address, 0.5) == ""
    assert (await node.status(container)).state == 1
    await ctr("tasks", "resume", container)
    assert [row[2] for row in await ctr.rows("tasks", "list")] == ["RUNNING"]
    assert await answers(address, 20) == "hello\n"
    await ctr("tasks", "pause", container)
    await node.stop(container, 0)
    assert (await node.status(container)).exit_code == 137
    await node.remove_sandbox(sandbox)
    assert node.leftovers() == NOTHING


async def test_a_kill_reaches_the_container(node: Node, ctr: Ctr) -> None:
    sandbox = await node.sandbox("kill")
    container = await node.run(sandbox, WAIT_FOREVER)
    async with asyncio.timeout(20):
        while ["stdout", "F", "up"] not in node.logged("kill"):
            await asyncio.to_thread(os.sched_yield)
    await ctr("tasks", "kill", container)
    assert (await node.ended(container)).exit_code == 3
    assert await ctr.rows("tasks", "list") == []
    assert f"task {container} not found" in await ctr.refused("tasks", "pause", container)
    assert 'container "nosuch" in namespace "k8s.io": not found' in await ctr.refused("tasks", "kill", "nosuch")


async def test_events_tell_a_containers_life(node: Node, ctr: Ctr) -> None:
    sandbox = await node.sandbox("events")
    seen: list[tuple[str, dict[str, Any]]] = []

    async def listen(lines: asyncio.StreamReader, heard: asyncio.Event) -> None:
        while not seen or seen[-1][0] != "/images/delete":
            at, _, rest = (await lines.readline()).decode().partition(" k8s.io ")
            assert at.endswith(" +0000 UTC")
            topic, _, body = rest.partition(" ")
            seen.append((topic, json.loads(body)))
            heard.set()

    async with (
        asyncio.timeout(60),
        ctr.running("events", "topic~=^/(containers|tasks)/", "topic==/images/delete") as out,
    ):
        heard = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(listen(out, heard))
            while not heard.is_set():
                # ctr does not say when it listens, so something happens until it hears.
                await node.stop(await node.run(sandbox, WAIT_FOREVER))
            await ctr("images", "tag", BUSYBOX, "docker.io/library/last:1")
            container = await node.run(sandbox, "exit 5")
            await node.ended(container)
            await node.remove_sandbox(sandbox)
            await ctr("images", "rm", "docker.io/library/last:1")
    mine = [(topic, body) for topic, body in seen if container in json.dumps(body)]
    assert [topic for topic, _ in mine] == [
        "/containers/create",
        "/tasks/create",
        "/tasks/start",
        "/tasks/exit",
        "/tasks/delete",
        "/containers/delete",
    ]
    assert mine[3][1]["exit_status"] == 5 and mine[0][1]["image"] == BUSYBOX
    assert seen[-1][1] == {"name": "docker.io/library/last:1"}


async def test_other_namespaces_are_empty_and_take_nothing(node: Node, archive: Path) -> None:
    other = Ctr(node.config.socket, "default")
    assert await other.rows("images", "list") == []
    assert await other.rows("containers", "list") == []
    assert await other.rows("tasks", "list") == []
    assert 'namespace "default" can hold nothing here' in await other.refused("images", "import", str(archive))
    assert "the namespace k8s.io alone" in await other.refused("namespaces", "create", "mine")


async def test_what_is_sent_under_a_lease_stays_until_it_ends(node: Node, ctr: Ctr) -> None:
    body = b"sent and not named"
    digest = digest_of(body)
    metadata = (("containerd-namespace", "k8s.io"), ("containerd-lease", "mine"))
    async with grpc.aio.insecure_channel(f"unix:{node.config.socket}") as channel:

        def message(service: str, name: str, **values: Any) -> Any:
            return CONTAINERD.message(f"containerd.services.{service}.v1.{name}")(**values)

        leases = CONTAINERD.stub(channel, "containerd.services.leases.v1.Leases")
        content = CONTAINERD.stub(channel, "containerd.services.content.v1.Content")
        await leases.Create(message("leases", "CreateRequest", id="mine"), metadata=metadata)
        stream = content.Write(metadata=metadata)
        await stream.write(message("content", "WriteContentRequest", action=1, ref="x", data=body[:5]))
        await stream.read()
        await stream.write(message("content", "WriteContentRequest", action=2, ref="x", offset=5, data=body[5:]))
        assert (await stream.read()).digest == digest
        await stream.done_writing()
        await ctr("images", "rm", BUSYBOX)
        assert (await ctr("content", "list", "-q")).split() == [digest]
        assert await ctr("content", "get", digest) == body.decode()
        await leases.Delete(message("leases", "DeleteRequest", id="mine"), metadata=metadata)
        assert await ctr("content", "list", "-q") == ""
