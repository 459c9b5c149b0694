"""metrics.k8s.io over HTTP, as `kubectl top` and autoscalers' clients ask it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from machinery.api.resource import Object
from machinery.api.resources import NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS
from machinery.usage import NodeUsage, PodUsage, Usage, Usages
from tests.contract.apiserver_running import running

ROOT = "/apis/metrics.k8s.io/v1beta1"
AT, WINDOW = datetime(2126, 1, 1, tzinfo=UTC), timedelta(seconds=15.01)
POD: Object = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Known:
    """Two pods and a node are at work."""

    def __init__(self) -> None:
        containers = {"c": Usage(1_500_000, 2048), "side": Usage(0, 1000)}
        pods = {("default", name): PodUsage(AT, WINDOW, containers) for name in ("one", "two", "gone")}
        self.latest = Usages({"node": NodeUsage(AT, WINDOW, Usage(2_000_000_000, 1 << 30))}, pods)

    async def usages(self) -> Usages:
        return self.latest


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[aiohttp.ClientSession]:
    async with running(tmp_path_factory.mktemp("server"), usage=Known()) as server:
        client = server.client("tester", ("system:masters",))
        await client.create(NAMESPACES, {"metadata": {"name": "other"}})
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, "default")
        await client.create(NODES, {"metadata": {"name": "node", "labels": {"a": "b"}}})
        for name in ("one", "two", "idle"):
            await client.create(PODS, {**POD, "metadata": {"name": name, "labels": {"app": name}}}, "default")
        context = ssl.create_default_context(cadata=server.pki.ca_pem.decode())
        pair = tmp_path_factory.mktemp("pair") / "pair.pem"
        pair.write_bytes(b"".join(server.pki.issue_client("tester", ("system:masters",))))
        context.load_cert_chain(pair)
        base = f"https://127.0.0.1:{server.port}"
        async with aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(ssl=context)) as opened:
            yield opened


async def get(session: aiohttp.ClientSession, path: str, **headers: str) -> tuple[int, Any]:
    async with session.get(path, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_the_group_is_discovered(session: aiohttp.ClientSession) -> None:
    _, groups = await get(session, "/apis")
    assert "metrics.k8s.io" in [group["name"] for group in groups["groups"]]
    _, rows = await get(session, ROOT)
    assert [(row["name"], row["kind"], row["verbs"]) for row in rows["resources"]] == [
        ("nodes", "NodeMetrics", ["get", "list"]),
        ("pods", "PodMetrics", ["get", "list"]),
    ]


async def test_a_pod_tells_what_its_containers_use(session: aiohttp.ClientSession) -> None:
    status, found = await get(session, f"{ROOT}/namespaces/default/pods/one")
    assert status == 200
    assert found == {
        "kind": "PodMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {
            "name": "one",
            "namespace": "default",
            "labels": {"app": "one"},
            "creationTimestamp": "2126-01-01T00:00:00Z",
        },
        "timestamp": "2126-01-01T00:00:00Z",
        "window": "15.01s",
        "containers": [
            {"name": "c", "usage": {"cpu": "1500000n", "memory": "2Ki"}},
            {"name": "side", "usage": {"cpu": "0", "memory": "1000"}},
        ],
    }


async def test_a_node_tells_what_it_uses(session: aiohttp.ClientSession) -> None:
    _, found = await get(session, f"{ROOT}/nodes/node")
    assert found["usage"] == {"cpu": "2000000000n", "memory": "1048576Ki"}


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/pods", ["one", "two"]),
        ("/namespaces/default/pods", ["one", "two"]),
        ("/namespaces/other/pods", []),
        ("/pods?labelSelector=app%3Dtwo", ["two"]),
        ("/pods?fieldSelector=metadata.name%3Done", ["one"]),
        ("/nodes", ["node"]),
        ("/nodes?labelSelector=a%3Dc", []),
    ],
)
async def test_lists_have_what_is_known_of_what_is_there(
    session: aiohttp.ClientSession, path: str, names: list[str]
) -> None:
    _, found = await get(session, ROOT + path)
    assert found["kind"] in ("PodMetricsList", "NodeMetricsList")
    assert [each["metadata"]["name"] for each in found["items"]] == names


async def test_kubectl_get_prints_columns(session: aiohttp.ClientSession) -> None:
    _, found = await get(session, f"{ROOT}/pods", Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [column["name"] for column in found["columnDefinitions"]] == ["Name", "cpu", "memory", "Window"]
    assert [row["cells"] for row in found["rows"]] == [[name, "1500000n", "3048", "15.01s"] for name in ("one", "two")]


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/namespaces/default/pods/idle", 404, 'podmetrics.metrics.k8s.io "default/idle" not found'),
        ("GET", "/nodes/other", 404, 'nodemetrics.metrics.k8s.io "other" not found'),
        ("GET", "/things", 404, "the server could not find the requested resource"),
        ("DELETE", "/nodes/node", 405, "the server does not allow this method on the requested resource"),
    ],
)
async def test_what_is_not_known_is_refused(
    session: aiohttp.ClientSession, method: str, path: str, status: int, said: str
) -> None:
    async with session.request(method, ROOT + path) as answer:
        assert (answer.status, (await answer.json())["message"]) == (status, said)


async def test_who_may_not_is_refused(session: aiohttp.ClientSession) -> None:
    status, found = await get(session, f"{ROOT}/pods", **{"Impersonate-User": "somebody"})
    assert status == 403
    assert found["message"].startswith('pods.metrics.k8s.io is forbidden: User "somebody" cannot list resource "pods"')
