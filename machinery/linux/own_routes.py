"""A route that holds whatever others do to the main table: a VPN's may lead the same addresses elsewhere.

It stands in a table of the instance's own, and a rule has the kernel look there before it looks anywhere else
(ip-rule(8)); tailscale's and WireGuard's rules come later. Blocks: use threads.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import zlib
from typing import Any

from machinery.linux import netlink

_FIRST, _TABLES = 100, 0x6D000000
_LINK = 253


def table(instance: str) -> int:
    """The number of the instance's table."""
    return _TABLES + (zlib.crc32(instance.encode()) & 0xFFFFFF)


def lead(route: Any, instance: str, cidr: str, link: int) -> None:
    """Leads to the range by the link with that index; again where it is so already."""
    network = ipaddress.ip_network(cidr)
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    route.route("replace", family=family, dst=cidr, oif=link, scope=_LINK, table=table(instance))
    if (str(network[0]), network.prefixlen) not in _led(route, family, instance):
        route.rule("add", **_rule(family, str(network[0]), network.prefixlen, instance))


def forget(route: Any, instance: str) -> None:
    """Takes the instance's rules away; its routes go with their links."""
    for family in (socket.AF_INET, socket.AF_INET6):
        # A kernel without IPv6 can't tell rules of it.
        led: set[tuple[str, int]] = set()
        with contextlib.suppress(netlink.errors()):
            led = _led(route, family, instance)
        for address, length in led:
            with contextlib.suppress(netlink.errors()):
                route.rule("del", **_rule(family, address, length, instance))


def _rule(family: int, address: str, length: int, instance: str) -> dict[str, Any]:
    return {"family": family, "dst": address, "dst_len": length, "table": table(instance), "priority": _FIRST}


def _led(route: Any, family: int, instance: str) -> set[tuple[str, int]]:
    """What rules of the instance are there for: addresses, each with the length of its prefix."""
    rules = [(entry["dst_len"], dict(entry["attrs"])) for entry in route.get_rules(family=family)]
    return {(rule["FRA_DST"], length) for length, rule in rules if rule.get("FRA_TABLE") == table(instance)}
