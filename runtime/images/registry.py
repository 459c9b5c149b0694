"""The registry protocol's reading half: manifests and blobs, from mirrors first, with the tokens they ask for."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp

from runtime.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    RuntimeFault,
    Unauthenticated,
    Unavailable,
)
from runtime.images.challenge import authorization, parse_challenges
from runtime.images.content import digest_of
from runtime.images.credentials import AuthConfig, credentials_for
from runtime.images.hosts import Host, hosts_for
from runtime.images.media import ACCEPTED, MAX_MANIFEST, Descriptor, media_type_of
from runtime.images.reference import Reference, is_digest

USER_AGENT = "minikube-py/0.1"
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@dataclass(frozen=True)
class Resolved:
    """What a reference means now, and the host that said so; `body` where the manifest came along."""

    descriptor: Descriptor
    body: bytes


class Registry:
    """One repository's images for one pull; use as an async context manager."""

    def __init__(self, reference: Reference, auth: AuthConfig | None, mirrors: Mapping[str, Sequence[str]]) -> None:
        self._reference, self._auth = reference, auth
        self._hosts = hosts_for(reference.domain, mirrors)
        self._scope = f"repository:{reference.path}:pull"
        self._authorizations: dict[Host, str] = {}

    async def __aenter__(self) -> Registry:
        self._session = aiohttp.ClientSession(
            timeout=TIMEOUT, headers={"User-Agent": USER_AGENT}, auto_decompress=False, trust_env=True
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def resolve(self) -> Descriptor:
        """What the reference names, by HEAD; raises NotFound where every host says so, else the first failure."""
        path = f"{self._reference.path}/manifests/{self._reference.target}"
        first: RuntimeFault | None = None
        for host in self._hosts:
            try:
                async with self._request("HEAD", host, path) as answer:
                    declared = answer.headers.get("Docker-Content-Digest", "")
                    size = int(answer.headers.get("Content-Length") or -1)
                    media_type = answer.headers.get("Content-Type", "")
                if is_digest(declared) and 0 <= size <= MAX_MANIFEST:
                    return Descriptor(media_type.partition(";")[0], declared, size)
                body, media_type = await self._whole(host, path)
                return Descriptor(media_type_of(body, media_type), digest_of(body), len(body))
            except NotFound:
                continue
            except RuntimeFault as error:
                first = first or error
        raise first or NotFound(f"{self._reference}: not found")

    async def manifest(self, digest: str) -> tuple[bytes, str]:
        """The verified document and its declared type; raises NotFound."""
        first: RuntimeFault | None = None
        for host in self._hosts:
            try:
                body, media_type = await self._whole(host, f"{self._reference.path}/manifests/{digest}")
            except RuntimeFault as error:
                first = first or error
                continue
            if digest_of(body) == digest:
                return body, media_type
            first = first or InvalidArgument(f"unexpected commit digest {digest_of(body)}, expected {digest}")
        raise first or NotFound(f"{digest}: not found")

    @asynccontextmanager
    async def blob(self, digest: str, offset: int) -> AsyncIterator[tuple[bool, AsyncIterator[bytes]]]:
        """Whether the bytes continue at `offset` (else they start at 0), and the bytes."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        first: RuntimeFault | None = None
        for host in self._hosts:
            path = f"{self._reference.path}/blobs/{digest}"
            request = self._request("GET", host, path, headers)
            try:
                answer = await request.__aenter__()
            except RuntimeFault as error:
                first = first or error
                continue
            try:
                yield answer.status == HTTPStatus.PARTIAL_CONTENT, _told(answer.content.iter_chunked(1 << 20))
                return
            finally:
                await request.__aexit__(None, None, None)
        raise first or NotFound(f"{digest}: not found")

    async def _whole(self, host: Host, path: str) -> tuple[bytes, str]:
        async with self._request("GET", host, path) as answer:
            body = bytearray()
            async for chunk in _told(answer.content.iter_chunked(1 << 16)):
                body += chunk
                if len(body) > MAX_MANIFEST:
                    raise InvalidArgument(f"manifest is larger than {MAX_MANIFEST} bytes")
            return bytes(body), answer.headers.get("Content-Type", "")

    @asynccontextmanager
    async def _request(
        self, method: str, host: Host, path: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = host.url(path)
        sent = {"Accept": ", ".join(ACCEPTED), **(headers or {})}
        try:
            for attempt in ("known", "asked"):
                if known := self._authorizations.get(host):
                    sent["Authorization"] = known
                async with self._session.request(method, url, headers=sent, allow_redirects=True) as answer:
                    if answer.status == HTTPStatus.UNAUTHORIZED and attempt == "known":
                        self._authorizations[host] = await self._authorize(host, answer)
                        continue
                    _check(method, url, answer)
                    yield answer
                    return
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(method, url, error) from error

    async def _authorize(self, host: Host, answer: aiohttp.ClientResponse) -> str:
        challenges = parse_challenges(answer.headers.getall("WWW-Authenticate", []))
        if not challenges:
            raise Unauthenticated("authorization failed: no challenge that this client can answer")
        return await authorization(self._session, challenges[0], credentials_for(self._auth, host.name), self._scope)


async def _told(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"failed to copy: {error or type(error).__name__}") from error


def _check(method: str, url: str, answer: aiohttp.ClientResponse) -> None:
    if answer.status < HTTPStatus.BAD_REQUEST:
        return
    if answer.status == HTTPStatus.NOT_FOUND:
        raise NotFound(f"content at {url} not found: not found")
    told = f"unexpected status from {method} request to {url}: {answer.status} {answer.reason}"
    if answer.status in REFUSALS:
        raise PermissionDenied(
            "pull access denied, repository does not exist or may require authorization: "
            "server message: insufficient_scope: authorization failed"
        )
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise ResourceExhausted(told)
    raise Unavailable(told) if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else InvalidArgument(told)


def _unreachable(method: str, url: str, error: Exception) -> RuntimeFault:
    request = f'failed to do request: {method.capitalize()} "{url}"'
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return DeadlineExceeded(f"{request}: dial tcp: i/o timeout")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unavailable(
            f"{request}: dial tcp: lookup {error.host} on {_name_server()}: {_lookup_failure(error.os_error)}"
        )
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return Unavailable(f"{request}: tls: failed to verify certificate: {error}")
    if isinstance(error, aiohttp.ClientConnectorError):
        told = _reason(error.os_error, str(error))
        return Unavailable(f"{request}: dial tcp {error.host}:{error.port}: connect: {told}")
    return Unavailable(f"{request}: {error}" if str(error) else f"{request}: EOF")


def _reason(error: OSError, otherwise: str) -> str:
    # asyncio words its own messages; the errno's is the one that users search for.
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else otherwise


def _name_server() -> str:
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as lines:
            servers = [words[1] for line in lines if (words := line.split())[:1] == ["nameserver"] and words[1:]]
    except OSError:
        servers = []
    server = servers[0] if servers else "127.0.0.1"
    return f"[{server}]:53" if ":" in server else f"{server}:53"


def _lookup_failure(error: OSError) -> str:
    absent = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
    return "no such host" if error.errno in absent else (error.strerror or "server misbehaving")
