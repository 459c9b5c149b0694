"""Which servers a registry's images may come from, in the order to ask them. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from machinery.structs import Struct
from runtime.images.reference import DEFAULT_DOMAIN

DOCKER_HUB = "registry-1.docker.io"
PULL, RESOLVE, PUSH = "pull", "resolve", "push"
EVERYTHING = frozenset({PULL, RESOLVE, PUSH})


class Trust(Struct, frozen=True):
    """How a server's TLS is checked, and what it is shown: files as they are named, read when they are needed."""

    ca: tuple[Path, ...] = ()
    client: tuple[tuple[Path, Path | None], ...] = ()
    skip_verify: bool = False


class Host(Struct, frozen=True):
    """`root` is where the registry's API begins, `/v2` as a rule; a mirror is told whose images by `namespace`."""

    root: str
    namespace: str = ""
    capabilities: frozenset[str] = EVERYTHING
    headers: tuple[tuple[str, str], ...] = ()
    trust: Trust = Trust()

    @property
    def name(self) -> str:
        """Host and port, to match credentials with."""
        return urlsplit(self.root).netloc

    def url(self, path: str) -> str:
        query = f"?ns={self.namespace}" if self.namespace else ""
        return f"{self.root}/{path}{query}"


def hosts_for(domain: str, mirrors: Mapping[str, Sequence[str]], configured: Sequence[Host] = ()) -> tuple[Host, ...]:
    """The mirrors of `domain` (else those of "*"), then what hosts.toml says, else the registry itself."""
    options = mirrors.get(domain) or mirrors.get("*") or ()
    return tuple(Host(_root(url), domain) for url in options) + tuple(configured or (origin(domain),))


def origin(domain: str, trust: Trust = Trust()) -> Host:  # noqa: B008 - frozen
    """The registry that a domain names; one on this machine speaks plain HTTP."""
    server = DOCKER_HUB if domain == DEFAULT_DOMAIN else domain
    return Host(f"{_scheme(server)}://{server}/v2", trust=trust)


def _root(url: str) -> str:
    base = url if "://" in url else f"{_scheme(url)}://{url}"
    return base.rstrip("/").removesuffix("/v2") + "/v2"


def _scheme(authority: str) -> str:
    name = urlsplit(f"//{authority}").hostname or ""
    return "http" if _is_loopback(name) else "https"


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
