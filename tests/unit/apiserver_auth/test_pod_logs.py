"""Which log is meant, upstream's words where none can be, and bytes that pass through as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
from aiohttp import web

from apiserver.node_proxy import NodeProxy
from apiserver.pod_logs import kubelet_error, log_container, log_options, log_path
from machinery.api.errors import BadRequest, InternalError, Invalid, NotFound, StatusError
from machinery.api.resource import Object
from machinery.api.resources import NODES, PODS
from machinery.pki import Pki
from tests.watched_store import Stage


def pod(*containers: str, initial: tuple[str, ...] = (), **more: object) -> Object:
    spec = {"containers": [{"name": each} for each in containers], "nodeName": "n1"}
    if initial:
        spec["initContainers"] = [{"name": each} for each in initial]
    return {"metadata": {"name": "p", "namespace": "ns"}, "spec": spec, **more}


def test_the_only_container_needs_no_name() -> None:
    assert log_container(pod("a"), "") == "a"
    assert log_container(pod("a", initial=("i",)), "i") == "i"


@pytest.mark.parametrize(
    ("of", "asked", "said"),
    [
        (pod("a", "b"), "", "a container name must be specified for pod p, choose one of: [a b]"),
        (
            pod("a", "b", initial=("i",)),
            "",
            "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]",
        ),
        (pod("a"), "x", "container x is not valid for pod p"),
    ],
)
def test_an_unclear_container(of: Object, asked: str, said: str) -> None:
    with pytest.raises(BadRequest) as error:
        log_container(of, asked)
    assert error.value.message == said


def test_options_reach_the_kubelet() -> None:
    query = {
        "follow": "true",
        "tailLines": "5",
        "timestamps": "",
        "sinceTime": "2026-01-01T00:00:00Z",
        "previous": "false",
    }
    path = log_path(pod("a"), "a", log_options("p", query))
    assert path == ("/containerLogs/ns/p/a?follow=true&timestamps=true&sinceTime=2026-01-01T00%3A00%3A00Z&tailLines=5")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"tailLines": "-1"}, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ({"limitBytes": "0"}, "limitBytes: Invalid value: 0: must be greater than 0"),
        ({"sinceSeconds": "0"}, "sinceSeconds: Invalid value: 0: must be greater than 0"),
    ],
)
def test_options_that_make_no_sense(query: Mapping[str, str], said: str) -> None:
    with pytest.raises(Invalid) as error:
        log_options("p", query)
    assert error.value.message == f'PodLogOptions "p" is invalid: {said}'


def test_a_number_that_is_none() -> None:
    with pytest.raises(BadRequest, match='parsing "x": invalid syntax'):
        log_options("p", {"tailLines": "x"})


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (400, BadRequest, "it waits"),
        (404, NotFound, "the server could not find the requested resource ( pods/log p)"),
        (500, InternalError, "Internal error occurred: it waits"),
    ],
)
def test_what_the_kubelet_answers_is_told(code: int, kind: type[StatusError], said: str) -> None:
    error = kubelet_error(pod("c"), code, "it waits")
    assert (type(error), error.message) == (kind, said)


@pytest.fixture
async def kubelet(pki: Pki, stage: Stage) -> AsyncIterator[str]:
    """A node's server that answers with who asked and for what; `/broken` pods fail."""

    async def logs(request: web.Request) -> web.StreamResponse:
        if request.match_info["pod"] == "broken":
            return web.Response(status=400, text="previous terminated container not found")
        transport = request.transport
        assert transport is not None
        subject = dict(pair[0] for pair in transport.get_extra_info("peercert")["subject"])
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(f"{subject['commonName']} {request.query_string}\n".encode())
        await answer.write(b"\xff\x00bytes\n")
        return answer

    app = web.Application()
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", logs)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=pki.ssl_context_server())
    await site.start()
    port = runner.addresses[0][1]
    status = {
        "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    await stage.put(NODES, {"metadata": {"name": "n1"}, "status": status})
    yield f"https://127.0.0.1:{port}"
    await runner.cleanup()


async def read(proxy: NodeProxy, name: str, query: Mapping[str, str]) -> bytes:
    async with proxy.pod_log("ns", name, query) as pieces:
        return b"".join([piece async for piece in pieces])


async def test_logs_pass_through(kubelet: str, pki: Pki, stage: Stage) -> None:
    proxy = NodeProxy(pki, stage.cache)
    await stage.put(PODS, pod("c"))
    assert await read(proxy, "p", {"tailLines": "3"}) == b"kube-apiserver-kubelet-client tailLines=3\n\xff\x00bytes\n"
    await stage.put(PODS, {**pod("c"), "metadata": {"name": "broken", "namespace": "ns"}})
    with pytest.raises(BadRequest, match="previous terminated container not found"):
        await read(proxy, "broken", {"previous": "true"})


async def test_without_pod_node_or_kubelet(pki: Pki, stage: Stage) -> None:
    proxy = NodeProxy(pki, stage.cache)
    with pytest.raises(NotFound, match='pods "p" not found'):
        await read(proxy, "p", {})
    unbound = pod("c")
    del unbound["spec"]["nodeName"]
    await stage.put(PODS, unbound)
    assert await read(proxy, "p", {}) == b""
    await stage.put(PODS, pod("c", status={"phase": "Running"}))
    address = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}
    port = {"daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}
    await stage.put(NODES, {"metadata": {"name": "n1"}, "status": {**address, **port}})
    with pytest.raises(InternalError, match="dial tcp 127.0.0.1:1: connect: "):
        await read(proxy, "p", {})
