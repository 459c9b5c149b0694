"""How much of a pod's resolv.conf its programs can use: resolvers read so much and no more. Pure."""

from __future__ import annotations

from kubelet.sandboxconfig import Dns
from machinery.structs import replace

_MOST_SERVERS, _MOST_SEARCHES = 3, 32
_LONGEST_SEARCH, _LONGEST_LINE = 253, 2048


def within_limits(dns: Dns) -> tuple[Dns, list[str]]:
    """What is written into the pod, and what the events say of what was left out."""
    servers, searches = dns.servers[:_MOST_SERVERS], _searches(dns.searches)
    said = []
    if servers != dns.servers:
        said.append(_left_out("Nameserver", "nameservers", "nameserver", servers))
    if searches != dns.searches:
        said.append(_left_out("Search Line", "search paths", "search", searches))
    return replace(dns, servers=servers, searches=searches), said


def _searches(wanted: tuple[str, ...]) -> tuple[str, ...]:
    kept = tuple(domain for domain in wanted[:_MOST_SEARCHES] if len(domain) <= _LONGEST_SEARCH)
    while len(" ".join(kept)) > _LONGEST_LINE:
        kept = kept[:-1]
    return kept


def _left_out(limit: str, what: str, line: str, applied: tuple[str, ...]) -> str:
    return (
        f"{limit} limits were exceeded, some {what} have been omitted, the applied {line} line is: {' '.join(applied)}"
    )
