"""NetworkPolicies as nftables tables, one of each family of addresses. Pure.

A policy has a chain a direction whose rules say what it lets through; who is meant stands in sets, so that pods that
come and go change elements alone. Pods that the same policies select share a chain: any policy's yes is enough, else
the packet is dropped. Each direction has its own hook, as one side's yes is not the other's. The hooks see packets as
they are forwarded, after a Service's address has become an endpoint's; what passes between a pod and its own node is
not forwarded, and always passes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence

from kubelet.nftables import Ruleset, anew, base_chain, changed, digest
from kubelet.policy.policies import Block, Policy, Ports, Resident, Rule
from machinery.ip_families import IPV4, Family, Network, family_of
from machinery.structs import Struct

_ADDRESSES = "type {type};"
_ADDRESS_PORTS = "type {type} . inet_proto . inet_service;"
_MAPS = ("ingress-of", "egress-of")
_SETS = {
    # A pod can't be kept from itself.
    "themselves": "type {type} . {type};",
    # The cluster's DNS is reached by this address and is the node's own behind it, so it is judged before.
    "names": _ADDRESSES,
}


class Direction(Struct, frozen=True):
    """`prefix` begins its chains' names; `mine` is the selected pod's address in a packet, `theirs` the other's."""

    prefix: str
    mine: str
    theirs: str

    @property
    def map(self) -> str:
        return "ingress-of" if self.prefix == "in" else "egress-of"

    def rules(self, policy: Policy) -> tuple[Rule, ...] | None:
        return policy.ingress if self.prefix == "in" else policy.egress


INGRESS = Direction("in", "daddr", "saddr")
EGRESS = Direction("eg", "saddr", "daddr")


def ruleset(
    policies: Iterable[Policy], everyone: Iterable[Resident], names: Resident | None = None, family: Family = IPV4
) -> Ruleset:
    """What makes the policies hold for those of `everyone` whose address is of the family.

    `names` is the cluster's DNS, whom policies may mean too.
    """
    built = _Built(family)
    residents = [each for each in everyone if each.family is family]
    if names is not None and names.family is not family:
        names = None
    peers = [*residents, *([names] if names is not None else [])]
    for direction in (INGRESS, EGRESS):
        selecting: dict[Resident, list[str]] = {}
        for policy in policies:
            rules = direction.rules(policy)
            selected = [each for each in residents if policy.selects(each)] if rules is not None else []
            if rules is not None and selected:
                chain = f"{direction.prefix}-{digest(policy.key)}"
                said = (built.rule(direction, policy, rule, f"{chain}-{at}", selected, peers)
                        for at, rule in enumerate(rules))  # fmt: skip
                built.chains[chain] = tuple(line for lines in said for line in lines)
                for each in selected:
                    selecting.setdefault(each, []).append(chain)
        for resident, chains in selecting.items():
            built.isolate(direction, resident, chains)
    if names is not None:
        built.elements["names"][names.ip] = ""
    return Ruleset(built.elements, built.chains, built.sets)


def group_chain(direction: Direction, policies: Iterable[Policy]) -> str:
    """The name of the chain of those pods that exactly these policies select; its last rule counts what it drops."""
    return _group(direction, [f"{direction.prefix}-{digest(policy.key)}" for policy in policies])


def _group(direction: Direction, chains: Iterable[str]) -> str:
    return f"pods-{direction.prefix}-{digest(*sorted(chains))}"


