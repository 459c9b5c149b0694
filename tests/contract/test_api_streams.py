"""The way of a stream from the API server through the kubelet to the runtime: who may, what is asked, what passes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from apiserver.server import ApiServer
from kubelet import podstate
from kubelet.config import KubeletConfig
from kubelet.cri import Cri
from kubelet.server import KubeletServer
from kubelet.streaming import Streaming
from machinery.api.resource import Object
from machinery.api.resources import NODES, PODS, ROLE_BINDINGS, ROLES, SERVICE_ACCOUNTS
from machinery.streams.takeover import switching, taken_over
from tests.contract.apiserver_running import running
from tests.fake_runtime import RUNNING, FakeRuntime, make, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
POD: Object = {
    "metadata": {"name": "p", "namespace": "default"},
    "spec": {
        "nodeName": "n",
        "containers": [{"name": "c", "image": "i"}, {"name": "t", "image": "i", "tty": True}],
        "terminationGracePeriodSeconds": 0,
    },
}
SPDY = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io"}
WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
}


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    """Says what was asked, then echoes; refuses where the path says so."""
    if request.path == "/refused":
        return web.Response(status=403, text="not today\n")
    told = [(name, value) for name, value in request.headers.items() if name.startswith(("X-", "Authorization"))]
    head = switching([("Connection", "Upgrade"), ("Upgrade", request.headers["Upgrade"]), *told])
    async with taken_over(request, head) as (reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    return web.Response()


@dataclass
class Way:
    """A server, its node, and the runtime at the end."""

    server: ApiServer
    runtime: FakeRuntime
    folder: Path

    def context(self, user: str, *groups: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.server.pki.ca_pem.decode())
        pair = self.folder / f"{user}.pem"
        pair.write_bytes(b"".join(self.server.pki.issue_client(user, groups)))
        context.load_cert_chain(pair)
        return context

    async def ask(
        self, path: str, method: str = "POST", user: str = "admin", **headers: str
    ) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        """The head of the answer, and the connection."""
        context = self.context(user, *(["system:masters"] if user == "admin" else []))
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, ssl=context)
        lines = [f"{method} /api/v1/namespaces/default/pods/{path} HTTP/1.1", "Host: x", "Content-Length: 0"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        return await reader.readuntil(b"\r\n\r\n"), reader, writer

    async def refused(self, path: str, method: str = "POST", user: str = "admin", **headers: str) -> tuple[int, str]:
        """The status and body of an answer that switched nothing."""
        head, reader, writer = await self.ask(path, method, user, **headers)
        length = next(line for line in head.decode().splitlines() if line.lower().startswith("content-length"))
        body = await reader.readexactly(int(length.partition(":")[2]))
        writer.close()
        return int(head.split()[1]), body.decode()


@asynccontextmanager
async def backend() -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(echo, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def kubelet(server: ApiServer, folder: Path, endpoint: str) -> AsyncIterator[KubeletServer]:
    pair = server.pki.server_for("kubelet", "system:node:n", ("n",), ("127.0.0.1",))
    config = KubeletConfig(
        node_name="n",
        node_addresses=lambda: ("127.0.0.1",),
        root_dir=folder,
        port=0,
        tls_cert=Path(pair.certificate),
        tls_key=Path(pair.key),
        client_ca=server.pki.ca_certificate,
    )
    async with Cri(endpoint) as cri:
        pods = lambda: [pod for pod in server.cache.list(PODS) if pod["spec"].get("nodeName")]  # noqa: E731
        served = KubeletServer(config, pods, lambda *_: None, Streaming(cri, pods), cri.container_stats)
        await served.start()
        try:
            yield served
        finally:
            await served.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def way(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Way]:
    folder, runtime = tmp_path_factory.mktemp("way"), FakeRuntime()
    async with (
        running(folder / "server") as server,
        backend() as url,
        serving(runtime, folder / "cri.sock") as endpoint,
        kubelet(server, folder, endpoint) as node,
    ):
        runtime.stream_url = f"{url}/token"
        admin = server.client("admin", ("system:masters",))
        await admin.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, "default")
        made = await admin.create(NODES, {"metadata": {"name": "n"}})
        await admin.update(NODES, {**made, "status": node_status(node.port)}, subresource="status")
        pod = await admin.create(PODS, POD, "default")
        await admin.create(
            PODS, {**POD, "metadata": {"name": "waits"}, "spec": {**POD["spec"], "nodeName": ""}}, "default"
        )
        await settled(server)
        run(runtime, pod["metadata"]["uid"])
        for user, verbs in (("reader", ["get"]), ("creator", ["create"]), ("both", ["get", "create"])):
            await grant(admin, user, verbs)
        await settled(server)
        yield Way(server, runtime, folder)


def node_status(port: int) -> Object:
    return {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }


def run(runtime: FakeRuntime, uid: str) -> None:
    """The pod's sandbox and its first container, as the kubelet would have made them."""
    runtime.sandboxes["s1"] = make("PodSandboxStatus", id="s1", labels={podstate.POD_UID: uid})
    for container in ("c", "t"):
        labels = {podstate.POD_UID: uid, podstate.CONTAINER_NAME: container}
        runtime.containers[f"{container}1"] = make("ContainerStatus", id=f"{container}1", state=RUNNING, labels=labels)
        runtime.owners[f"{container}1"] = "s1"


