"""Why a Service answers as it does: the rules behind it, and whoever drops its packets, in plain words. Pure.

What should be there follows from the objects, by the functions that the proxy itself decides with; what is there is
what the kernel told. Where the two differ, that is the finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kubelet.policy.explain import guard
from kubelet.policy.policies import Policy, Resident
from kubelet.policy.ruleset import INGRESS, group_chain
from kubelet.proxy.live import LiveTable
from kubelet.proxy.ruleset import ruleset
from kubelet.proxy.services import Endpoint, ServicePort, service_ports
from machinery.api.resource import Object
from machinery.api.selectors import from_labels
from machinery.api.views import EndpointSlice, Pod, Service
from machinery.ip_families import IPV4, Family, host_port


@dataclass(frozen=True)
class Observed:
    """`slices` are the Service's, `pods` of its namespace; `firewalls` are chains of others that stop pods' packets,
    `shadows` what was found of programs that listen on its ports. The kernel's tables are by their family."""

    service: Object
    slices: Sequence[Object]
    pods: Sequence[Object]
    node: str
    policies: Sequence[Policy] = ()
    residents: Sequence[Resident] = ()
    services_tables: Mapping[Family, LiveTable] = field(default_factory=dict)
    policies_tables: Mapping[Family, LiveTable] = field(default_factory=dict)
    firewalls: Sequence[str] = ()
    shadows: Sequence[str] = ()


@dataclass(frozen=True)
class Way:
    """From an address and port to the kernel's chain that leads on, with its rules."""

    port: str
    address: str
    leads_to: tuple[str, ...]
    chain: str
    rules: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """`notes` are what is meant to be so, `drops` whoever keeps packets from their goal."""

    ways: list[Way] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    drops: list[str] = field(default_factory=list)


def explain(observed: Observed) -> Explanation:
    ports = service_ports([observed.service], observed.slices, observed.node)
    if not ports:
        return Explanation(notes=[_addressless(Service(observed.service))])
    found = Explanation()
    names = {resident.ip: resident.name for resident in observed.residents}
    for port in ports:
        found.ways.extend(_ways(port, observed, names))
        found.notes.extend(_notes(port))
        found.drops.extend(_drops(port, observed))
    found.notes.extend(observed.shadows)
    found.drops.extend(_unready(observed))
    found.drops.extend(
        f"the firewall's chain {chain} lets pods' packets pass no more; `minikube-py restart` opens it again"
        for chain in observed.firewalls
    )
    return Explanation(found.ways, list(dict.fromkeys(found.notes)), list(dict.fromkeys(found.drops)))


def _addressless(service: Service) -> str:
    if service.type == "ExternalName":
        external = service.obj["spec"].get("externalName", "")
        return f"it is a name for {external} and has no address: clients connect to that themselves"
    if service.is_headless:
        return "it has no address of its own: names lead clients to the pods themselves, past any rule of Services"
    return "its labels leave it to another proxy than this cluster's"


def _ways(port: ServicePort, observed: Observed, names: dict[str, str]) -> Iterator[Way]:
    """Every address of the port; the chain is empty where the kernel does not know it."""
    live, family = observed.services_tables.get(port.family, LiveTable()), port.family
    ending = f"{port.protocol} . {port.port}"
    leads = [(port.cluster_ip, port.internal), *((ip, port.external) for ip in port.addresses)]
    keys = [(host_port(ip, port.port), f"{ip} . {ending}", endpoints) for ip, endpoints in leads]
    if port.node_port:
        which = "node port" if family is IPV4 else f"{family.name} node port"
        keys.append((f"{which} {port.node_port}", f"{port.protocol} . {port.node_port}", port.external))
    for address, key, endpoints in keys:
        chain = next((there[key] for there in live.leads.values() if key in there), "")
        leads_to = tuple(_endpoint(each, names) for each in endpoints)
        yield Way(f"{port.name or port.port}/{port.protocol}", address, leads_to, chain, _rules(live, chain))


def _endpoint(endpoint: Endpoint, names: dict[str, str]) -> str:
    where = host_port(endpoint.ip, endpoint.port)
    return f"{where} ({names[endpoint.ip]})" if endpoint.ip in names else where


def _rules(live: LiveTable, chain: str) -> tuple[str, ...]:
    """The chain's rules, and those of the chains that it leads to."""
    rules = live.rules.get(chain, ())
    words = {word.strip(",}"): None for rule in rules for word in rule.split()}
    return (*rules, *(rule for other in words if other in live.rules for rule in _rules(live, other)))


