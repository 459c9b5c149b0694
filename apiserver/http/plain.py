"""Paths that are no resources: health, version, metrics, discovery, OpenAPI, keys, and the list of them all."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping

import orjson
from aiohttp import web

from apiserver.authn.authenticator import Authenticator
from apiserver.discovery import Discovery
from apiserver.http import answer
from apiserver.http.incoming import Incoming
from apiserver.http.negotiation import is_pretty, negotiate_discovery
from apiserver.request import User
from apiserver.root_paths import CHECKS, HOOKS, READY_CHECKS, root_paths
from machinery.api.errors import method_not_allowed
from machinery.contain import failures
from machinery.loop_lag import LAG

_ROUTED = re.compile(r"/version/?|/api/?|/api/v1/?|/openid/v1/jwks|/\.well-known/openid-configuration")
"""What upstream routes as it does resources: other methods than GET are refused, not unknown."""
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class PlainPaths:
    """`state` tells what a health check finds: true where the server has started up."""

    def __init__(self, discovery: Discovery, authenticator: Authenticator, version: str) -> None:
        self._discovery = discovery
        self._authenticator = authenticator
        self._version = version
        self.is_ready = False

    async def answer(self, incoming: Incoming, user: User) -> web.StreamResponse | None:
        """None where the path is unknown."""
        path = incoming.plain_path
        first = "/" + path.split("/")[1]
        if first in ("/healthz", "/livez", "/readyz"):
            return self._health(incoming, first, path.removeprefix(first).strip("/"))
        if not _may_be_read(incoming.method, path):
            return None
        if first in ("/api", "/apis"):
            return self._discover(incoming, path)
        if first == "/openapi":
            return await self._openapi(incoming, path)
        match path:
            case "/" | "/index.html":
                return _indented(incoming, {"paths": root_paths(self._discovery)})
            case "/version" | "/version/":
                return _indented(incoming, version_info(self._version))
            case "/metrics":
                return answer.respond(incoming, 200, _metrics(), _TEXT)
            case "/.well-known/openid-configuration":
                return _kept(incoming, self._authenticator.openid_configuration(), "application/json")
            case "/openid/v1/jwks":
                return _kept(incoming, self._authenticator.key_set(), "application/jwk-set+json")
        return None

    def _discover(self, incoming: Incoming, path: str) -> web.Response | None:
        if self._discovery.respond(path) is None:
            return None
        media = negotiate_discovery(incoming.accept, path.rstrip("/"))
        etag = incoming.headers.get("If-None-Match", "")
        found = self._discovery.respond(path, etag, is_aggregated=media.form == "aggregated")
        if found is None:
            return None
        body, content_type = found.body, found.headers.get("Content-Type", "application/json")
        if media.is_yaml:
            content_type = content_type.replace("/json", "/yaml", 1)
        if body and (media.is_yaml or is_pretty(incoming.query.get("pretty"), incoming.user_agent)):
            body = answer.encode(incoming, orjson.loads(body), media.is_yaml)
        return answer.respond(incoming, found.status, body, content_type, headers=_without_type(found.headers))

    async def _openapi(self, incoming: Incoming, path: str) -> web.Response | None:
        from apiserver import openapi_routes

        etag = incoming.headers.get("If-None-Match", "")
        found = await openapi_routes.respond(
            path, incoming.query, accept=incoming.accept, if_none_match=etag, clock=self._authenticator.clock
        )
        if found is None:
            return None
        content_type = found.headers.get("Content-Type", "application/json")
        return answer.respond(incoming, found.status, found.body, content_type, headers=_without_type(found.headers))

    def _health(self, incoming: Incoming, endpoint: str, check: str) -> web.Response:
        checks = [*(READY_CHECKS if endpoint == "/readyz" else CHECKS), *(f"poststarthook/{hook}" for hook in HOOKS)]
        is_well = self.is_ready or endpoint == "/livez"
        if check:
            if check not in checks:
                return answer.text(incoming, 404, "404 page not found\n")
            return answer.text(incoming, 200, "ok") if is_well else self._unwell(incoming, endpoint, checks)
        if not is_well:
            return self._unwell(incoming, endpoint, checks)
        if "verbose" not in incoming.query:
            return answer.text(incoming, 200, "ok")
        lines = [f"[+]{each} ok" for each in checks]
        return answer.text(incoming, 200, "\n".join([*lines, f"{endpoint[1:]} check passed\n"]))

    def _unwell(self, incoming: Incoming, endpoint: str, checks: list[str]) -> web.Response:
        lines = [f"[-]{each} failed: reason withheld" if each.startswith("poststarthook") else f"[+]{each} ok"
                 for each in checks]  # fmt: skip
        return answer.text(incoming, 500, "\n".join([*lines, f"{endpoint[1:]} check failed\n"]))


def _indented(incoming: Incoming, body: object) -> web.Response:
    return answer.respond(incoming, 200, answer.indented(body))


def _kept(incoming: Incoming, body: object, content_type: str) -> web.Response:
    """What those who check tokens elsewhere may keep for an hour."""
    headers = {"Cache-Control": "public, max-age=3600"}
    return answer.respond(incoming, 200, orjson.dumps(body), content_type, headers=headers)


def _without_type(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "Content-Type"}


def version_info(version: str) -> dict[str, str]:
    """The answer to `/version`."""
    major, minor = version.removeprefix("v").split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": f"{version}+minikube-py",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": sys.implementation.name,
        "platform": f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }",
    }


def _metrics() -> bytes:
    from prometheus_client import REGISTRY, generate_latest

    lines = [
        "# HELP minikube_py_failures_total Units of work that failed and were contained.",
        "# TYPE minikube_py_failures_total counter",
        *(f'minikube_py_failures_total{{unit="{unit}"}} {count}' for unit, count in sorted(failures.items())),
        "",
    ]
    return generate_latest(REGISTRY) + "\n".join(lines).encode() + LAG.exposition().encode()


def _may_be_read(method: str, path: str) -> bool:
    """Whether the method reads; raises MethodNotAllowed where upstream knows the path, and no other method than GET."""
    if method != "GET" and _ROUTED.fullmatch(path):
        raise method_not_allowed()
    return method in ("GET", "HEAD")
