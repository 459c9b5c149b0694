"""Ingresses through a real nginx: what is asked for by host and path is answered by the Service that it means."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from machinery.pki import Pki
from minikube_py.addons.ingress.nginx import Nginx, NginxError
from minikube_py.addons.ingress.nginx_conf import Server, nginx_conf
from minikube_py.addons.ingress.sites import Sites, World, sites
from tests.etcd_server import free_ports

NAMES = ("one", "two", "three", "echo")
PATIENCE = 30.0


class Ways:
    """A running nginx and what stands behind it."""

    def __init__(self, directory: Path, ports: dict[str, int], pki: Pki) -> None:
        self.http, self.https = free_ports(2)
        self.ports, self.pki = ports, pki
        pair = pki.server_for("default", "default", ("ingress.local",), ())
        self.nginx = Nginx(directory / "ingress", directory / "ingress.log")
        self.server = Server(
            self.nginx.folder, self.nginx.log, Path(pair.certificate), Path(pair.key), self.http, self.https, "root"
        )
        self.secrets: dict[tuple[str, str], Any] = {}

    def world(self) -> World:
        services, slices = {}, {}
        for name, port in self.ports.items():
            services["d", name] = {"spec": {"ports": [{"name": "web", "port": 80, "protocol": "TCP"}]}}
            ready = [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}]
            slices["d", name] = [
                {"addressType": "IPv4", "endpoints": ready, "ports": [{"name": "web", "port": port, "protocol": "TCP"}]}
            ]
        return World(services, slices, self.secrets)

    def certify(self, host: str) -> None:
        """A Secret with a certificate of the host's own."""
        pair = self.pki.server_for(host, host, (host,), ())
        data = {"tls.crt": pair.certificate, "tls.key": pair.key}
        encoded = {name: base64.b64encode(Path(file).read_bytes()).decode() for name, file in data.items()}
        self.secrets["d", host] = {"data": encoded}

    async def apply(self, *ingresses: dict[str, Any]) -> Sites:
        """Returns once nginx serves them."""
        found = sites(ingresses, self.world())
        before = self.workers()
        await self.nginx.apply(nginx_conf(found, self.server), found.certificates)
        async with asyncio.timeout(PATIENCE):
            while not (self.workers() - before) or not await self.listens():
                await asyncio.sleep(0.02)
        return found

    def workers(self) -> set[str]:
        if not self.nginx.pid:
            return set()
        children = Path(f"/proc/{self.nginx.pid}/task/{self.nginx.pid}/children")
        return set(children.read_text().split())

    async def listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.http)
        except OSError:
            return False
        writer.close()
        return True

    async def ask(self, host: str, path: str = "/", *, tls: bool = False) -> str:
        """The answer's status where it is no 200, else who answered."""
        context = ssl.create_default_context(cadata=self.pki.ca_pem.decode()) if tls else None
        port, name = (self.https, host) if tls else (self.http, None)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        status = head.split()[1].decode()
        return body.decode().strip().splitlines()[-1] if status == "200" else status


