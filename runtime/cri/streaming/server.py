"""The runtime's streaming server: on the loopback, for whoever was given a URL of it by CRI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import web

from machinery.contain import contain
from runtime.cri.streaming.commands import attach, run_command
from runtime.cri.streaming.negotiation import Refused
from runtime.cri.streaming.ports import forward_ports
from runtime.cri.streaming.remote import remote
from runtime.cri.streaming.tokens import Tokens
from runtime.errors import InvalidArgument
from runtime.sandbox.containers import Containers
from runtime.sandbox.execution import Wanted
from runtime.sandbox.sandboxes import Sandboxes

_HOST = "127.0.0.1"
Serve = Callable[[web.BaseRequest], Awaitable[None]]


class StreamingServer:
    """`exec`, `attach` and `port_forward` take CRI's requests and give the URL that serves one client."""

    def __init__(self, sandboxes: Sandboxes, containers: Containers) -> None:
        self._sandboxes, self._containers = sandboxes, containers
        self._tokens: Tokens[Serve] = Tokens(asyncio.get_running_loop().time)
        server = web.Server(self._serve, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        self._base = ""

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, _HOST, 0).start()
        self._base = f"http://{_HOST}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Cuts what is open; commands in containers run on."""
        await self._runner.cleanup()

    def exec(self, request: Any) -> str:
        """Raises NotFound, FailedPrecondition and InvalidArgument."""
        record = self._containers.running(request.container_id)
        return self._promise("exec", partial(self._exec, record, list(request.cmd), _wanted(request)))

    def attach(self, request: Any) -> str:
        """Raises NotFound, FailedPrecondition and InvalidArgument."""
        record = self._containers.running(request.container_id)
        return self._promise("attach", partial(self._attach, record, _wanted(request)))

    def port_forward(self, request: Any) -> str:
        """Raises NotFound and FailedPrecondition."""
        record = self._sandboxes.ready(request.pod_sandbox_id)
        return self._promise("portforward", partial(self._forward, record, list(request.port)))

    def _promise(self, kind: str, serve: Serve) -> str:
        return f"{self._base}/{kind}/{self._tokens.promise(serve)}"

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        serve = self._tokens.redeem(request.path.rpartition("/")[2])
        if serve is None:
            return web.Response(status=404, text="404 page not found\n")
        with contain("stream", about=request.path.split("/")[1]):
            try:
                await serve(request)
            except Refused as refused:
                return refused.response
            except (web.HTTPBadRequest, ConnectionError):
                return web.Response(status=400)
        return web.Response(status=500)

    async def _exec(self, record: Any, command: list[str], wanted: Wanted, request: web.BaseRequest) -> None:
        async with remote(request, wanted) as client:
            if client is not None:
                await run_command(client, command, lambda: self._containers.open(record, command, wanted))

    async def _attach(self, record: Any, wanted: Wanted, request: web.BaseRequest) -> None:
        async with remote(request, wanted) as client:
            if client is not None:
                start = partial(self._containers.attach, record)
                await attach(client, wanted, start, stdin_once=record.stdin_once)

    async def _forward(self, record: Any, ports: list[int], request: web.BaseRequest) -> None:
        await forward_ports(request, record.id, ports, partial(self._sandboxes.connect, record))


def _wanted(request: Any) -> Wanted:
    """The streams that CRI's request names; raises InvalidArgument for a set that can't be."""
    wanted = Wanted(request.stdin, request.stdout, request.stderr, request.tty)
    if wanted.tty and wanted.stderr:
        raise InvalidArgument("tty and stderr cannot both be true")
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        raise InvalidArgument("one of stdin, stdout, or stderr must be set")
    return wanted
