"""Registries as certs.d describes them, with TLS, client certificates, headers; proxies; registries that are busy."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from machinery.pki import Pki
from runtime.errors import NotFound, ResourceExhausted, RuntimeFault
from runtime.images.layout import Layout, write_layout
from runtime.images.media import OCI_MANIFEST
from runtime.images.platform import Platform, host_platform
from runtime.images.service import ImageService
from runtime.snapshots.overlay import OverlaySnapshotter
from tests.contract.test_registry_pull import image


@dataclass
class Served:
    """One layout under any path; `before` may answer a request itself."""

    layout: Layout
    before: Callable[[web.Request], web.Response | None] = lambda request: None
    seen: list[web.Request] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        if (own := self.before(request)) is not None:
            return own
        name = request.path.rpartition("/")[2]
        digest = name if name.startswith("sha256:") else self.layout.manifest()[0]
        headers = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": digest}
        return web.Response(body=self.layout.blob(digest).read_bytes(), headers=headers)

    def told(self, name: str) -> set[str | None]:
        return {request.headers.get(name) for request in self.seen}


@asynccontextmanager
async def listening(served: Served, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(Layout(image(tmp_path)))


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    (tmp_path / "certs.d").mkdir()
    return tmp_path / "certs.d"


@pytest.fixture
def images(tmp_path: Path, certs: Path) -> ImageService:
    return ImageService(tmp_path / "images", OverlaySnapshotter(tmp_path / "snapshots"), {}, certs)


def write(certs: Path, name: str, text: str) -> None:
    (certs / name).mkdir()
    (certs / name / "hosts.toml").write_text(text)


async def test_a_mirror_with_its_own_authority_key_and_headers(
    tmp_path: Path, served: Served, certs: Path, images: ImageService
) -> None:
    pki = Pki.load_or_create(tmp_path / "pki", names=["localhost"], ips=["127.0.0.1"])
    pair = pki.server_for("registry", "registry", ("localhost",), ("127.0.0.1",))
    client = pki.client("puller", "puller", ())
    (tmp_path / "ca.crt").write_bytes(pki.ca_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=pki.ca_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(pair.certificate, pair.key)
    async with listening(served, context) as address:
        write(
            certs,
            "registry.example",
            f"""
            [host."https://{address}"]
            ca = "{tmp_path}/ca.crt"
            client = [["{client.certificate}", "{client.key}"]]
            [host."https://{address}".header]
            x-team = "ours"
            """,
        )
        pulled = await images.pull("registry.example/team/app:1")
        assert pulled.repo_tags == ("registry.example/team/app:1",)
        assert served.told("x-team") == {"ours"}
        assert {request.query.get("ns") for request in served.seen} == {"registry.example"}
        write(certs, "other.example", f'server = "https://{address}"\nca = "{tmp_path}/ca.crt"')
        with pytest.raises(RuntimeFault, match=f'failed to do request: Head "https://{address}'):
            await images.pull("other.example/app:1")
        write(certs, "third.example", f'server = "https://{address}"\nca = "none.crt"')
        with pytest.raises(RuntimeFault, match="unable to load CA cert .*/third.example/none.crt"):
            await images.pull("third.example/app:1")


async def test_verification_may_be_skipped(tmp_path: Path, served: Served, certs: Path, images: ImageService) -> None:
    pki = Pki.load_or_create(tmp_path / "pki", names=["localhost"], ips=["127.0.0.1"])
    pair = pki.server_for("registry", "registry", ("elsewhere",), ())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    async with listening(served, context) as address:
        write(certs, "strict.example", f'server = "https://{address}"')
        with pytest.raises(RuntimeFault, match="tls: failed to verify certificate"):
            await images.pull("strict.example/app:1")
        write(certs, "lax.example", f'server = "https://{address}"\nskip_verify = true')
        assert (await images.pull("lax.example/app:1")).repo_tags


async def test_a_mirror_that_may_only_serve_is_not_asked_what_a_tag_means(
    tmp_path: Path, served: Served, certs: Path, images: ImageService
) -> None:
    origin = Served(served.layout)
    async with listening(served) as mirror, listening(origin) as address:
        write(
            certs,
            "_default",
            f"""
            server = "http://{address}"
            [host."http://{mirror}/cache/v9"]
            capabilities = ["pull"]
            override_path = true
            """,
        )
        await images.pull("registry.example/app:1")
        assert {(request.method, request.path) for request in origin.seen} == {("HEAD", "/v2/app/manifests/1")}
        assert {request.path.partition("sha256")[0] for request in served.seen} == {
            "/cache/v9/app/manifests/",
            "/cache/v9/app/blobs/",
        }
        write(certs, "push.example", f'server = "http://{address}"\ncapabilities = ["push"]')
        with pytest.raises(NotFound, match="no pull/resolve hosts"):
            await images.pull("push.example/app:1")


async def test_a_busy_registry_is_asked_again_when_it_says(served: Served, images: ImageService) -> None:
    refused: list[str] = []

    def busy(request: web.Request) -> web.Response | None:
        if refused.count(request.path) == 2:
            return None
        refused.append(request.path)
        return web.Response(status=429, headers={"Retry-After": "0"})

    served.before = busy
    async with listening(served) as address:
        assert (await images.pull(f"{address}/app:1")).repo_tags == (f"{address}/app:1",)
    assert len(refused) == 2 * len(set(refused)) == 8


async def test_a_registry_that_is_busy_for_long_is_told_in_its_own_words(served: Served, images: ImageService) -> None:
    said = "You have reached your pull rate limit."
    body = {"errors": [{"code": "TOOMANYREQUESTS", "message": said}]}
    served.before = lambda request: (
        web.json_response(body, status=429, headers={"Retry-After": "3600"}) if request.method == "GET" else None
    )
    async with listening(served) as address:
        with pytest.raises(ResourceExhausted) as told:
            await images.pull(f"{address}/app:1")
    digest = served.layout.manifest()[0]
    assert told.value.message == (
        f'failed to pull and unpack image "{address}/app:1": unexpected status from GET request to '
        f"http://{address}/v2/app/manifests/{digest}: 429 Too Many Requests - Server message: toomanyrequests: {said}"
        "; it asks to come again in 3600 s"
    )


async def test_a_registry_without_heads_is_asked_for_the_whole(served: Served, images: ImageService) -> None:
    served.before = lambda request: web.Response(status=405) if request.method == "HEAD" else None
    async with listening(served) as address:
        assert (await images.pull(f"{address}/app:1")).repo_tags


async def test_an_image_of_another_machine_names_both(tmp_path: Path, images: ImageService) -> None:
    (tmp_path / "far").mkdir()
    far = Served(write_layout(tmp_path / "layout2", tmp_path / "far", {}, platform=Platform("linux", "s390x")))
    async with listening(far) as address:
        with pytest.raises(NotFound) as told:
            await images.pull(f"{address}/app:1")
    assert told.value.message == (
        f'failed to pull and unpack image "{address}/app:1": no match for platform in manifest: '
        f"the image is for linux/s390x, this machine runs {host_platform()}: not found"
    )
    assert images.list() == []


async def test_requests_go_through_the_proxy_that_is_set(
    served: Served, certs: Path, images: ImageService, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(certs, "registry.example", 'server = "http://registry.example"')
    async with listening(served) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        await images.pull("registry.example/app:1")
        assert served.told("Host") == {"registry.example"}
        monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1")
        with pytest.raises(RuntimeFault, match="socks5://… is no HTTP proxy"):
            await images.pull("registry.example/app:2")
        monkeypatch.setenv("NO_PROXY", "registry.example")
        with pytest.raises(RuntimeFault, match="dial tcp: lookup registry.example"):
            await images.pull("registry.example/app:2")
