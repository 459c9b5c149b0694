"""The runtime's nftables table as text: masquerade on the way out, and host ports that lead into sandboxes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

PROTOCOLS = {0: "tcp", 1: "udp", 2: "sctp"}
"""CRI's numbers."""


@dataclass(frozen=True)
class Forward:
    """A port of the host, on one of its addresses or (empty) on all, that leads to a sandbox."""

    protocol: str
    host_ip: str
    host_port: int
    address: str
    port: int


def ruleset(table: str, bridge: str, cidr: str, forwards: Iterable[Forward] = ()) -> str:
    """nft's commands that make the table what it shall be, whatever it was: one transaction."""
    lines = [
        *_anew(table),
        f'add rule ip {table} postrouting ip saddr {cidr} ip daddr != {cidr} oifname != "{bridge}" masquerade',
        # Or sandboxes would learn to reach each other past the host.
        f"add chain ip {table} redirects {{ type filter hook output priority filter; policy accept; }}",
        f'add rule ip {table} redirects oifname "{bridge}" icmp type redirect drop',
        # The answer to what the host asked from 127.0.0.1 must find its way back to the host.
        f'add rule ip {table} postrouting ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade',
        *_leading(table, forwards),
    ]
    return "\n".join(lines) + "\n"


def host_ports(table: str, forwards: Collection[Forward]) -> str:
    """nft's commands that make the table one of host ports alone, and without any that it is gone."""
    lines = [*_anew(table), *_leading(table, forwards)] if forwards else _gone(table)
    return "\n".join(lines) + "\n"


def _gone(table: str) -> list[str]:
    return [f"add table ip {table}", f"delete table ip {table}"]


def _anew(table: str) -> list[str]:
    """The table with its chains, whatever was there."""
    return [
        *_gone(table),
        f"add table ip {table}",
        f"add chain ip {table} hostports",
        f"add chain ip {table} prerouting {{ type nat hook prerouting priority dstnat; policy accept; }}",
        f"add chain ip {table} output {{ type nat hook output priority -100; policy accept; }}",
        f"add chain ip {table} postrouting {{ type nat hook postrouting priority srcnat; policy accept; }}",
        f"add rule ip {table} prerouting fib daddr type local jump hostports",
        f"add rule ip {table} output fib daddr type local jump hostports",
    ]


def _leading(table: str, forwards: Iterable[Forward]) -> list[str]:
    lines = []
    for each in sorted(forwards, key=lambda forward: (forward.host_ip == "", forward.host_port, forward.protocol)):
        where = f"ip daddr {each.host_ip} " if each.host_ip else ""
        asked, to = f"{each.protocol} dport {each.host_port}", f"{each.address}:{each.port}"
        lines.append(f"add rule ip {table} hostports {where}{asked} dnat to {to}")
        # A sandbox that asks for its own port must not get the answer from itself directly.
        itself = f"ip saddr {each.address} ip daddr {each.address} {each.protocol} dport {each.port}"
        lines.append(f"add rule ip {table} postrouting {itself} ct status dnat masquerade")
    return lines


@dataclass(frozen=True)
class Chain:
    family: str
    table: str
    name: str
    hook: str


def dropping_chains(listed: Iterable[Mapping[str, Any]]) -> list[Chain]:
    """The chains of others that let through only what they name, from what `list ruleset` tells.

    Docker's FORWARD and ufw's do so by their policy, firewalld's by a last rule that rejects the rest.
    """
    found, last = [], {}
    for entry in listed:
        chain, rule = entry.get("chain", {}), entry.get("rule")
        if rule is not None:
            last[rule["family"], rule["table"], rule["chain"]] = rule["expr"]
        if (
            chain.get("type") == "filter"
            and chain["hook"] in ("input", "forward")
            and chain["family"] in ("ip", "inet")
        ):
            found.append(chain)
    return [
        Chain(chain["family"], chain["table"], chain["name"], chain["hook"])
        for chain in found
        if chain.get("policy") == "drop" or _ends(last.get((chain["family"], chain["table"], chain["name"]), ()))
    ]


def closed_chains(listed: Iterable[Mapping[str, Any]], mark: str) -> list[Chain]:
    """Those of them that have no rule with the mark: not yet, or not any more, as their owner has made them anew."""
    entries = list(listed)
    rules = [entry["rule"] for entry in entries if entry.get("rule", {}).get("comment") == mark]
    opened = {(rule["family"], rule["table"], rule["chain"]) for rule in rules}
    return [each for each in dropping_chains(entries) if (each.family, each.table, each.name) not in opened]


def _ends(expressions: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the rule lets nothing by, whatever comes."""
    kinds = {"drop" if (each.get("xt") or {}).get("name") == "REJECT" else next(iter(each)) for each in expressions}
    return bool(kinds & {"drop", "reject"}) and kinds <= {"drop", "reject", "counter", "log"}


def accepting(chain: Chain, bridge: str, mark: str) -> str:
    """nft's commands that let the bridge's traffic through the chain, marked so that they are found again."""
    where = f"{chain.family} {chain.table} {chain.name}"
    sides = ("iifname", "oifname") if chain.hook == "forward" else ("iifname",)
    return "".join(f'insert rule {where} {side} "{bridge}" counter accept comment "{mark}"\n' for side in sides)


def deletions(listed: Iterable[Mapping[str, Any]], mark: str) -> str:
    """nft's commands that take out the rules with the mark, from what `list ruleset` tells."""
    rules = [entry["rule"] for entry in listed if entry.get("rule", {}).get("comment") == mark]
    return "".join(
        f"delete rule {rule['family']} {rule['table']} {rule['chain']} handle {rule['handle']}\n" for rule in rules
    )
