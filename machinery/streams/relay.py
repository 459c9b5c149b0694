"""A request for another protocol sent on to a backend, and the two connections joined once that has switched.

Neither end is understood, so whatever protocol they agree on passes.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from machinery.streams.backend import Backend, asked
from machinery.streams.link import StreamLink, join
from machinery.streams.takeover import taken_over

_NOT_PASSED_ON = ("host", "content-length", "transfer-encoding", "authorization")


async def relay(request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
    """Serves the request's connection to its end; a backend that does not switch has its answer returned.

    Raises UnreachableError.
    """
    async with asked(backend, request.method, _passed_on(request.headers.items())) as answer:
        if not answer.has_switched:
            return await answer.response()
        async with taken_over(request, answer.head) as ends:
            await join(StreamLink(*ends), answer.link)
    return web.Response()


def _passed_on(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Credentials are for us alone."""
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in _NOT_PASSED_ON and not name.lower().startswith("impersonate-")
    ]
