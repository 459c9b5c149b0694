"""One client's connection: heads are bounded in size and time, and what is no HTTP is told so in a word.

The bounds are kube-apiserver's: a head of 1 MiB, all of it within 32 seconds.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

LARGEST_HEAD = 1024 * 1024
_MOST_HEADERS = 4096
_TOO_LARGE = "Request Header Fields Too Large"


class Connection(RequestHandler):
    """aiohttp's protocol, with a limit to what a client may do before there is a request."""

    __slots__ = ("_head_bytes", "_head_ends", "_head_seconds")

    def __init__(
        self, manager: web.Server, loop: asyncio.AbstractEventLoop, head_seconds: float, **kwargs: Any
    ) -> None:
        super().__init__(
            manager, loop=loop, max_line_size=LARGEST_HEAD, max_field_size=LARGEST_HEAD, max_headers=_MOST_HEADERS,
            **kwargs,
        )  # fmt: skip
        self._head_seconds = head_seconds
        self._head_bytes = 0
        self._head_ends: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        known, is_head = self._request_count, self._awaits_request
        super().data_received(data)
        if self._request_count != known:
            self._head_is_there()
        elif is_head:
            if self._head_ends is None:
                self._await_head()
            self._head_bytes += len(data)
            if self._head_bytes > LARGEST_HEAD:
                self._refuse_head()

    @property
    def _awaits_request(self) -> bool:
        """Whether what comes next is a head: not while a request is on its way to its handler, or there."""
        is_idle = self._waiter is not None and not self._messages
        return is_idle or self._request_count == 0

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_is_there()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_ends = self._loop.call_later(self._head_seconds, self.force_close)

    def _head_is_there(self) -> None:
        if self._head_ends is not None:
            self._head_ends.cancel()
            self._head_ends = None

    def _refuse_head(self) -> None:
        self._head_is_there()
        if self.transport is not None:
            said = f"431 {_TOO_LARGE}"
            head = f"HTTP/1.1 {said}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{said}"
            self.transport.write(head.encode())
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no request is answered as Go does, and is not worth a line in the log."""
        if status != 400:
            return super().handle_error(request, status, exc, message)
        status, reason = (431, _TOO_LARGE) if isinstance(exc, LineTooLong) else (400, "Bad Request")
        response = web.Response(status=status, reason=reason, text=f"{status} {reason}")
        response.force_close()
        return response


class Server(web.Server):
    """Makes a `Connection` for each client."""

    def __init__(self, handler: Any, *, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._connection_options = {**kwargs, "head_seconds": head_seconds}

    def __call__(self) -> Connection:
        return Connection(self, self._loop, **self._connection_options)