async def grant(admin: Any, user: str, verbs: list[str]) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": verbs}]
    await admin.create(ROLES, {"metadata": {"name": user}, "rules": rules}, "default")
    binding = {
        "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await admin.create(ROLE_BINDINGS, binding, "default")


async def settled(server: ApiServer) -> None:
    """Returns when the cache has what was written."""
    marker = await server.client("admin", ("system:masters",)).create(
        SERVICE_ACCOUNTS, {"metadata": {"generateName": "marker-"}}, "default"
    )
    while server.cache.get(SERVICE_ACCOUNTS, "default", marker["metadata"]["name"]) is None:
        await asyncio.sleep(0)


@pytest.mark.parametrize("headers", [SPDY, WEBSOCKET], ids=["SPDY", "WebSocket"])
async def test_bytes_pass_as_they_are(way: Way, headers: dict[str, str]) -> None:
    method = "GET" if headers is WEBSOCKET else "POST"
    head, reader, writer = await way.ask("p/exec?container=c&command=ls&stdout=true", method, **headers)
    assert head.startswith(b"HTTP/1.1 101 ")
    assert (b"X-Stream-Protocol-Version: v4.channel.k8s.io\r\n" in head) == (headers is SPDY)
    data = bytes(range(256)) * 4096
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    writer.close()


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("p/exec?container=c&command=ls&command=-l+a&stdout=1&stderr=true", "exec stdout,stderr ls -l a"),
        ("p/exec?container=c&command=sh&stdin=true&stdout=true&stderr=true&tty=true", "exec stdin,stdout,tty sh"),
        ("p/attach?container=c&stdin=true&stdout=true&stderr=true", "attach stdin,stdout,stderr"),
        ("p/attach?container=t&stdout=true&stderr=true", "attach stdout,tty"),
        ("p/portforward", "forward []"),
        ("p/portforward?ports=80&ports=443", "forward [80, 443]"),
    ],
)
async def test_what_is_asked_reaches_the_runtime(way: Way, path: str, call: str) -> None:
    way.runtime.calls.clear()
    head, _, writer = await way.ask(path, **SPDY)
    assert head.startswith(b"HTTP/1.1 101 ")
    assert way.runtime.calls == [call]
    writer.close()


@pytest.mark.parametrize(
    ("path", "headers", "status", "said"),
    [
        ("p/exec?container=c&command=ls&stdout=true", {}, 400, "Upgrade request required"),
        (
            "p/exec?command=ls&stdout=true",
            SPDY,
            400,
            "a container name must be specified for pod p, choose one of: [c t]",
        ),
        ("p/exec?container=x&command=ls&stdout=true", SPDY, 400, "container x is not valid for pod p"),
        ("p/exec?container=c&command=ls", SPDY, 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("ghost/exec?command=ls&stdout=true", SPDY, 404, 'pods \\"ghost\\" not found'),
        ("waits/exec?container=c&command=ls&stdout=true", SPDY, 400, "pod waits does not have a host assigned"),
        ("p/portforward?ports=x", SPDY, 400, 'unable to parse "x" as a port'),
    ],
)
async def test_what_cannot_be_is_told(way: Way, path: str, headers: dict[str, str], status: int, said: str) -> None:
    found, body = await way.refused(path, **headers)
    assert found == status
    assert said in body


@pytest.mark.parametrize(
    ("user", "method", "headers", "missing"),
    [
        ("reader", "POST", SPDY, "create"),
        ("reader", "GET", WEBSOCKET, "create"),
        ("creator", "GET", WEBSOCKET, "get"),
        ("creator", "POST", SPDY, ""),
        ("both", "GET", WEBSOCKET, ""),
        ("stranger", "POST", SPDY, "create"),
    ],
)
async def test_who_may(way: Way, user: str, method: str, headers: dict[str, str], missing: str) -> None:
    path = "p/exec?container=c&command=ls&stdout=true"
    if missing:
        status, body = await way.refused(path, method, user, **headers)
        assert status == 403
        assert f'User \\"{user}\\" cannot {missing} resource \\"pods/exec\\"' in body
    else:
        head, _, writer = await way.ask(path, method, user, **headers)
        assert head.startswith(b"HTTP/1.1 101 ")
        writer.close()


async def test_credentials_stay_here(way: Way) -> None:
    head, _, writer = await way.ask(
        "p/exec?container=c&command=ls&stdout=true", **SPDY, **{"Authorization": "Basic secret", "X-Other": "kept"}
    )
    assert b"X-Other: kept" in head
    assert b"Authorization" not in head
    writer.close()


async def test_a_runtime_s_refusal_comes_back(way: Way) -> None:
    before = way.runtime.stream_url
    way.runtime.stream_url = before.replace("/token", "/refused")
    assert await way.refused("p/exec?container=c&command=ls&stdout=true", **SPDY) == (403, "not today\n")
    way.runtime.stream_url = "http://127.0.0.1:1/gone"
    status, body = await way.refused("p/exec?container=c&command=ls&stdout=true", **SPDY)
    assert (status, body) == (500, "error dialing backend: dial tcp 127.0.0.1:1: connect: connection refused\n")
    way.runtime.stream_url = before


async def test_a_container_that_ended_is_not_found(way: Way) -> None:
    way.runtime.containers["c1"].state = 2
    status, body = await way.refused("p/exec?container=c&command=ls&stdout=true", **SPDY)
    assert (status, body) == (500, 'container not found ("c")')
    way.runtime.containers["c1"].state = RUNNING


async def test_a_kubelet_that_is_gone_is_told(way: Way) -> None:
    admin = way.server.client("admin", ("system:masters",))
    node = await admin.get(NODES, "n")
    before = node["status"]
    gone = await admin.update(NODES, {**node, "status": node_status(1)}, subresource="status")
    await settled(way.server)
    status, body = await way.refused("p/exec?container=c&command=ls&stdout=true", **SPDY)
    assert status == 500
    assert "error dialing backend: dial tcp 127.0.0.1:1: connect: connection refused" in body
    assert '"reason"' not in body
    await admin.update(NODES, {**gone, "status": before}, subresource="status")
    await settled(way.server)
