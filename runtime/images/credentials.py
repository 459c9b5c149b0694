"""What a client gives to be let into a registry; the shape of CRI's AuthConfig, so its message serves as it is."""

from __future__ import annotations

import base64
import binascii
from typing import Protocol
from urllib.parse import urlsplit

from machinery.structs import Struct
from runtime.errors import InvalidArgument


class AuthConfig(Protocol):
    """CRI's AuthConfig message, or anything with its fields."""

    username: str
    password: str
    auth: str
    server_address: str
    identity_token: str
    registry_token: str


class Credentials(Struct, frozen=True):
    """Who asks: a user with a password, a refresh token, or a ready bearer token; all empty is anonymous."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    @property
    def basic(self) -> str:
        """The value of a Basic Authorization header; empty without a user."""
        if not self.username:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


ANONYMOUS = Credentials()
# `docker login` files the public registry under a name that serves no images.
_ALIASES = {"index.docker.io": "docker.io", "registry-1.docker.io": "docker.io"}


def credentials_for(auth: AuthConfig | None, host: str) -> Credentials:
    """What `auth` holds for `host`; anonymous where its server address names another host."""
    if auth is None or (auth.server_address and _host(auth.server_address) != _ALIASES.get(host, host)):
        return ANONYMOUS
    if auth.username:
        return Credentials(username=auth.username, password=auth.password)
    if auth.identity_token:
        return Credentials(identity_token=auth.identity_token)
    if auth.auth:
        return _decoded(auth.auth)
    return Credentials(registry_token=auth.registry_token)


def _host(address: str) -> str:
    host = urlsplit(address if "://" in address else f"//{address}").netloc
    return _ALIASES.get(host, host)


def _decoded(auth: str) -> Credentials:
    try:
        username, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidArgument(f"invalid decoded auth: {error}") from error
    if not colon:
        raise InvalidArgument(f"invalid decoded auth: {username!r}")
    return Credentials(username=username, password=password.rstrip("\0"))
