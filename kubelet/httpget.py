"""The `httpGet` of a probe or a hook: what is asked, and in Go's words why there is no answer.

Redirects are followed as long as they lead to the same host; others are the answer themselves.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from machinery.api.resource import Object
from machinery.ip_families import host_port
from machinery.structs import Struct

if TYPE_CHECKING:
    from multidict import CIMultiDict

_BODY_LIMIT = 10 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 10
_LATE = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"


class NoSuchPort(Exception):
    """The message is what Go says of a name that is no number either."""


class NoAnswer(Exception):
    """The message is that of the HTTP client."""


class Answer(Struct, frozen=True):
    status: int
    body: str


def port_number(spec: Object, port: int | str) -> int:
    """A port given by number or by its name in the container's spec; raises NoSuchPort."""
    named = (entry["containerPort"] for entry in spec.get("ports") or () if entry.get("name") == port)
    found = next(named, None) if isinstance(port, str) else port
    if found is None and not str(port).isdigit():
        raise NoSuchPort(f'strconv.Atoi: parsing "{port}": invalid syntax')
    number = int(port if found is None else found)
    if not 0 < number < 1 << 16:
        raise NoSuchPort(f"invalid port number: {number}")
    return number


def unreached(address: str, error: OSError) -> str:
    """Why a connection could not be made, as Go's dialer tells it."""
    said = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
    return f"dial tcp {address}: connect: {said}"


def url_of(spec: Object, get: Object, ip: str) -> str:
    """What is asked; raises NoSuchPort."""
    scheme = str(get.get("scheme") or "HTTP").lower()
    where = host_port(get.get("host") or ip, port_number(spec, get["port"]))
    return f"{scheme}://{where}/{str(get.get('path') or '').lstrip('/')}"


async def ask(spec: Object, get: Object, ip: str, *, purpose: str, seconds: float | None = None) -> Answer:
    """The answer, with the beginning of its body; raises NoSuchPort, NoAnswer. `purpose` names the asker to servers."""
    import aiohttp

    url = url_of(spec, get, ip)
    host, via = urlsplit(url).hostname, 0
    unsaid = ("Accept", "Accept-Encoding", "User-Agent")
    try:
        async with asyncio.timeout(seconds), aiohttp.ClientSession(skip_auto_headers=unsaid) as session:
            while True:
                headers = _headers(get, purpose)
                async with session.get(url, headers=headers, ssl=False, allow_redirects=False) as answer:
                    body = await answer.content.read(_BODY_LIMIT)
                    to = answer.headers.get("Location") if answer.status in _REDIRECTS else None
                if to is None or urlsplit(target := urljoin(url, to)).hostname != host:
                    return Answer(answer.status, body.decode(errors="replace"))
                url, via = target, via + 1
                if via >= _MOST_REDIRECTS:
                    raise NoAnswer(f'Get "{url}": stopped after {_MOST_REDIRECTS} redirects')
    except TimeoutError as error:
        raise NoAnswer(f'Get "{url}": {_LATE}') from error
    except (aiohttp.ClientError, ValueError) as error:
        raise NoAnswer(f'Get "{url}": {_why(error, urlsplit(url).netloc)}') from error


def _headers(get: Object, purpose: str) -> CIMultiDict[str]:
    """Those that are asked for, each as often as it is named; an empty Accept is none."""
    from multidict import CIMultiDict

    named = ((each["name"], each.get("value", "")) for each in get.get("httpHeaders") or ())
    # Of one name in two cases the client would send the last alone.
    headers = CIMultiDict(("-".join(map(str.capitalize, name.split("-"))), value) for name, value in named)
    headers.setdefault("User-Agent", f"kube-{purpose}/1.36")
    if not headers.setdefault("Accept", "*/*"):
        del headers["Accept"]
    return headers


def _why(error: Exception, address: str) -> str:
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "http: server gave HTTP response to HTTPS client"
    if isinstance(error, aiohttp.ClientConnectorError):
        return unreached(address, error.os_error)
    return "EOF" if isinstance(error, aiohttp.ServerDisconnectedError) else str(error)
