"""exec, attach and port-forward on the kubelet: whose container is meant, and the runtime's URL that serves it.

The caller is joined with the runtime's streaming server, whatever they speak; what only newer runtimes know is
translated for the others, here as they are nobody else's neighbours (KEP-4006).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from kubelet import podspec
from kubelet.cri import Cri, RuntimeFailure
from machinery.api.resource import Object
from machinery.streams.backend import Backend, UnreachableError
from machinery.streams.channels import TUNNEL
from machinery.streams.relay import relay
from machinery.streams.takeover import is_upgrade, wants_websocket
from machinery.streams.translation import is_translatable, translate
from machinery.structs import Struct, replace

_UNKNOWN_PROTOCOL = (400, 403)
_HTTP = {"NotFound": 404, "ResourceExhausted": 429}


class _Refused(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class StreamOptions(Struct, frozen=True):
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @property
    def names(self) -> list[str]:
        """What SPDY's clients call the streams; a terminal tells its size, and has no stderr."""
        used = {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr and not self.tty, "resize": self.tty}
        return [name for name, is_used in used.items() if is_used]


class _Served(Struct, frozen=True):
    """The runtime's URL, good for one request, and the streams that it expects of a command's client."""

    url: str
    streams: Sequence[str] = ()


class Streaming:
    """Looks pods up in `pods`, containers in the runtime."""

    def __init__(self, cri: Cri, pods: Callable[[], Sequence[Object]]) -> None:
        self._cri = cri
        self._pods = pods

    def add_routes(self, router: web.UrlDispatcher) -> None:
        for kind, serve in (("exec", self._exec), ("attach", self._attach)):
            for path in (
                f"/{kind}/{{namespace}}/{{pod}}/{{container}}",
                f"/{kind}/{{namespace}}/{{pod}}/{{uid}}/{{container}}",
            ):
                self._add(router, path, serve)
        for path in ("/portForward/{namespace}/{pod}", "/portForward/{namespace}/{pod}/{uid}"):
            self._add(router, path, self._port_forward)

    def _add(self, router: web.UrlDispatcher, path: str, serve: Callable[[web.Request], Awaitable[_Served]]) -> None:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                served = await serve(request)
                if not is_upgrade(request.headers):
                    raise _Refused(400, "Upgrade request required")
                answer = await relay(request, Backend(served.url))
                if answer.status in _UNKNOWN_PROTOCOL and is_translatable(request):
                    served = await serve(request)
                    answer = await translate(request, Backend(served.url), served.streams)
                return answer
            except _Refused as refused:
                return web.Response(status=refused.status, text=str(refused))
            except RuntimeFailure as failure:
                return web.Response(status=_HTTP.get(failure.code, 500), text=failure.rpc_text)
            except UnreachableError as error:
                return web.Response(status=500, text=f"error dialing backend: {error}\n")

        router.add_get(path, handle)
        router.add_post(path, handle)

    async def _exec(self, request: web.Request) -> _Served:
        options, command = stream_options(request.query), request.query.getall("command", [])
        container = await self._container(request)
        return _Served(await self._cri.exec(container, command, options), options.names)

    async def _attach(self, request: web.Request) -> _Served:
        options = stream_options(request.query)
        pod = self._pod(request)
        missing = f"container {{}} not found in pod {podspec.name(pod)}_{podspec.namespace(pod)}"
        container = await self._container(request, missing)
        spec = next(each for each in podspec.all_containers(pod) if each["name"] == request.match_info["container"])
        tty = bool(spec.get("tty"))
        return _Served(await self._cri.attach(container, options, tty=tty), replace(options, tty=tty).names)

    async def _port_forward(self, request: web.Request) -> _Served:
        ports = forwarded_ports(request.query.getall("port", []))
        if not ports and wants_websocket(request.headers) and TUNNEL not in request.headers.get(_PROTOCOLS, ""):
            raise _Refused(400, 'query parameter "port" is required')
        pod = self._pod(request)
        sandbox = await self._cri.ready_sandbox(podspec.uid(pod))
        if sandbox is None:
            raise _Refused(500, f'pod not found ("{podspec.name(pod)}_{podspec.namespace(pod)}")')
        return _Served(await self._cri.port_forward(sandbox, ports))

    def _pod(self, request: web.Request) -> Object:
        where = request.match_info
        for pod in self._pods():
            names = (podspec.namespace(pod), podspec.name(pod))
            if names == (where["namespace"], where["pod"]) and where.get("uid", podspec.uid(pod)) == podspec.uid(pod):
                return pod
        raise _Refused(404, "pod does not exist")

    async def _container(self, request: web.Request, missing: str = 'container not found ("{}")') -> str:
        name = request.match_info["container"]
        found = await self._cri.running_container(podspec.uid(self._pod(request)), name)
        if found is None:
            raise _Refused(500, missing.format(name))
        return found


_PROTOCOLS = "Sec-WebSocket-Protocol"


def stream_options(query: Any) -> StreamOptions:
    """The streams that the caller uses; a terminal has no stderr of its own."""
    tty, stdin, stdout, stderr = (query.get(name) == "1" for name in ("tty", "input", "output", "error"))
    options = StreamOptions(stdin, stdout, stderr and not tty, tty)
    if not (options.stdin or options.stdout or options.stderr):
        raise _Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
    return options


def forwarded_ports(given: Sequence[str]) -> list[int]:
    """The ports that the query names, several parted by commas."""
    ports = []
    for each in given:
        for text in each.split(","):
            if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
                raise _Refused(
                    400, f'unable to parse "{each}" as a port: strconv.ParseUint: parsing "{text}": invalid syntax'
                )
            if int(text) < 1:
                raise _Refused(400, f'port "{text}" must be > 0')
            ports.append(int(text))
    return ports
