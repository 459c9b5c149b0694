"""Asks kubelets on behalf of the API's clients: a container's log passes as it comes, streams are told their way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from apiserver.pod_logs import kubelet_error, log_container, log_options, log_path
from machinery.api.errors import InternalError, not_found
from machinery.api.resource import Object
from machinery.api.resources import NODES, PODS
from machinery.client.cache import Cache
from machinery.ip_families import host_port
from machinery.pki import Pki
from machinery.streams.backend import Backend
from machinery.structs import Struct

if TYPE_CHECKING:
    import ssl

    import aiohttp

_DEFAULT_PORT = 10250
_ADDRESS_TYPES = ("InternalIP", "Hostname", "ExternalIP")
_CHUNK = 64 * 1024
_ERROR_LENGTH = 50_000


class Kubelet(Struct, frozen=True):
    """Where a node's kubelet listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"https://{host_port(self.host, self.port)}"


class NodeProxy:
    """Finds pods and nodes in `cache`, and shows kubelets the API server's own certificate."""

    def __init__(self, pki: Pki, cache: Cache) -> None:
        self._pki = pki
        self._cache = cache
        self._made: tuple[int, ssl.SSLContext] | None = None

    @asynccontextmanager
    async def pod_log(self, namespace: str, name: str, query: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """The log as pieces of bytes until it ends or the client leaves; a pod without a node has an empty one.

        Raises NotFound, Invalid, BadRequest and InternalError before the first piece.
        """
        pod = self.pod(namespace, name)
        options = log_options(name, query)
        container = log_container(pod, options.container)
        node = (pod.get("spec") or {}).get("nodeName")
        if not node:
            yield _nothing()
            return
        path = log_path(pod, container, options)
        async with self._get(self.kubelet(node), path) as answer:
            if answer.status != 200:
                text = (await answer.content.read(_ERROR_LENGTH)).decode("utf-8", "replace").strip()
                raise kubelet_error(pod, answer.status, text)
            yield answer.content.iter_any()

    async def text(self, node: str, path: str) -> bytes:
        """The body of the kubelet's answer; raises NotFound and InternalError."""
        import aiohttp

        async with self._get(self.kubelet(node), path) as answer:
            try:
                body = await answer.read()
            except aiohttp.ClientError as error:
                raise InternalError(f"the kubelet of {node} broke its answer to {path} off: {error}") from None
            if answer.status != 200:
                raise InternalError(f"the kubelet of {node} answers {path} with {answer.status}")
            return body

    def pod(self, namespace: str, name: str) -> Object:
        """Raises NotFound."""
        found = self._cache.get(PODS, namespace, name)
        if found is None:
            raise not_found("pods", name)
        return found

    def backend(self, node: str, path: str) -> Backend:
        """Where a stream of the node's kubelet is asked for; raises NotFound and InternalError."""
        return Backend(self.kubelet(node).url + path, self._context())

    def kubelet(self, node: str) -> Kubelet:
        """Where the node says that its kubelet listens; raises NotFound and InternalError."""
        found = self._cache.get(NODES, "", node)
        if found is None:
            raise not_found("nodes", node)
        return kubelet_of(found)

    @asynccontextmanager
    async def _get(self, kubelet: Kubelet, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp
        from yarl import URL

        url = kubelet.url + path
        connector = aiohttp.TCPConnector(ssl=self._context(), limit=1)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=_CHUNK) as session:
            try:
                answer = await session.get(URL(url, encoded=True))
            except aiohttp.ClientConnectorError as error:
                asked, why = host_port(kubelet.host, kubelet.port), (error.strerror or str(error)).lower()
                raise InternalError(f'Get "{url}": dial tcp {asked}: connect: {why}') from None
            except aiohttp.ClientError as error:
                raise InternalError(f'Get "{url}": {error}') from None
            async with answer:
                yield answer

    def _context(self) -> ssl.SSLContext:
        """Made anew when the certificate was renewed. The kubelet is known by the CA alone: addresses change."""
        pair = self._pki.kubelet_client
        written = pair.certificate.stat().st_mtime_ns
        if self._made is None or self._made[0] != written:
            context = self._pki.ssl_context_client(pair)
            context.check_hostname = False
            self._made = (written, context)
        return self._made[1]


def kubelet_of(node: Object) -> Kubelet:
    """Where the kubelet of `node` listens; raises InternalError where the node doesn't say it."""
    status = node.get("status") or {}
    by_type: dict[str, str] = {}
    for each in status.get("addresses") or ():
        by_type.setdefault(each.get("type", ""), each.get("address", ""))
    host = next((by_type[kind] for kind in _ADDRESS_TYPES if by_type.get(kind)), "")
    if not host:
        raise InternalError(f"no preferred addresses found; known addresses: {status.get('addresses') or []}")
    endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
    return Kubelet(host, endpoint.get("Port") or _DEFAULT_PORT)


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
