"""The proxy's nftables tables, one of each family, as values. Pure.

Packets find their Service in a map, whatever the number of Services; each port of one has a chain that leads to its
endpoints. A change touches the elements and chains of the ports that changed.
"""

from __future__ import annotations

from collections.abc import Iterable

from kubelet.nftables import Ruleset, anew, base_chain, changed, digest
from kubelet.proxy.services import Endpoint, ServicePort
from machinery.ip_families import IPV4, family_of, host_port

_MAPS = {
    "services": "type {type} . inet_proto . inet_service : verdict",
    "node-ports": "type inet_proto . inet_service : verdict",
    "no-endpoints": "type {type} . inet_proto . inet_service : verdict",
    "no-endpoint-node-ports": "type inet_proto . inet_service : verdict",
}
_SETS = {
    "cluster-ips": "type {type}",
    # A pod that reaches itself through a Service must get the answer from the Service's side.
    "hairpins": "type {type} . {type}",
}


def ruleset(ports: Iterable[ServicePort]) -> Ruleset:
    """What makes these ports answer; they are of one family."""
    elements: dict[str, dict[str, str]] = {name: {} for name in (*_MAPS, *_SETS)}
    chains: dict[str, tuple[str, ...]] = {}
    sets: dict[str, str] = {}
    for port in ports:
        elements["cluster-ips"][port.cluster_ip] = ""
        internal = _leading(port, port.internal, "svc", chains, sets)
        external = internal
        if port.external != port.internal:
            external = _leading(port, port.external, "ext", chains, sets)
        _place(port, internal, external, elements, chains)
        for endpoint in (*port.internal, *port.external):
            elements["hairpins"][f"{endpoint.ip} . {endpoint.ip}"] = ""
    return Ruleset(elements, chains, sets)


def _leading(
    port: ServicePort, endpoints: tuple[Endpoint, ...], kind: str, chains: dict[str, tuple[str, ...]],
    sets: dict[str, str],
) -> str:  # fmt: skip
    """The chain that leads to the endpoints; "" where there are none."""
    if not endpoints:
        return ""
    name, family = f"{kind}-{digest(port.key, port.protocol)}", port.family
    if not port.affinity_seconds:
        choices = ", ".join(f"{index} : {endpoint}" for index, endpoint in enumerate(endpoints))
        choice = f"numgen random mod {len(endpoints)} map {{ {choices} }}"
        chains[name] = (f"meta l4proto {port.protocol} dnat {family.word} addr . port to {choice}",)
        return name
    known, fresh = [], []
    for index, endpoint in enumerate(endpoints):
        one = f"{kind}e-{digest(port.key, port.protocol, str(endpoint), str(port.affinity_seconds))}"
        sets[one] = f"type {family.type}; flags dynamic,timeout; timeout {port.affinity_seconds}s;"
        chains[one] = (
            f"update @{one} {{ {family.word} saddr }}",
            f"meta l4proto {port.protocol} dnat to {host_port(endpoint.ip, endpoint.port)}",
        )
        known.append(f"{family.word} saddr @{one} goto {one}")
        fresh.append(f"{index} : goto {one}")
    chains[name] = (*known, f"numgen random mod {len(endpoints)} vmap {{ {', '.join(fresh)} }}")
    return name


def _place(
    port: ServicePort, internal: str, external: str, elements: dict[str, dict[str, str]],
    chains: dict[str, tuple[str, ...]],
) -> None:  # fmt: skip
    """Puts the port's addresses into the maps."""
    ending = f"{port.protocol} . {port.port}"
    guarded = external
    if external and port.sources and port.load_balancer_ips:
        guarded = f"fw-{digest(port.key, port.protocol)}"
        chains[guarded] = (*_from(port, external), "counter drop")
    balanced = [(address, guarded) for address in port.load_balancer_ips]
    for address, chain in [(port.cluster_ip, internal), *((ip, external) for ip in port.external_ips), *balanced]:
        name = "services" if chain else "no-endpoints"
        elements[name][f"{address} . {ending}"] = f"goto {chain or 'refuse'}"
    if port.node_port:
        name = "node-ports" if external else "no-endpoint-node-ports"
        elements[name][f"{port.protocol} . {port.node_port}"] = f"goto {external or 'refuse'}"


def _from(port: ServicePort, external: str) -> tuple[str, ...]:
    """Those of the ranges that are of the port's family; where all are of the other one, nobody may come."""
    ranges = [each for each in port.sources if family_of(each) is port.family]
    return (f"{port.family.word} saddr {{ {', '.join(ranges)} }} goto {external}",) if ranges else ()


def created(name: str, after: Ruleset, pod_cidr: str) -> str:
    """nft's commands that make the table of the range's family anew, whatever was there: one transaction."""
    family = family_of(pod_cidr)
    ip, table = family.word, family.table(name)
    lines = anew(table)
    lines += [f"add map {table} {each} {{ {kind.format(type=family.type)}; }}" for each, kind in _MAPS.items()]
    lines += [f"add set {table} {each} {{ {kind.format(type=family.type)}; }}" for each, kind in _SETS.items()]
    lookup = f"{ip} daddr . meta l4proto . th dport vmap"
    # The kernel sends nothing with the address ::1 to another machine, whatever it is led to.
    lasting = "" if family is IPV4 else "ip6 daddr != ::1 "
    local = f"{lasting}fib daddr type local meta l4proto . th dport vmap"
    # What has no endpoints is refused before it is looked up, what is no port of a Service afterwards.
    lines += [
        f"add chain {table} refuse",
        f"add rule {table} refuse meta l4proto tcp reject with tcp reset",
        f"add rule {table} refuse reject",
        *base_chain(table, "prerouting", "type nat hook prerouting priority dstnat", (
            f"{lookup} @services", f"{local} @node-ports")),
        *base_chain(table, "output", "type nat hook output priority -100", (
            f"{lookup} @services", f"{local} @node-ports")),
        *base_chain(table, "postrouting", "type nat hook postrouting priority srcnat", (
            f"ct status dnat {ip} saddr . {ip} daddr @hairpins masquerade",
            # An endpoint outside must answer by this machine, whoever asked.
            f"ct status dnat {ip} daddr != {pod_cidr} fib daddr type != local masquerade")),
        *base_chain(table, "refuse-input", "type filter hook input priority -110", (
            f"ct state new {local} @no-endpoint-node-ports", f"ct state new {lookup} @no-endpoints")),
        *base_chain(table, "refuse-forward", "type filter hook forward priority -110", (
            f"ct state new {lookup} @no-endpoints", f"ct state new {ip} daddr @cluster-ips goto refuse")),
        *base_chain(table, "refuse-output", "type filter hook output priority 0", (
            f"ct state new {lookup} @no-endpoints", f"ct state new {ip} daddr @cluster-ips goto refuse")),
    ]  # fmt: skip
    return "\n".join(lines) + "\n" + changed(table, Ruleset(), after)
