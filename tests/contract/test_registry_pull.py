"""Pulling through the registry protocol, from Debian's docker-registry on a free loopback port."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from machinery.linux.mount import mount_points
from runtime.errors import NotFound, PermissionDenied, RuntimeFault, Unauthenticated, Unavailable
from runtime.images import transport
from runtime.images.content import digest_of
from runtime.images.layout import Layout, write_layout
from runtime.images.media import DOCKER_LIST, OCI_MANIFEST
from runtime.images.platform import host_platform
from runtime.images.push import push
from runtime.images.service import ImageService
from runtime.snapshots.overlay import OverlaySnapshotter

# The user "u" whose password is "U*U": a published test vector of bcrypt.
HTPASSWD = "u:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n"


@dataclass
class Auth:
    username: str = ""
    password: str = ""
    auth: str = ""
    server_address: str = ""
    identity_token: str = ""
    registry_token: str = ""


@contextmanager
def registry(directory: Path, extra: str = "") -> Iterator[str]:
    """A running docker-registry; its host and port."""
    if shutil.which("docker-registry") is None:
        pytest.fail("Debian's docker-registry is missing: apt-get install docker-registry")
    directory.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (directory / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {directory}/data}}}}\nhttp: {{addr: '{address}'}}\n{extra}"
    )
    with open(directory / "log", "wb") as log:
        child = subprocess.Popen(["docker-registry", "serve", directory / "config.yml"], stdout=log, stderr=log)
    try:
        while not _listens(address):
            assert child.poll() is None, (directory / "log").read_text()
        yield address
    finally:
        child.terminate()
        child.wait()


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) == 0


def image(directory: Path, text: str = "hello") -> Path:
    (directory / "files/etc").mkdir(parents=True, exist_ok=True)
    (directory / "files/etc/motd").write_text(text)
    return write_layout(directory / "layout", directory / "files", {"Cmd": [text]}).directory


def service(directory: Path, mirrors: Mapping[str, Sequence[str]] | None = None) -> ImageService:
    return ImageService(directory / "images", OverlaySnapshotter(directory / "snapshots"), mirrors or {})


async def test_an_image_comes_from_a_mirror_and_is_mounted(tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as address:
        digest = await push(image(tmp_path), f"{address}/library/hello:latest")
        images = service(tmp_path, {"docker.io": ["http://127.0.0.1:1", f"http://{address}"]})
        seen: list[tuple[str, int, int]] = []
        pulled = await images.pull("hello", on_progress=lambda *told: seen.append(told))
        assert pulled.repo_tags == ("docker.io/library/hello:latest",)
        assert pulled.repo_digests == (f"docker.io/library/hello@{digest}",)
        assert pulled.config["config"] == {"Cmd": ["hello"]}
        assert seen and seen[-1][1] == seen[-1][2]
        root = await images.prepare_rootfs("c1", pulled.id)
        try:
            assert (root / "etc/motd").read_text() == "hello"
            (root / "etc/motd").write_text("changed")
            assert (await images.rootfs_usage("c1"))[1] >= 1
        finally:
            await images.remove_rootfs("c1")
    assert mount_points(tmp_path) == []
    with pytest.raises(NotFound):
        await images.rootfs_usage("c1")


async def test_a_removed_image_leaves_nothing_once_its_containers_are_gone(tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as address:
        await push(image(tmp_path), f"{address}/a:1")
        images = service(tmp_path)
        pulled = await images.pull(f"{address}/a:1")
    await images.prepare_rootfs("c1", pulled.id)
    await images.remove(f"{address}/a:1")
    assert images.list() == [] and images.get(pulled.id) is None
    assert (await images.usage())[1] > 0
    await images.remove_rootfs("c1")
    assert await images.usage() == (0, 0)
    assert list((tmp_path / "images/content/blobs/sha256").iterdir()) == []
    await images.remove("absent")


async def test_what_was_pulled_is_there_after_a_restart(tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as address:
        await push(image(tmp_path), f"{address}/a:1")
        first = service(tmp_path)
        pulled = await first.pull(f"{address}/a:1")
    await first.prepare_rootfs("kept", pulled.id)
    await first.prepare_rootfs("lost", pulled.id)
    second = service(tmp_path)
    await second.recover({"kept"})
    assert second.list() == [pulled]
    assert mount_points(tmp_path) == [str(tmp_path / "images/rootfs/kept")]
    await second.remove_rootfs("kept")
    shutil.rmtree(tmp_path / "snapshots")
    third = service(tmp_path)
    await third.recover(set())
    assert third.list() == []


async def test_pulls_of_one_image_at_once_fetch_it_once(tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as address:
        await push(image(tmp_path), f"{address}/a:1")
        await push(image(tmp_path), f"{address}/b:1")
        images = service(tmp_path)
        seen: list[str] = []
        async with asyncio.TaskGroup() as group:
            for name in ("a:1", "a:1", "b:1"):
                group.create_task(images.pull(f"{address}/{name}", on_progress=lambda digest, *_: seen.append(digest)))
        (found,) = images.list()
        assert set(found.repo_tags) == {f"{address}/a:1", f"{address}/b:1"}
        assert len(seen) == 1


async def test_what_is_not_there_is_told_as_containerd_tells_it(tmp_path: Path) -> None:
    images = service(tmp_path)
    with registry(tmp_path / "registry") as address, pytest.raises(NotFound) as absent:
        await images.pull(f"{address}/none:1")
    name = f"{address}/none:1"
    resolve = f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": '
    assert absent.value.message == f"{resolve}{name}: not found"
    with pytest.raises(Unavailable) as refused:
        await images.pull(name)
    request = f'failed to do request: Head "http://{address}/v2/none/manifests/1"'
    assert refused.value.message == f"{resolve}{request}: dial tcp {address}: connect: connection refused"
    with pytest.raises(RuntimeFault, match='failed to parse image reference "A": invalid reference format'):
        await images.pull("A")


@pytest.mark.parametrize(
    "auth",
    [Auth("u", "U*U"), Auth(auth=base64.b64encode(b"u:U*U").decode())],
    ids=["password", "encoded"],
)
async def test_a_user_is_let_in_by_basic_auth(tmp_path: Path, auth: Auth) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    extra = f"auth: {{htpasswd: {{realm: test, path: {tmp_path}/htpasswd}}}}\n"
    with registry(tmp_path / "open") as address:
        await push(image(tmp_path), f"{address}/a:1")
    shutil.move(tmp_path / "open/data", tmp_path / "data")
    (tmp_path / "closed").mkdir()
    shutil.rmtree(tmp_path / "closed")
    with registry(tmp_path / "closed", extra) as address:
        shutil.move(tmp_path / "data", tmp_path / "closed/data")
        images = service(tmp_path)
        with pytest.raises(Unauthenticated):
            await images.pull(f"{address}/a:1")
        with pytest.raises(PermissionDenied, match="pull access denied"):
            await images.pull(f"{address}/a:1", Auth("u", "wrong"))
        with pytest.raises(Unauthenticated):
            await images.pull(f"{address}/a:1", Auth("u", "U*U", server_address="https://elsewhere"))
        assert (await images.pull(f"{address}/a:1", auth)).repo_tags == (f"{address}/a:1",)


class OddRegistry:
    """Serves one layout with a token server, an index, and as many broken answers as `cuts` says."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self.cuts, self.ranges = layout, 0, list[str]()
        self.corrupt = False
        self.stalls = 0
        digest, _ = layout.manifest()
        size = layout.blob(digest).stat().st_size
        here, other = host_platform(), {"os": "linux", "architecture": "s390x"}
        ours = {"os": here.os, "architecture": here.architecture}
        self.index = json.dumps(
            {
                "schemaVersion": 2,
                "manifests": [
                    {"mediaType": OCI_MANIFEST, "digest": "sha256:" + "0" * 64, "size": 1, "platform": other},
                    {"mediaType": OCI_MANIFEST, "digest": digest, "size": size, "platform": ours},
                ],
            }
        ).encode()

    async def token(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            form = await request.post()
            good = (form["grant_type"], form["refresh_token"]) == ("refresh_token", "identity")
        else:
            good = request.headers.get("Authorization") == "Basic " + base64.b64encode(b"u:p").decode()
        return web.json_response({"access_token": "ticket"}) if good else web.Response(status=401)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer ticket":
            realm = request.url.origin() / "token"
            challenge = f'Bearer realm="{realm}",service="odd",scope="repository:a:pull"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        kind, name = request.match_info["kind"], request.match_info["name"]
        if kind == "manifests":
            index = name in ("1", digest_of(self.index))
            body = self.index if index else self.layout.blob(name).read_bytes()
            media_type = DOCKER_LIST if index else OCI_MANIFEST
            return web.Response(
                body=body, headers={"Content-Type": media_type, "Docker-Content-Digest": digest_of(body)}
            )
        return await self.blob(request, self.layout.blob(name).read_bytes())

    async def blob(self, request: web.Request, body: bytes) -> web.StreamResponse:
        start = 0
        if wanted := request.headers.get("Range"):
            self.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if self.corrupt:
            body = body[:-1] + bytes([body[-1] ^ 1])
        answer = web.StreamResponse(status=206 if wanted else 200, headers={"Content-Length": str(len(body) - start)})
        await answer.prepare(request)
        if self.cuts and len(body) > 1000:
            self.cuts -= 1
            await answer.write(body[start : start + 500])
            assert request.transport
            request.transport.close()
            return answer
        if self.stalls and len(body) > 1000:
            self.stalls -= 1
            await answer.write(body[start : start + 500])
            await asyncio.Event().wait()
        await answer.write(body[start:])
        return answer


@pytest.fixture
async def odd(tmp_path: Path) -> AsyncIterator[Callable[[], tuple[OddRegistry, str]]]:
    served = OddRegistry(Layout(image(tmp_path, text="".join(digest_of(str(n).encode()) for n in range(200)))))
    app = web.Application()
    app.router.add_route("*", "/token", served.token)
    app.router.add_get("/v2/a/{kind}/{name}", served.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield lambda: (served, "{}:{}".format(*runner.addresses[0][:2]))
    await runner.cleanup()


@pytest.mark.parametrize("auth", [Auth("u", "p"), Auth(identity_token="identity"), Auth(registry_token="ticket")])
async def test_a_token_opens_and_the_index_leads_to_this_platform(tmp_path: Path, odd: Any, auth: Auth) -> None:
    served, address = odd()
    pulled = await service(tmp_path).pull(f"{address}/a:1", auth)
    assert pulled.repo_digests == (f"{address}/a@{digest_of(served.index)}",)
    assert pulled.manifest == served.layout.manifest()[0]


async def test_no_token_is_told(tmp_path: Path, odd: Any) -> None:
    _, address = odd()
    with pytest.raises(
        PermissionDenied, match="failed to authorize: failed to fetch anonymous token: unexpected status"
    ):
        await service(tmp_path).pull(f"{address}/a:1")


async def test_a_cut_download_continues(tmp_path: Path, odd: Any) -> None:
    served, address = odd()
    served.cuts = 2
    await service(tmp_path).pull(f"{address}/a:1", Auth("u", "p"))
    assert served.ranges == ["bytes=500-", "bytes=1000-"]


async def test_a_download_that_stalls_is_given_up_and_continued(
    tmp_path: Path, odd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=0.3))
    served, address = odd()
    served.stalls = 1
    await service(tmp_path).pull(f"{address}/a:1", Auth("u", "p"))
    assert served.ranges == ["bytes=500-"]


async def test_a_layer_that_is_not_what_was_named_is_refused(tmp_path: Path, odd: Any) -> None:
    served, address = odd()
    served.corrupt = True
    images = service(tmp_path)
    with pytest.raises(RuntimeFault, match="unexpected commit digest sha256:"):
        await images.pull(f"{address}/a:1", Auth("u", "p"))
    assert images.list() == []
