"""The kubelet's HTTPS server, asked over TLS: who may look in, and what logs and pods come back."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from kubelet.config import KubeletConfig
from kubelet.cri import Cri
from kubelet.server import KubeletServer, may_look
from kubelet.streaming import Streaming
from machinery.api.resource import Object
from machinery.pki import KeyPair, Pki

POD: Object = {
    "metadata": {"name": "p", "namespace": "ns"},
    "spec": {"containers": [{"name": "c"}, {"name": "other"}]},
    "status": {
        "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0, "containerID": "x://1"}}}],
    },
}
LOG = b"".join(b"2026-01-02T03:04:0%d.5Z stdout F line %d\n" % (n, n) for n in range(3))


class Served:
    """A running server and what a caller needs to reach it."""

    def __init__(self, pki: Pki, port: int) -> None:
        self.pki = pki
        self.url = f"https://127.0.0.1:{port}"

    async def get(self, path: str, pair: KeyPair | None) -> tuple[int, str]:
        connector = aiohttp.TCPConnector(ssl=self.pki.ssl_context_client(pair))
        async with aiohttp.ClientSession(connector=connector) as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def as_server(self, path: str) -> tuple[int, str]:
        return await self.get(path, self.pki.kubelet_client)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Served]:
    pki = Pki.load_or_create(folder / "pki")
    pair = pki.server_for("kubelet", "system:node:n", ("n",), ("127.0.0.1",))
    log = folder / "0.log"
    log.write_bytes(LOG)

    def log_path(pod: Object, container: str, run: int) -> Path | None:
        return log if (pod, container, run) == (POD, "c", 0) else None

    config = KubeletConfig(
        node_name="n",
        node_addresses=lambda: ("127.0.0.1",),
        root_dir=folder,
        port=0,
        tls_cert=Path(pair.certificate),
        tls_key=Path(pair.key),
        client_ca=pki.ca_certificate,
    )
    async with Cri(f"unix://{folder}/none.sock") as cri:
        server = KubeletServer(config, lambda: [POD], log_path, Streaming(cri, lambda: [POD]), cri.container_stats)
        await server.start()
        try:
            yield Served(pki, server.port)
        finally:
            await server.stop()


async def test_the_api_server_reads_logs_and_pods(tmp_path: Path) -> None:
    async with served(tmp_path) as node:
        assert await node.as_server("/healthz") == (200, "ok")
        assert await node.as_server("/containerLogs/ns/p/c") == (200, "line 0\nline 1\nline 2\n")
        status, pods = await node.as_server("/pods")
        assert status == 200
        assert '"name": "p"' in pods


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("tailLines=1", "line 2\n"),
        ("limitBytes=4", "line"),
        ("tailLines=1&timestamps=true", "2026-01-02T03:04:02.5Z line 2\n"),
        ("sinceTime=2026-01-02T03:04:02Z", "line 2\n"),
        ("sinceSeconds=1", ""),
        ("tailLines=1&follow=true", "line 2\n"),
    ],
)
async def test_the_query_chooses_lines(tmp_path: Path, query: str, wanted: str) -> None:
    async with served(tmp_path) as node:
        assert await node.as_server(f"/containerLogs/ns/p/c?{query}") == (200, wanted)


@pytest.mark.parametrize("query", ["tailLines=many", "sinceTime=yesterday", "sinceTime=2026-01-02T03:04:02"])
async def test_a_query_that_makes_no_sense_is_refused(tmp_path: Path, query: str) -> None:
    async with served(tmp_path) as node:
        assert (await node.as_server(f"/containerLogs/ns/p/c?{query}"))[0] == 400


async def test_statistics_are_refused_while_the_runtime_is_away(tmp_path: Path) -> None:
    async with served(tmp_path) as node:
        for path in ("/stats/summary", "/metrics/resource"):
            status, said = await node.as_server(path)
            assert status == 500
            assert said.startswith("failed to connect to all addresses")


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("p/other", 400, 'container "other" in pod "p" is not available'),
        ("p/c?previous=true", 400, 'previous terminated container "c" in pod "p" not found'),
        ("p/none", 404, 'container "none" not found in pod "p"'),
        ("q/c", 404, 'pod "q" does not exist'),
    ],
)
async def test_a_container_without_logs_is_told(tmp_path: Path, path: str, code: int, said: str) -> None:
    async with served(tmp_path) as node:
        assert await node.as_server(f"/containerLogs/ns/{path}") == (code, said)


async def test_others_of_the_cluster_see_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as node:
        pair = node.pki.client("somebody", "somebody", ("system:authenticated",))
        status, text = await node.get("/containerLogs/ns/p/c", pair)
        assert status == 403
        assert "somebody" in text
        assert "line" not in text


async def test_who_shows_no_certificate_is_not_let_in(tmp_path: Path) -> None:
    async with served(tmp_path) as node:
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await node.get("/healthz", None)


async def test_a_stranger_s_authority_is_not_believed(tmp_path: Path) -> None:
    stranger = Pki.load_or_create(tmp_path / "stranger")
    async with served(tmp_path) as node:
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await node.get("/healthz", stranger.kubelet_client)


def test_any_of_several_groups_lets_in() -> None:
    groups = ((("organizationName", "system:masters"),), (("organizationName", "other"),), (("commonName", "a"),))
    assert may_look({"subject": groups})
    assert may_look({"subject": ((("commonName", "kube-apiserver-kubelet-client"),),)})
    assert not may_look({"subject": ((("commonName", "system:masters"),), (("organizationName", "o"),))})
    assert not may_look({})


async def test_without_a_certificate_nothing_listens(tmp_path: Path) -> None:
    config = KubeletConfig(node_name="n", node_addresses=lambda: ("127.0.0.1",), root_dir=tmp_path)
    async with Cri(f"unix://{tmp_path}/none.sock") as cri:
        server = KubeletServer(config, list, lambda *_: None, Streaming(cri, list), cri.container_stats)
        await server.start()
        assert server.port == 0
        await server.stop()
