"""What probes and hooks by HTTP ask of servers, and how they tell of those that don't answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from kubelet.httpget import Answer, NoAnswer, NoSuchPort, ask, port_number, url_of

SPEC = {"ports": [{"name": "web", "containerPort": 8080}, {"name": "80", "containerPort": 81}]}


@pytest.mark.parametrize(("port", "number"), [(80, 80), ("web", 8080), ("443", 443), ("80", 81)])
def test_a_port_by_its_number_or_its_name(port: int | str, number: int) -> None:
    assert port_number(SPEC, port) == number


@pytest.mark.parametrize(
    ("port", "said"),
    [("http", 'strconv.Atoi: parsing "http": invalid syntax'), ("70000", "invalid port number: 70000")],
)
def test_a_port_that_is_none(port: str, said: str) -> None:
    with pytest.raises(NoSuchPort) as raised:
        port_number(SPEC, port)
    assert str(raised.value) == said


@pytest.mark.parametrize(
    ("get", "url"),
    [
        ({"port": 80}, "http://192.0.2.1:80/"),
        ({"port": "web", "path": "/a?b=c", "scheme": "HTTPS"}, "https://192.0.2.1:8080/a?b=c"),
        ({"port": 80, "path": "a", "host": "::1"}, "http://[::1]:80/a"),
    ],
)
def test_what_is_asked(get: dict[str, Any], url: str) -> None:
    assert url_of(SPEC, get, "192.0.2.1") == url


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    match request.path:
        case "/away":
            return web.Response(status=302, headers={"Location": "http://192.0.2.9/"}, text="moved")
        case "/here":
            return web.Response(status=301, headers={"Location": "/end?from=here"})
        case "/round":
            return web.Response(status=307, headers={"Location": "/round"})
        case "/nowhere":
            return web.Response(status=304)
        case "/late":
            await asyncio.sleep(60)
        case "/dead":
            assert request.transport is not None
            request.transport.abort()
        case "/told":
            names = ("User-Agent", "Accept", "Accept-Encoding", "Host", "X-A")
            return web.Response(text=" ".join(f"{name}={request.headers.getall(name, [])}" for name in names))
    return web.Response(status=500 if request.path == "/bad" else 200, text=request.path_qs)


@asynccontextmanager
async def serving(handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[int]:
    """The port at which it answers."""
    runner = web.ServerRunner(web.Server(handle, handler_cancellation=True), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("get", "expected"),
    [
        ({"path": "/a?b=c"}, Answer(200, "/a?b=c")),
        ({"path": "/bad"}, Answer(500, "/bad")),
        ({"path": "/here"}, Answer(200, "/end?from=here")),
        ({"path": "/away"}, Answer(302, "moved")),
        ({"path": "/nowhere"}, Answer(304, "")),
        (
            {
                "path": "/told",
                "httpHeaders": [
                    {"name": "Host", "value": "h"}, {"name": "x-a", "value": "1"}, {"name": "X-A", "value": "2"},
                    {"name": "Accept", "value": ""},
                ],
            },
            Answer(200, "User-Agent=['kube-probe/1.36'] Accept=[] Accept-Encoding=[] Host=['h'] X-A=['1', '2']"),
        ),
    ],
)  # fmt: skip
async def test_answers(get: dict[str, Any], expected: Answer) -> None:
    async with serving(answer) as port:
        assert await ask({}, {"port": port, **get}, "127.0.0.1", purpose="probe", seconds=30) == expected


@pytest.mark.parametrize(
    ("get", "seconds", "said"),
    [
        (
            {"path": "/late"},
            0.1,
            "http://{where}/late: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
        ),
        ({"path": "/round"}, 30, "http://{where}/round: stopped after 10 redirects"),
        ({"path": "/dead"}, 30, "http://{where}/dead: EOF"),
        ({"scheme": "HTTPS"}, 30, "https://{where}/: http: server gave HTTP response to HTTPS client"),
    ],
)
async def test_no_answer(get: dict[str, Any], seconds: float, said: str) -> None:
    async with serving(answer) as port:
        with pytest.raises(NoAnswer) as raised:
            await ask({}, {"port": port, **get}, "127.0.0.1", purpose="probe", seconds=seconds)
    assert str(raised.value).replace('"', "").removeprefix("Get ") == said.format(where=f"127.0.0.1:{port}")


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(NoAnswer) as raised:
            await ask({}, {"port": taken.getsockname()[1]}, "127.0.0.1", purpose="probe", seconds=30)
    assert str(raised.value) == f'Get "http://{where}/": dial tcp {where}: connect: connection refused'
