"""The listening sockets: TLS, HTTP/1.1 alone, request heads as long as real selectors and tokens need.

A raw `Upgrade: SPDY/3.1` comes through as an ordinary request; whoever serves it takes the socket over (`takeover`).
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from apiserver.http.connection import Server
from machinery.linux.listeners import freely_bound

_HEAD_SECONDS = 32.0
_KEEP_ALIVE = 180.0
_GRACE = 2.0
_ALL = {False: "0.0.0.0", True: "::"}  # noqa: S104 - which of them is asked for is the user's choice
"""Whether of IPv6 -> all addresses of the machine."""


class Listener:
    """Serves `handler`; `port` is the one really bound, where any was asked for."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        context: ssl.SSLContext | None,
        *,
        head_seconds: float = _HEAD_SECONDS,
    ) -> None:
        self._server = Server(
            handler,
            head_seconds=head_seconds,
            access_log=None,
            keepalive_timeout=_KEEP_ALIVE,
            # As upstream: a body is what it is, whatever Content-Encoding says.
            auto_decompress=False,
        )
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_GRACE)
        self._context = context
        self._bound: set[str] = set()
        self.port = 0

    async def start(self, addresses: Sequence[str], port: int) -> None:
        """Binds every address, also one that the machine does not have yet; raises OSError where one is taken."""
        self.port = port
        await self._runner.setup()
        # First those that stand for all.
        for address in sorted(dict.fromkeys(addresses), key=lambda each: each not in _ALL.values()):
            await self.listen(address)

    async def listen(self, address: str) -> None:
        """Binds one more address, where it is not yet; raises OSError where it is taken."""
        if not self._bound.isdisjoint((address, _ALL[":" in address])):
            return
        bound = freely_bound(address, self.port)
        self._bound.add(address)
        self.port = bound.getsockname()[1]
        await web.SockSite(self._runner, bound, ssl_context=self._context, backlog=512).start()

    async def stop(self) -> None:
        """Closes the sockets; running requests have a moment to end."""
        await self._runner.cleanup()
