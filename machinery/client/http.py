"""The API over HTTPS, for agents and tests: the same interface, types and errors as the client in the process.

One client holds one pool of connections; a connection that fails is told as ServiceUnavailable, so that whoever backs
off on a StatusError backs off on it too.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

import orjson

from machinery.api.errors import ServiceUnavailable, StatusError, from_status
from machinery.api.resource import Object, Resource
from machinery.client.client import ObjectList, PatchType, WatchEvent

if TYPE_CHECKING:
    import aiohttp

# What no answer may take; a watch has no end of its own.
TIMEOUT = 60.0


class HttpClient:
    """Implements `machinery.client.Client`; an async context manager, as its connections end with it."""

    def __init__(
        self, server: str, tls: ssl.SSLContext | None = None, *, token: str = "", user_agent: str = "minikube-py"
    ) -> None:
        self._server = server.rstrip("/")
        self._tls = tls
        self._headers = {"User-Agent": user_agent, "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        import aiohttp

        connector = aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True, limit=0)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        self._session = aiohttp.ClientSession(
            connector=connector, headers=self._headers, timeout=timeout, auto_decompress=True
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        return await self._ask("GET", resource.path(namespace, name, subresource))

    async def list(self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "") -> ObjectList:
        found = await self._ask("GET", resource.path(namespace), _selectors(labels, fields))
        # A list says the kind once; each object of ours says it for itself.
        kind = {"apiVersion": resource.api_version, "kind": resource.kind}
        items = [{**kind, **item} for item in found.get("items") or ()]
        metadata = found.get("metadata") or {}
        return ObjectList(items, metadata.get("resourceVersion", ""), metadata.get("continue", ""))

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str = "", *, resource_version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        import aiohttp

        query = {
            **_selectors(labels, fields),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
        }
        endless = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT)
        url = self._server + resource.path(namespace)
        try:
            answer = await self._open.get(url, params=query, timeout=endless)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(error) from error
        async with answer:
            if answer.status >= 400:
                _refuse(answer.status, await answer.read())
            async with aclosing(_events(answer)) as events:
                yield events

    async def create(
        self, resource: Resource, obj: Object, namespace: str = "", *, name: str = "", subresource: str = ""
    ) -> Object:
        namespace = namespace or (obj.get("metadata") or {}).get("namespace") or ""
        return await self._ask("POST", resource.path(namespace, name, subresource), body=obj)

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        metadata = obj["metadata"]
        path = resource.path(metadata.get("namespace") or "", metadata["name"], subresource)
        return await self._ask("PUT", path, body=obj)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> Object:
        query = {"fieldManager": field_manager} if field_manager else {}
        if force:
            query["force"] = "true"
        path = resource.path(namespace, name, subresource)
        return await self._ask("PATCH", path, query, patch, content_type=patch_type.value)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        grace_period_seconds: int | None = None,
        propagation_policy: str = "",
    ) -> Object:
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if uid or resource_version:
            options["preconditions"] = {key: value for key, value in preconditions.items() if value}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if propagation_policy:
            options["propagationPolicy"] = propagation_policy
        return await self._ask("DELETE", resource.path(namespace, name), body=options)

    @property
    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "enter the client first"
        return self._session

    async def _ask(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Any = None,
        *,
        content_type: str = "application/json",
    ) -> Object:
        import aiohttp

        data = orjson.dumps(body) if body is not None else None
        headers = {"Content-Type": content_type} if body is not None else None
        try:
            async with self._open.request(
                method, self._server + path, params=query, data=data, headers=headers
            ) as answer:
                found, status = await answer.read(), answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(error) from error
        if status >= 400:
            _refuse(status, found)
        answered: Object = orjson.loads(found)
        return answered


def _selectors(labels: str, fields: str) -> dict[str, str]:
    found = {"labelSelector": labels, "fieldSelector": fields}
    return {key: value for key, value in found.items() if value}


async def _events(answer: aiohttp.ClientResponse) -> AsyncGenerator[WatchEvent, None]:
    """The stream's events; an ERROR in it is raised as the error that it tells."""
    import aiohttp

    rest = b""
    try:
        async for chunk in answer.content.iter_any():
            # Split by hand: an object may be longer than any line that the stream's reader allows.
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line:
                    yield _event(orjson.loads(line))
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _unreachable(error) from error


def _event(said: Object) -> WatchEvent:
    if said["type"] == "ERROR":
        raise from_status(said["object"])
    return WatchEvent(said["type"], said["object"])


def _refuse(status: int, body: bytes) -> NoReturn:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict) or said.get("kind") != "Status":
        said = {"code": status, "message": body.decode(errors="replace").strip()}
    raise from_status(said)


def _unreachable(error: Exception) -> StatusError:
    return ServiceUnavailable(f"the API server can't be reached: {error or type(error).__name__}")
