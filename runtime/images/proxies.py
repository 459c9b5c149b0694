"""Which proxy a request goes through, by HTTP_PROXY, HTTPS_PROXY and NO_PROXY as every Go program reads them. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """The proxy's URL; None where the request goes straight to the server."""
    parts = urlsplit(url)
    variable = "HTTPS_PROXY" if parts.scheme == "https" else "HTTP_PROXY"
    proxy = _value(environment, variable)
    host = parts.hostname or ""
    if not proxy or _is_local(host):
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    excepted = [entry.strip().lower() for entry in _value(environment, "NO_PROXY").split(",")]
    if any(entry and _covers(entry, host, port) for entry in excepted):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _value(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.lower()) or ""


def _is_local(host: str) -> bool:
    return host == "localhost" or getattr(_address(host), "is_loopback", False)


def _covers(entry: str, host: str, port: int) -> bool:
    """An entry is `*`, an address, a range, or a domain that covers those below it; all but a range may name a port."""
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    if _address(entry) is None:
        name, colon, number = entry.rpartition(":")
        if colon and number.isdecimal():
            if int(number) != port:
                return False
            entry = name
    entry = entry.strip("[]")
    if _address(entry) is not None or address is not None:
        return _address(entry) == address
    domain = entry.removeprefix("*").removeprefix(".")
    is_itself = host == domain and not entry.startswith((".", "*."))
    return is_itself or host.endswith(f".{domain}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
