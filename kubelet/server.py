"""The kubelet's own HTTPS server: logs, pods, streams, for whom the cluster's authority certifies alone."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from kubelet import podspec
from kubelet.config import KubeletConfig
from kubelet.cri import RuntimeFailure
from kubelet.cri_values import ContainerStats
from kubelet.logruns import NoLog, log_run, status_of
from kubelet.logs import LogOptions, read
from kubelet.streaming import Streaming
from kubelet.summary import NodeUsage, exposition, node_usage, summary
from machinery.api.resource import Object
from machinery.api.timestamps import parse_time

LogPath = Callable[[Object, str, int], Path | None]
"""(pod, container, which run: 0 is the newest) -> the log's file."""

Stats = Callable[[], Awaitable[Mapping[str, Sequence[ContainerStats]]]]
"""Pod uid -> what its running containers use, read when asked."""


class KubeletServer:
    """Serves on `config.port` on all addresses; does nothing without a certificate."""

    def __init__(
        self,
        config: KubeletConfig,
        pods: Callable[[], Sequence[Object]],
        log_path: LogPath,
        streaming: Streaming,
        stats: Stats,
    ) -> None:
        self._config = config
        self._stats = stats
        self._pods = pods
        self._log_path = log_path
        self._streaming = streaming
        self._runner: web.AppRunner | None = None
        self._context: ssl.SSLContext | None = None

    async def start(self) -> None:
        if self._config.tls_cert is None or self._config.tls_key is None or self._config.client_ca is None:
            return
        application = web.Application(middlewares=[_only_the_api_server])
        application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        application.router.add_get("/pods", self._list)
        application.router.add_get("/healthz", _healthy)
        application.router.add_get("/stats/summary", self._summary)
        application.router.add_get("/metrics/resource", self._resource_metrics)
        self._streaming.add_routes(application.router)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self._config.client_ca))
        self._context.verify_mode = ssl.CERT_REQUIRED
        self.reload_certificate()
        site = web.TCPSite(self._runner, None, self._config.port, ssl_context=self._context)
        await site.start()

    def reload_certificate(self) -> None:
        """Shows the certificate that its files hold now to whoever connects next."""
        if self._context is not None and self._config.tls_cert is not None:
            self._context.load_cert_chain(self._config.tls_cert, self._config.tls_key)

    @property
    def port(self) -> int:
        """Where it listens: the kernel's choice for a configured port of 0; 0 while it doesn't listen."""
        addresses = self._runner.addresses if self._runner is not None else []
        # For port 0 the kernel chooses one for each family; IPv4's comes first here, as its pair has two parts.
        return int(min(addresses, key=len)[1]) if addresses else 0

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": list(self._pods())})

    async def _usages(self) -> tuple[NodeUsage, Mapping[str, Sequence[ContainerStats]]]:
        try:
            return await asyncio.to_thread(node_usage), await self._stats()
        except RuntimeFailure as failure:
            raise web.HTTPInternalServerError(text=str(failure)) from failure

    async def _summary(self, request: web.Request) -> web.Response:
        return web.json_response(summary(self._config.node_name, *await self._usages()))

    async def _resource_metrics(self, request: web.Request) -> web.Response:
        body = exposition(*await self._usages()).encode()
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        where, query = request.match_info, request.query
        container = where["container"]
        pod = self._pod_named(where["namespace"], where["pod"])
        if pod is None:
            return web.Response(status=404, text=f'pod "{where["pod"]}" does not exist')
        if podspec.container(pod, container) is None:
            return web.Response(status=404, text=f'container "{container}" not found in pod "{where["pod"]}"')
        try:
            run = log_run(pod, container, previous=query.get("previous") == "true")
        except NoLog as error:
            return web.Response(status=400, text=str(error))
        path = self._log_path(pod, container, run)
        if path is None or not path.exists():
            told = (status_of(pod, container) or {}).get("containerID", "")
            return web.Response(status=400, text=f"unable to retrieve container logs for {told}")
        try:
            options = _options(query)
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)

        def is_over() -> bool:
            return run > 0 or not self._runs(where["namespace"], where["pod"], container)

        async with aclosing(read(path, options, is_over)) as pieces:
            async for piece in pieces:
                await response.write(piece)
        await response.write_eof()
        return response

    def _pod_named(self, namespace: str, name: str) -> Object | None:
        """The pod of that name; where another of its name is still ending, the one that lives."""
        named = [pod for pod in self._pods() if (podspec.namespace(pod), podspec.name(pod)) == (namespace, name)]
        return next(iter(sorted(named, key=podspec.is_deleted)), None)

    def _runs(self, namespace: str, name: str, container: str) -> bool:
        """Whether the container may still write, by the status that its worker told last."""
        pod = self._pod_named(namespace, name)
        status = status_of(pod, container) if pod is not None else None
        return "running" in ((status or {}).get("state") or {})


def _options(query: Any) -> LogOptions:
    since = None
    if query.get("sinceSeconds"):
        since = datetime.now(UTC) - timedelta(seconds=int(query["sinceSeconds"]))
    elif query.get("sinceTime"):
        since = parse_time(query["sinceTime"])
    return LogOptions(
        follow=query.get("follow") == "true",
        tail=int(query["tailLines"]) if query.get("tailLines") else None,
        since=since,
        timestamps=query.get("timestamps") == "true",
        limit=int(query["limitBytes"]) if query.get("limitBytes") else None,
    )


async def _healthy(request: web.Request) -> web.Response:
    return web.Response(text="ok")


def may_look(certificate: Mapping[str, Any]) -> bool:
    """Whether a verified certificate is an administrator's or the API server's own; all others see nothing."""
    is_server = any(name.startswith("kube-apiserver") for name in _named(certificate, "commonName"))
    return is_server or "system:masters" in _named(certificate, "organizationName")


def _named(certificate: Mapping[str, Any], attribute: str) -> list[str]:
    """All values of one attribute: a subject tells each of its groups by an attribute of its own."""
    return [value for part in certificate.get("subject", ()) for key, value in part if key == attribute]


@web.middleware
async def _only_the_api_server(request: web.Request, handler: Any) -> web.StreamResponse:
    """The certificate was verified by TLS; this asks whose it is."""
    certificate = request.transport.get_extra_info("peercert") if request.transport else None
    if not may_look(certificate or {}):
        name = ", ".join(_named(certificate or {}, "commonName"))
        return web.Response(status=403, text=f"Forbidden (user={name}, verb={request.method.lower()})")
    response: web.StreamResponse = await handler(request)
    return response
