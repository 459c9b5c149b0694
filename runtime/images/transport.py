"""HTTP to registries and to those who give tokens for them: by the proxy that is set, trusted as configured."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp

from runtime.errors import InvalidArgument
from runtime.images.hosts import Trust
from runtime.images.proxies import proxy_for

USER_AGENT = "minikube-py/0.1"
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)


class Transport:
    """One session; use as an async context manager."""

    def __init__(self) -> None:
        self._environment: Mapping[str, str] = dict(os.environ)
        self._contexts: dict[Trust, ssl.SSLContext | bool] = {Trust(): True}

    async def __aenter__(self) -> Transport:
        self._session = aiohttp.ClientSession(
            timeout=TIMEOUT, headers={"User-Agent": USER_AGENT}, auto_decompress=False, trust_env=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def request(self, method: str, url: str, trust: Trust, **options: Any) -> aiohttp.ClientResponse:
        """The answer once its head is there: close it. Raises aiohttp.ClientError, TimeoutError, InvalidArgument."""
        context = self._contexts.get(trust)
        if context is None:
            context = self._contexts[trust] = await asyncio.to_thread(_context, trust)
        proxy = proxy_for(url, self._environment)
        if proxy and not proxy.startswith(("http://", "https://")):
            raise InvalidArgument(f"the proxy {proxy.partition('://')[0]}://… is no HTTP proxy, and no other is known")
        return await self._session.request(method, url, proxy=proxy, ssl=context, **options)


def _context(trust: Trust) -> ssl.SSLContext:
    """Raises InvalidArgument that names the file which can't be used. Blocks."""
    context = ssl.create_default_context()
    if trust.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for path in trust.ca:
        try:
            context.load_verify_locations(path)
        except OSError as error:
            raise InvalidArgument(f'unable to load CA cert "{path}": {error}') from error
    for certificate, key in trust.client:
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            raise InvalidArgument(f'failed to load X509 key pair "{certificate}": {error}') from error
    return context
