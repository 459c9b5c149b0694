"""The addresses of `proxied_node`: tests say those of IPv4, and run again with each said in IPv6."""

from __future__ import annotations

from typing import Any

from machinery.ip_families import IPV6, Family

POD_CIDR, SERVICE_CIDR = "10.244.0.0/16", "10.96.0.0/16"
GATEWAY, ROUTER, OUTSIDE = "10.244.0.1", "192.0.2.1", "192.0.2.50"

_IN_IPV6 = {
    POD_CIDR: "fd00:10:244::/64",
    GATEWAY: "fd00:10:244::1",
    SERVICE_CIDR: "fd00:10:96::/112",
    "10.96.0.10": "fd00:10:96::a",
    "10.96.0.11": "fd00:10:96::b",
    ROUTER: "2001:db8:2::1",
    OUTSIDE: "2001:db8:2::50",
    f"{OUTSIDE}/32": "2001:db8:2::50/128",
    "192.0.2.7": "2001:db8:2::7",
    "192.0.2.0/24": "2001:db8:2::/64",
    "192.0.2.48/29": "2001:db8:2::50/125",
    "0.0.0.0/0": "::/0",
    "::/0": "0.0.0.0/0",
    "127.0.0.1": "::1",
    "0.0.0.0": "::",
}


def said(family: Family, value: Any) -> Any:
    """What was said of IPv4, in the family: addresses and ranges wherever they stand."""
    if family is not IPV6:
        return value
    if isinstance(value, dict):
        return {key: said(family, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [said(family, each) for each in value]
    return _IN_IPV6.get(value, value) if isinstance(value, str) else value