async def answer(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request: who this is; a WebSocket gets its handshake and its bytes back."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
    if headers.get("upgrade") == "websocket":
        key = next(line for line in head.splitlines() if line.lower().startswith("sec-websocket-key"))
        guid = key.partition(": ")[2] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(guid.encode()).digest()).decode()
        writer.write(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        while piece := await reader.read(100):
            writer.write(piece)
    else:
        # One that echoes says what it was asked for.
        body = f"{headers.get('x-forwarded-proto')}\n{head.split()[1] if name == 'echo' else name}\n"
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
    await writer.drain()
    writer.close()


def backend(name: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(name, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    return serve


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Ways]:
    servers = {name: await asyncio.start_server(backend(name), "127.0.0.1", 0) for name in NAMES}
    ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
    (ports["grpc"],) = free_ports(1)
    ways = Ways(directory, ports, Pki.load_or_create(directory / "pki"))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(ways.nginx.run())
        yield ways
        running.cancel()
    for server in servers.values():
        server.close()


@pytest.fixture
async def ways(tmp_path: Path) -> AsyncIterator[Ways]:
    async with serving(tmp_path) as found:
        yield found


def path(path: str, service: str, kind: str = "Prefix") -> dict[str, Any]:
    return {"path": path, "pathType": kind, "backend": {"service": {"name": service, "port": {"name": "web"}}}}


def ingress(*rules: tuple[str, list[dict[str, Any]]], name: str = "i", **spec: Any) -> dict[str, Any]:
    said = [{"http": {"paths": paths}, **({"host": host} if host else {})} for host, paths in rules]
    made = {"namespace": "d", "name": name, "creationTimestamp": f"2026-01-01T00:00:0{len(name)}Z"}
    return {"metadata": made, "spec": {"rules": said, **spec}}


async def test_paths_mean_what_the_api_says(ways: Ways) -> None:
    """The table of the API's documentation, asked of nginx."""
    await ways.apply(
        ingress(
            ("x.org", [path("/foo", "one", "Exact"), path("/foo", "two"), path("/aaa/bbb/", "three"),
                       path("/exact/", "one", "Exact"), path("/impl", "one", "ImplementationSpecific")]),
            ("all.org", [path("/", "one"), path("/aaa", "two"), path("/aaa/bbb", "three")]),
            ("*.wild.org", [path("/", "two")]),
            ("named.wild.org", [path("/", "three")]),
            ("", [path("/any", "one")]),
        )
    )  # fmt: skip
    asked = {
        ("x.org", "/foo"): "one", ("x.org", "/foo/"): "two", ("x.org", "/foo/x"): "two", ("x.org", "/foobar"): "404",
        ("x.org", "/FOO"): "404", ("x.org", "/aaa/bbb"): "three", ("x.org", "/aaa/bbb/ccc?q=1"): "three",
        ("x.org", "/aaa/bbbxyz"): "404", ("x.org", "/exact/"): "one", ("x.org", "/exact"): "404",
        ("x.org", "/impl/x"): "one", ("all.org", "/zzz"): "one", ("all.org", "/aaa/ccc"): "two",
        ("all.org", "/aaa/bbb/c"): "three", ("a.wild.org", "/"): "two", ("a.b.wild.org", "/"): "404",
        ("wild.org", "/"): "404", ("named.wild.org", "/"): "three", ("other.org", "/any"): "one",
        ("other.org", "/"): "404",
    }  # fmt: skip
    assert {each: await ways.ask(*each) for each in asked} == asked


async def test_the_default_backend_takes_what_no_path_does(ways: Ways) -> None:
    default = {"service": {"name": "three", "port": {"number": 80}}}
    found = await ways.apply(
        ingress(("x.org", [path("/foo", "one")]), defaultBackend=default),
        ingress(("y.org", [path("/foo", "nobody"), path("/two", "two")]), name="younger"),
        ingress(("x.org", [path("/foo", "two")]), name="youngest"),
    )
    asked = {("x.org", "/foo"): "one", ("x.org", "/"): "three", ("nobody.org", "/"): "three", ("y.org", "/"): "404",
             ("y.org", "/foo"): "503", ("y.org", "/two"): "two"}  # fmt: skip
    assert {each: await ways.ask(*each) for each in asked} == asked
    assert [(each.reason, each.message) for each in found.complaints] == [
        ("BackendNotFound", 'Service "nobody" not found')
    ]


async def test_each_host_shows_its_certificate(ways: Ways) -> None:
    for host in ("x.org", "y.org"):
        ways.certify(host)
    tls = [{"hosts": ["x.org"], "secretName": "x.org"}, {"hosts": ["y.org"], "secretName": "y.org"},
           {"hosts": ["z.org"], "secretName": "lost"}]  # fmt: skip
    rules = [(host, [path("/", "one")]) for host in ("x.org", "y.org", "z.org")]
    found = await ways.apply(ingress(*rules, tls=tls))
    # The client checks the name in the certificate.
    assert await ways.ask("x.org", tls=True) == await ways.ask("y.org", tls=True) == "one"
    with pytest.raises(ssl.SSLCertVerificationError):
        await ways.ask("z.org", tls=True)
    assert (await ways.ask("x.org"), await ways.ask("z.org")) == ("308", "one")
    assert [each.reason for each in found.complaints] == ["CertificateNotUsed"]


def annotated(made: dict[str, Any], **annotations: str) -> dict[str, Any]:
    said = {f"nginx.ingress.kubernetes.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return {**made, "metadata": {**made["metadata"], "annotations": said}}


async def test_paths_are_rewritten_as_manifests_ask(ways: Ways) -> None:
    grouped = ingress(("x.org", [path("/api(/|$)(.*)", "echo", "ImplementationSpecific")]))
    plain = ingress(("x.org", [path("/plain", "echo")]), name="plain")
    other = ingress(("x.org", [path("/", "one"), path("/apiary", "two")]), name="other-one")
    found = await ways.apply(
        annotated(grouped, rewrite_target="/$2"), annotated(plain, rewrite_target="/"), other,
        annotated(ingress(("x.org", [path("/bad(", "one")]), name="bad"), use_regex="true"),
        annotated(ingress(("x.org", [path("/few", "one")]), name="few"), rewrite_target="/$1"),
        annotated(ingress(("x.org", [path("/odd", "one")]), name="odd"), rewrite_target="/; return 200"),
    )  # fmt: skip
    asked = {"/api/v1/x?q=1": "/v1/x?q=1", "/api": "/", "/plain/x": "/", "/apiary": "two", "/else": "one",
             "/few": "one", "/odd": "one"}  # fmt: skip
    assert {each: await ways.ask("x.org", each) for each in asked} == asked
    assert [each.reason for each in found.complaints] == ["InvalidPath"] * 3


async def test_a_websocket_goes_through(ways: Ways) -> None:
    await ways.apply(ingress(("x.org", [path("/", "one")])))
    reader, writer = await asyncio.open_connection("127.0.0.1", ways.http)
    writer.write(b"GET /chat HTTP/1.1\r\nHost: x.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")  # fmt: skip
    head = await reader.readuntil(b"\r\n\r\n")
    # The example of RFC 6455.
    assert b"101" in head.splitlines()[0] and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    writer.write(b"\x81\x02hi")
    assert await reader.readexactly(4) == b"\x81\x02hi"
    # It outlives a change of the sites.
    await ways.apply(ingress(("y.org", [path("/", "two")])))
    writer.write(b"\x81\x02ho")
    assert await reader.readexactly(4) == b"\x81\x02ho"
    writer.close()


class Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details: Any) -> Any:
        async def said(request: bytes, context: Any) -> bytes:
            return handler_call_details.method.encode() + request

        return grpc.unary_unary_rpc_method_handler(said)


@pytest.mark.parametrize("asks", ["annotation", "appProtocol"])
async def test_grpc_goes_through(ways: Ways, asks: str) -> None:
    ways.certify("x.org")
    serving = grpc.aio.server()
    serving.add_generic_rpc_handlers((Echo(),))
    ways.ports["grpc"] = serving.add_insecure_port("127.0.0.1:0")
    await serving.start()
    made = ingress(("x.org", [path("/", "grpc")]), tls=[{"hosts": ["x.org"], "secretName": "x.org"}])
    if asks == "annotation":
        made["metadata"]["annotations"] = {"nginx.ingress.kubernetes.io/backend-protocol": "GRPC"}
    else:
        world = ways.world()
        world.services["d", "grpc"]["spec"]["ports"][0]["appProtocol"] = "kubernetes.io/h2c"
        ways.world = lambda: world  # type: ignore[method-assign]
    await ways.apply(made)
    credentials = grpc.ssl_channel_credentials(ways.pki.ca_pem)
    options = [("grpc.ssl_target_name_override", "x.org")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{ways.https}", credentials, options) as channel:
        assert await channel.unary_unary("/s.Echo/Say")(b"!", timeout=PATIENCE) == b"/s.Echo/Say!"
    await serving.stop(None)


async def test_no_request_is_dropped_while_sites_change(ways: Ways) -> None:
    await ways.apply(ingress(("x.org", [path("/", "one")])))
    answers: list[str] = []
    is_over = asyncio.Event()

    async def ask_on() -> None:
        while not is_over.is_set():
            answers.append(await ways.ask("x.org"))

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(ask_on())
        for at in range(6):
            await ways.apply(ingress(("x.org", [path("/", "one" if at % 2 else "two")]), (f"{at}.org", [])))
        is_over.set()
    assert set(answers) == {"one", "two"}


async def test_a_configuration_that_nginx_refuses_changes_nothing(ways: Ways) -> None:
    await ways.apply(ingress(("x.org", [path("/", "one")])))
    with pytest.raises(NginxError, match="unknown directive"):
        await ways.nginx.apply("nonsense;", {})
    assert await ways.ask("x.org") == "one"


def _runs(pid: str) -> bool:
    """Whether it is there, and no zombie that nobody has asked for yet."""
    try:
        return bool(Path("/proc", pid, "cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_an_nginx_that_ends_is_started_again(ways: Ways) -> None:
    await ways.apply(ingress(("x.org", [path("/", "one")])))
    before, workers = ways.nginx.pid, ways.workers()
    os.kill(before, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE):
        while ways.nginx.pid in (0, before) or not await ways.listens():
            await asyncio.sleep(0.02)
    assert await ways.ask("x.org") == "one"
    # Those that outlived their master would answer as well, and hold the ports.
    assert workers
    assert not [each for each in workers if _runs(each)]


async def test_strange_paths_are_paths_and_nothing_else(ways: Ways) -> None:
    strange = ['/a b"c', "/x; return 200 'hacked'; #", "/{}$host", "/back\\slash"]
    found = await ways.apply(ingress(("x.org", [path("/\n", "one"), *(path(each, "two") for each in strange)])))
    assert await ways.ask("x.org", "/a%20b%22c/d") == "two"
    assert await ways.ask("x.org", "/%7B%7D$host") == "two"
    assert await ways.ask("x.org", "/x") == "404"
    assert [each.reason for each in found.complaints] == ["InvalidPath"]
