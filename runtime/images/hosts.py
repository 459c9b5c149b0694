"""Which servers a registry's images may come from, in the order to ask them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from runtime.images.reference import DEFAULT_DOMAIN

DOCKER_HUB = "registry-1.docker.io"


@dataclass(frozen=True)
class Host:
    """`base` ends before `/v2/`; a mirror is told in `namespace` whose images are asked for."""

    base: str
    namespace: str = ""

    @property
    def name(self) -> str:
        """Host and port, to match credentials with."""
        return urlsplit(self.base).netloc

    def url(self, path: str) -> str:
        query = f"?ns={self.namespace}" if self.namespace else ""
        return f"{self.base}/v2/{path}{query}"


def hosts_for(domain: str, mirrors: Mapping[str, Sequence[str]]) -> tuple[Host, ...]:
    """The mirrors of `domain` (else those of "*"), then the registry itself."""
    configured = mirrors.get(domain) or mirrors.get("*") or ()
    return tuple(Host(_base(url), domain) for url in configured) + (Host(_origin(domain)),)


def _base(url: str) -> str:
    base = url if "://" in url else f"{_scheme(url)}://{url}"
    return base.rstrip("/").removesuffix("/v2")


def _origin(domain: str) -> str:
    return f"https://{DOCKER_HUB}" if domain == DEFAULT_DOMAIN else f"{_scheme(domain)}://{domain}"


def _scheme(authority: str) -> str:
    name = urlsplit(f"//{authority}").hostname or ""
    return "http" if _is_loopback(name) else "https"


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
