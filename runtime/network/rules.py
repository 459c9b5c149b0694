"""The runtime's nftables tables as text: masquerade on the way out, and host ports that lead into sandboxes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from machinery.ip_families import IPV4, Family, family_of, host_port
from machinery.structs import Struct

PROTOCOLS = {0: "tcp", 1: "udp", 2: "sctp"}
"""CRI's numbers."""


class Forward(Struct, frozen=True):
    """A port of the host, on one of its addresses or (empty) on all, that leads to a sandbox."""

    protocol: str
    host_ip: str
    host_port: int
    address: str
    port: int


def ruleset(table: str, bridge: str, cidr: str, forwards: Iterable[Forward] = ()) -> str:
    """nft's commands that make the table of the range's family what it shall be: one transaction."""
    family = family_of(cidr)
    ip, where = family.word, family.table(table)
    redirect = "icmp type redirect" if family is IPV4 else "icmpv6 type nd-redirect"
    # The answer to what the host asked from 127.0.0.1 must find its way back to the host.
    from_loopback = f'add rule {where} postrouting ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade'
    lines = [
        *_anew(family, table),
        f'add rule {where} postrouting {ip} saddr {cidr} {ip} daddr != {cidr} oifname != "{bridge}" masquerade',
        # Or sandboxes would learn to reach each other past the host.
        f"add chain {where} redirects {{ type filter hook output priority filter; policy accept; }}",
        f'add rule {where} redirects oifname "{bridge}" {redirect} drop',
        *([from_loopback] if family is IPV4 else ()),
        *_leading(family, table, forwards),
    ]
    return "\n".join(lines) + "\n"


def host_ports(family: Family, table: str, forwards: Collection[Forward]) -> str:
    """nft's commands that make the table one of the family's host ports alone, and without any that it is gone."""
    lines = [*_anew(family, table), *_leading(family, table, forwards)] if forwards else _gone(family, table)
    return "\n".join(lines) + "\n"


def _gone(family: Family, table: str) -> list[str]:
    return [f"add table {family.table(table)}", f"delete table {family.table(table)}"]


def _anew(family: Family, table: str) -> list[str]:
    """The table with its chains, whatever was there."""
    where = family.table(table)
    # The kernel sends nothing with the address ::1 to another machine, whatever it is led to.
    local = "fib daddr type local" if family is IPV4 else "ip6 daddr != ::1 fib daddr type local"
    return [
        *_gone(family, table),
        f"add table {where}",
        f"add chain {where} hostports",
        f"add chain {where} prerouting {{ type nat hook prerouting priority dstnat; policy accept; }}",
        f"add chain {where} output {{ type nat hook output priority -100; policy accept; }}",
        f"add chain {where} postrouting {{ type nat hook postrouting priority srcnat; policy accept; }}",
        f"add rule {where} prerouting {local} jump hostports",
        f"add rule {where} output {local} jump hostports",
    ]


def _leading(family: Family, table: str, forwards: Iterable[Forward]) -> list[str]:
    """The rules of those forwards that are of the family; one at an address comes before one at all."""
    lines = []
    ip, own = family.word, [each for each in forwards if family_of(each.address) is family]
    for each in sorted(own, key=lambda forward: (forward.host_ip == "", forward.host_port, forward.protocol)):
        asked_at = f"{ip} daddr {each.host_ip} " if each.host_ip else ""
        asked, to = f"{each.protocol} dport {each.host_port}", host_port(each.address, each.port)
        lines.append(f"add rule {family.table(table)} hostports {asked_at}{asked} dnat to {to}")
        # A sandbox that asks for its own port must not get the answer from itself directly.
        itself = f"{ip} saddr {each.address} {ip} daddr {each.address} {each.protocol} dport {each.port}"
        lines.append(f"add rule {family.table(table)} postrouting {itself} ct status dnat masquerade")
    return lines


class Chain(Struct, frozen=True):
    family: str
    table: str
    name: str
    hook: str


def dropping_chains(listed: Iterable[Mapping[str, Any]], families: Collection[Family] = (IPV4,)) -> list[Chain]:
    """The chains of others that let through only what they name, from what `list ruleset` tells.

    Docker's FORWARD and ufw's do so by their policy, firewalld's by a last rule that rejects the rest.
    """
    found, last = [], {}
    concerned = {"inet", *(family.word for family in families)}
    for entry in listed:
        chain, rule = entry.get("chain", {}), entry.get("rule")
        if rule is not None:
            last[rule["family"], rule["table"], rule["chain"]] = rule["expr"]
        if chain.get("type") == "filter" and chain["hook"] in ("input", "forward") and chain["family"] in concerned:
            found.append(chain)
    return [
        Chain(chain["family"], chain["table"], chain["name"], chain["hook"])
        for chain in found
        if chain.get("policy") == "drop" or _ends(last.get((chain["family"], chain["table"], chain["name"]), ()))
    ]


def closed_chains(
    listed: Iterable[Mapping[str, Any]], mark: str, families: Collection[Family] = (IPV4,)
) -> list[Chain]:  # fmt: skip
    """Those of them that have no rule with the mark: not yet, or not any more, as their owner has made them anew."""
    entries = list(listed)
    rules = [entry["rule"] for entry in entries if entry.get("rule", {}).get("comment") == mark]
    opened = {(rule["family"], rule["table"], rule["chain"]) for rule in rules}
    return [each for each in dropping_chains(entries, families) if (each.family, each.table, each.name) not in opened]


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
