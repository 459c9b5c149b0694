"""The registry protocol's reading half: manifests and blobs, from mirrors first, with the tokens they ask for."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path

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
    Unimplemented,
)
from runtime.images.certs import configured_hosts
from runtime.images.challenge import authorization, parse_challenges
from runtime.images.content import digest_of
from runtime.images.credentials import AuthConfig, credentials_for
from runtime.images.hosts import PULL, RESOLVE, Host, hosts_for
from runtime.images.media import ACCEPTED, MAX_MANIFEST, Descriptor, media_type_of
from runtime.images.reference import Reference, is_digest
from runtime.images.transport import Transport

ATTEMPTS, PATIENCE = 5, 30.0
"""How often a registry that asks to come later is asked again, and the longest that it is waited for at once."""
MAX_MESSAGE = 16 << 10
log = logging.getLogger("images")
REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class Registry:
    """One repository's images for one pull; use as an async context manager."""

    def __init__(
        self, reference: Reference, auth: AuthConfig | None, mirrors: Mapping[str, Sequence[str]], certs: Path
    ) -> None:
        self._reference, self._auth = reference, auth
        self._mirrors, self._certs = mirrors, certs
        self._scope = f"repository:{reference.path}:pull"
        self._authorizations: dict[Host, str] = {}
        self._transport = Transport()

    async def __aenter__(self) -> Registry:
        domain = self._reference.domain
        configured = await asyncio.to_thread(configured_hosts, domain, self._certs)
        self._hosts = hosts_for(domain, self._mirrors, configured)
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.__aexit__()

    def _able(self, *capabilities: str) -> list[Host]:
        """The hosts that may be asked for this; raises NotFound where none may."""
        found = [host for host in self._hosts if host.capabilities.issuperset(capabilities)]
        if not found:
            raise NotFound(f"no {'/'.join(capabilities)} hosts: not found")
        return found

    async def resolve(self) -> Descriptor:
        """What the reference names, by HEAD; raises NotFound where every host says so, else the first failure."""
        path = f"{self._reference.path}/manifests/{self._reference.target}"
        first: RuntimeFault | None = None
        # A digest says by itself what it means: whoever may serve it may be asked.
        for host in self._able(PULL) if self._reference.digest else self._able(PULL, RESOLVE):
            try:
                found = await self._head(host, path)
                if found is not None:
                    return found
                body, media_type = await self._whole(host, path)
                return Descriptor(media_type_of(body, media_type), digest_of(body), len(body))
            except NotFound:
                continue
            except RuntimeFault as error:
                first = first or error
        raise first or NotFound(f"{self._reference}: not found")

    async def _head(self, host: Host, path: str) -> Descriptor | None:
        """What the answer's head tells; None where it tells too little."""
        try:
            async with self._request("HEAD", host, path) as answer:
                declared = answer.headers.get("Docker-Content-Digest", "")
                size = int(answer.headers.get("Content-Length") or -1)
                media_type = answer.headers.get("Content-Type", "")
        except Unimplemented:
            return None
        if is_digest(declared) and 0 <= size <= MAX_MANIFEST:
            return Descriptor(media_type.partition(";")[0], declared, size)
        return None

    async def manifest(self, digest: str) -> tuple[bytes, str]:
        """The verified document and its declared type; raises NotFound."""
        first: RuntimeFault | None = None
        for host in self._able(PULL):
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
        for host in self._able(PULL):
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
        sent = [("Accept", ", ".join(ACCEPTED)), *(headers or {}).items(), *host.headers]
        is_known = False
        try:
            for attempt in range(ATTEMPTS):
                known = self._authorizations.get(host)
                told = [*sent, *([("Authorization", known)] if known else [])]
                answer = await self._transport.request(method, url, host.trust, headers=told)
                async with answer:
                    if answer.status == HTTPStatus.UNAUTHORIZED and not is_known:
                        self._authorizations[host] = await self._authorize(host, answer)
                        is_known = True
                        continue
                    delay = retry_after(answer.headers.get("Retry-After"), time.time())
                    if answer.status != HTTPStatus.TOO_MANY_REQUESTS or delay > PATIENCE or attempt == ATTEMPTS - 1:
                        await _check(method, url, answer)
                        yield answer
                        return
                log.warning("%s asks to come again in %.0f s", host.name, delay)
                await asyncio.sleep(delay)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(method, url, error) from error

    async def _authorize(self, host: Host, answer: aiohttp.ClientResponse) -> str:
        challenges = parse_challenges(answer.headers.getall("WWW-Authenticate", []))
        if not challenges:
            raise Unauthenticated("authorization failed: no challenge that this client can answer")
        credentials = credentials_for(self._auth, host.name)
        return await authorization(self._transport, host.trust, challenges[0], credentials, self._scope)


def retry_after(said: str | None, now: float) -> float:
    """Seconds to wait, from a header's seconds or date (RFC 9110); a second where it says nothing. Pure."""
    if said is None:
        return 1.0
    if said.strip().isdecimal():
        return float(said)
    try:
        return max(parsedate_to_datetime(said).timestamp() - now, 0.0)
    except ValueError:
        return 1.0


async def _told(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"failed to copy: {error or type(error).__name__}") from error


async def _check(method: str, url: str, answer: aiohttp.ClientResponse) -> None:
    """Raises what the status says; a registry's own words are told where it refuses for now."""
    if answer.status < HTTPStatus.BAD_REQUEST:
        return
    if answer.status == HTTPStatus.NOT_FOUND:
        raise NotFound(f"content at {url} not found: not found")
    told = f"unexpected status from {method} request to {url}: {answer.status} {answer.reason}"
    if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
        raise Unimplemented(told)
    if answer.status in REFUSALS:
        raise PermissionDenied(
            "pull access denied, repository does not exist or may require authorization: "
            "server message: insufficient_scope: authorization failed"
        )
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        later = answer.headers.get("Retry-After")
        wait = f"; it asks to come again in {retry_after(later, time.time()):.0f} s" if later else ""
        raise ResourceExhausted(f"{told}{_server_message(await answer.content.read(MAX_MESSAGE))}{wait}")
    raise Unavailable(told) if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else InvalidArgument(told)


def _server_message(body: bytes) -> str:
    """The first error of a registry's JSON, as containerd appends it."""
    try:
        error = json.loads(body)["errors"][0]
        return f" - Server message: {str(error['code']).lower().replace('_', '')}: {error['message']}"
    except (ValueError, KeyError, IndexError, TypeError):
        return ""


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