def _notes(port: ServicePort) -> Iterator[str]:
    if port.affinity_seconds:
        yield f"session affinity: a client keeps its endpoint for {port.affinity_seconds} s after its last connection"
    if port.sources and port.load_balancer_ips:
        ranges = ", ".join(port.sources)
        yield f"loadBalancerSourceRanges: its load balancer's address answers clients of {ranges} alone"


def _drops(port: ServicePort, observed: Observed) -> Iterator[str]:
    yield from _endless(port, observed)
    yield from _policies(port, observed)
    live = observed.services_tables.get(port.family)
    if live is None:
        yield "the machine has no table of Services: the proxy has not run"
        return
    yield from _unknown(port, live)
    for chain in dict.fromkeys(way.chain for way in _ways(port, observed, {})):
        if live.dropped.get(chain):
            yield f"loadBalancerSourceRanges has dropped {live.dropped[chain]} packet(s)"


def _endless(port: ServicePort, observed: Observed) -> Iterator[str]:
    """No endpoint at all, or none of those that a traffic policy lets count."""
    what = f"port {port.name or port.port}/{port.protocol}"
    if not port.internal and not port.external:
        yield f"{what} has no ready endpoint: the machine refuses connections to it"
        return
    for policy, endpoints in (("internalTrafficPolicy", port.internal), ("externalTrafficPolicy", port.external)):
        if not endpoints:
            yield f"{what}: {policy} is Local and no ready endpoint is on {observed.node}: such connections are refused"


def _unready(observed: Observed) -> Iterator[str]:
    """Why pods that were meant are not endpoints."""
    service = Service(observed.service)
    if not service.selector:
        if not any(EndpointSlice(each).endpoints for each in observed.slices):
            yield "it has no selector, and nobody has made an EndpointSlice for it"
        return
    selector = from_labels(service.selector)
    chosen = [pod for pod in map(Pod, observed.pods) if selector.matches(pod.labels)]
    if not chosen:
        labels = ",".join(f"{key}={value}" for key, value in sorted(service.selector.items()))
        yield f"no pod of namespace {service.namespace} has its labels {labels}"
    for pod in chosen:
        if pod.is_finished:
            yield f"pod {pod.name} has ended ({pod.phase})"
        elif not pod.is_ready and not service.publish_not_ready:
            condition = pod.condition("Ready") or {}
            why = condition.get("message") or condition.get("reason") or f"it is {pod.phase or 'Pending'}"
            yield f"pod {pod.name} is not ready: {why}"
        yield from _portless(service, pod)


def _portless(service: Service, pod: Pod) -> Iterator[str]:
    declared = {
        port.get("name") for each in (*pod.containers, *pod.init_containers) for port in each.get("ports") or ()
    }
    for port in service.ports:
        target = port.get("targetPort")
        if isinstance(target, str) and target not in declared:
            yield f"no container of pod {pod.name} has a port named {target}, to which port {port['port']} leads"


def _policies(port: ServicePort, observed: Observed) -> Iterator[str]:
    behind = {each.ip: each for each in observed.residents}
    live = observed.policies_tables.get(port.family, LiveTable())
    for endpoint in dict.fromkeys((*port.internal, *port.external)):
        pod = behind.get(endpoint.ip)
        found = guard(observed.policies, pod, port.protocol, endpoint.port) if pod is not None else None
        if pod is None or found is None or found.is_open:
            continue
        packets = live.dropped.get(group_chain(INGRESS, found.policies), 0)
        what = f"port {endpoint.port}/{port.protocol} of {pod.name}"
        by = "" if port.family is IPV4 else f" by {port.family.name}"
        yield f"{found.said(what)}; dropped so far{by}: {packets} packet(s)"


def _unknown(port: ServicePort, live: LiveTable) -> Iterator[str]:
    """What the kernel should have and does not, or has otherwise."""
    wanted = ruleset([port])
    for name, elements in wanted.elements.items():
        there = live.leads.get(name, {})
        for key, verdict in elements.items():
            if verdict and there.get(key) != verdict.removeprefix("goto "):
                yield f"the machine's rules do not lead {key.replace(' . ', ' ')} as they should: the proxy is behind"


def said(found: Explanation) -> Iterable[str]:
    """The explanation as lines."""
    for way in found.ways:
        yield f"{way.address} (port {way.port}) leads to {', '.join(way.leads_to) or 'nothing'}"
        if way.chain:
            yield f"  chain {way.chain}:"
            yield from (f"    {rule}" for rule in way.rules)
    yield from (f"note: {note}" for note in found.notes)
    yield "who drops its packets:" if found.drops else "nobody known here drops its packets"
    yield from (f"  - {drop}" for drop in found.drops)