class _Built:
    """The table as it grows."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self.elements: dict[str, dict[str, str]] = {name: {} for name in (*_MAPS, *_SETS)}
        self.chains: dict[str, tuple[str, ...]] = {}
        self.sets: dict[str, str] = {}

    def isolate(self, direction: Direction, resident: Resident, chains: Sequence[str]) -> None:
        group = _group(direction, chains)
        self.chains[group] = (*(f"jump {chain}" for chain in chains), "counter drop")
        self.elements[direction.map][resident.ip] = f"goto {group}"
        self.elements["themselves"][f"{resident.ip} . {resident.ip}"] = ""

    def rule(
        self, direction: Direction, policy: Policy, rule: Rule, name: str, selected: Sequence[Resident],
        peers: Sequence[Resident],
    ) -> Iterator[str]:  # fmt: skip
        """The lines of one of a policy's rules; `name` begins those of its sets."""
        meant = [each for each in peers if rule.selects(each, policy.namespace)]
        theirs = f"{self._family.word} {direction.theirs}"
        whom = list(_blocks(self._family, theirs, rule.blocks)) if rule.peers else [""]
        if rule.has_selectors:
            self.sets[name] = _ADDRESSES.format(type=self._family.type)
            self.elements[name] = {each.ip: "" for each in meant}
            whom.append(f"{theirs} @{name} ")
        numbered = [_numbered(ports) for ports in rule.ports if not ports.name] if rule.ports else [""]
        yield from (f"{peer}{ports}accept" for peer in whom for ports in numbered)
        # A name means a port of the pod that is reached: of the selected one, or of its peer.
        owners = selected
        if direction is EGRESS:
            owners, whom = meant if rule.peers else peers, [""]
        if any(each.name for each in rule.ports):
            self._name_ports(f"{name}-ports", rule.ports, owners)
            yield from (
                f"{peer}{self._family.word} daddr . meta l4proto . th dport @{name}-ports accept" for peer in whom
            )

    def _name_ports(self, name: str, ports: Iterable[Ports], owners: Sequence[Resident]) -> None:
        """Puts the owners' ports of those names into a set of this name."""
        wanted = {(each.protocol, each.name) for each in ports if each.name}
        self.sets[name] = _ADDRESS_PORTS.format(type=self._family.type)
        self.elements[name] = {
            f"{owner.ip} . {port.protocol} . {port.number}": ""
            for owner in owners
            for port in owner.ports
            if (port.protocol, port.name) in wanted
        }


def _numbered(ports: Ports) -> str:
    if not ports.first:
        return f"meta l4proto {ports.protocol} "
    through = f"-{ports.last}" if ports.last > ports.first else ""
    return f"{ports.protocol} dport {ports.first}{through} "


def _blocks(family: Family, theirs: str, blocks: Iterable[Block]) -> Iterator[str]:
    """Addresses of the other family never come by here."""
    for block in blocks:
        if family_of(block.network) is family:
            excepts = [each for each in block.excepts if family_of(each) is family]
            apart = ", ".join(map(str, _joined(excepts)))
            yield f"{theirs} {block.network} " + (f"{theirs} != {{ {apart} }} " if apart else "")


def _joined(ranges: Iterable[Network]) -> Iterable[Network]:
    """nftables takes no ranges that overlap; these are of one family."""
    return ipaddress.collapse_addresses(list(ranges))  # type: ignore[type-var]


def created(name: str, after: Ruleset, family: Family = IPV4) -> str:
    """nft's commands that make the family's table anew, whatever was there: one transaction, nothing slips through."""
    ip, table = family.word, family.table(name)
    going_on = "ct state established,related accept"
    judged = {"egress": f"{ip} saddr vmap @egress-of", "ingress": f"{ip} daddr vmap @ingress-of"}
    lines = anew(table)
    lines += [f"add map {table} {each} {{ type {family.type} : verdict; }}" for each in _MAPS]
    lines += [f"add set {table} {each} {{ {kind.format(type=family.type)} }}" for each, kind in _SETS.items()]
    for priority, (chain, rule) in zip((-10, -9), judged.items(), strict=True):
        itself = f"{ip} saddr . {ip} daddr @themselves accept"
        hook = f"type filter hook forward priority {priority}"
        lines += base_chain(table, chain, hook, (going_on, itself, rule))
    asked = f"{ip} daddr @names {judged['egress']}"
    lines += base_chain(table, "egress-names", "type filter hook prerouting priority -150", (going_on, asked))
    return "\n".join(lines) + "\n" + changed(table, Ruleset(), after)
