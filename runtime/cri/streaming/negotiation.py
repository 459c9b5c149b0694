"""Which protocol a request for streams gets, and the answers to those that get none. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from machinery.streams.remote_command import SPDY, STREAM_PROTOCOL, negotiated
from machinery.streams.takeover import is_upgrade

_ACCEPTED = "X-Accepted-Stream-Protocol-Versions"


class Refused(Exception):
    """There will be no streams; `response` is what to answer."""

    def __init__(self, response: web.Response) -> None:
        super().__init__("refused")
        self.response = response


def refusal(status: int, said: str, accepted: Sequence[str] = ()) -> Refused:
    response = web.Response(status=status, text=said and f"{said}\n")
    for each in accepted:
        response.headers.add(_ACCEPTED, each)
    return Refused(response)


def spdy_protocol(request: web.BaseRequest, offered: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    """The stream protocol and the headers of the 101; raises Refused in the words of Kubernetes' nodes."""
    asked = request.headers.getall(STREAM_PROTOCOL, ())
    if not is_upgrade(request.headers) or request.headers.get("Upgrade", "").lower() != SPDY.lower():
        raise refusal(400, "unable to upgrade: missing upgrade headers in request")
    if not asked:
        raise refusal(400, f'unable to upgrade: "{STREAM_PROTOCOL}" header is required')
    protocol = negotiated(asked, offered)
    if protocol is None:
        clients, servers = " ".join(asked), " ".join(offered)
        why = (
            f"unable to upgrade: unable to negotiate protocol: client supports [{clients}], server accepts [{servers}]"
        )
        raise refusal(403, why, offered)
    return protocol, [("Connection", "Upgrade"), ("Upgrade", SPDY), (STREAM_PROTOCOL, protocol)]
