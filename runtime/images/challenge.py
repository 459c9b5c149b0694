"""Reads a registry's `WWW-Authenticate` and gets the token that it asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

import aiohttp

from machinery.structs import Struct
from runtime.errors import PermissionDenied, Unauthenticated, Unavailable
from runtime.images.credentials import Credentials
from runtime.images.hosts import Trust
from runtime.images.transport import Transport

_PARAMETER = re.compile(r'([a-zA-Z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
CLIENT_ID = "minikube-py"


class Challenge(Struct, frozen=True):
    """`scheme` is bearer or basic."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: list[str]) -> list[Challenge]:
    """The challenges that this client can answer, in the order given."""
    found: list[Challenge] = []
    for header in headers:
        scheme, _, rest = header.strip().partition(" ")
        if scheme.lower() in ("bearer", "basic"):
            pairs = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
            found.append(Challenge(scheme.lower(), pairs))
    return found


async def authorization(
    transport: Transport, trust: Trust, challenge: Challenge, credentials: Credentials, scope: str
) -> str:
    """The Authorization header's value that answers `challenge`; raises Unauthenticated, Unavailable."""
    if challenge.scheme == "basic":
        if not credentials.basic:
            raise Unauthenticated("authorization failed: no basic auth credentials")
        return credentials.basic
    if credentials.registry_token:
        return f"Bearer {credentials.registry_token}"
    return "Bearer " + await _token(transport, trust, challenge.parameters, credentials, scope)


async def _token(
    transport: Transport, trust: Trust, parameters: Mapping[str, str], credentials: Credentials, scope: str
) -> str:
    realm = parameters.get("realm", "")
    query = {"service": parameters.get("service", ""), "scope": parameters.get("scope") or scope}
    query = {name: value for name, value in query.items() if value}
    who = "oauth" if credentials.identity_token else "anonymous" if not credentials.basic else "oauth"
    try:
        if credentials.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": credentials.identity_token,
                "client_id": CLIENT_ID,
                **query,
            }
            answer = await transport.request("POST", realm, trust, data=form)
        else:
            headers = {"Authorization": credentials.basic} if credentials.basic else {}
            answer = await transport.request("GET", realm, trust, params=query, headers=headers)
        async with answer:
            body = await answer.json(content_type=None) if answer.status == HTTPStatus.OK else {}
            status = answer.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Unavailable(f"failed to authorize: failed to fetch {who} token: {error}") from error
    token = body.get("token") or body.get("access_token") if isinstance(body, dict) else None
    if isinstance(token, str):
        return token
    phrase = f"{status} {HTTPStatus(status).phrase}" if status in HTTPStatus._value2member_map_ else str(status)
    refusal = PermissionDenied if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else Unavailable
    raise refusal(
        f"failed to authorize: failed to fetch {who} token: unexpected status from GET request to {realm}: {phrase}"
    )
