"""What an ADD tells (CNI specification, section 5), of every version since 0.1.0. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def addresses(result: Mapping[str, Any]) -> tuple[str, ...]:
    """The sandbox's, without prefix lengths, IPv4 first: those of its own interface where the result says which."""
    told = [entry for entry in result.get("ips") or () if _is_inside(result, entry)]
    old = [result[key]["ip"] for key in ("ip4", "ip6") if (result.get(key) or {}).get("ip")]
    found = [str(address).partition("/")[0] for address in (*(entry["address"] for entry in told), *old)]
    return tuple(sorted(found, key=lambda address: ":" in address))


def host_link(result: Mapping[str, Any]) -> str:
    """The name of the host's end; empty where the plugin has none, or doesn't tell."""
    outside = [str(link["name"]) for link in result.get("interfaces") or () if not link.get("sandbox")]
    return outside[-1] if outside else ""


def _is_inside(result: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    links, number = result.get("interfaces") or (), entry.get("interface")
    if not isinstance(number, int) or not 0 <= number < len(links):
        return True
    return bool(links[number].get("sandbox"))
