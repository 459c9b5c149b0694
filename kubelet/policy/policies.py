"""NetworkPolicies and those whom they are about, as values (API section NetworkPolicy networking.k8s.io/v1). Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence

from machinery.api.resource import Object
from machinery.api.selectors import LabelSelector, stored_selector
from machinery.api.views import Namespace, Pod, View
from machinery.ip_families import Family, Network, family_of
from machinery.structs import Struct


class NamedPort(Struct, frozen=True):
    name: str
    protocol: str
    number: int


class Resident(Struct, frozen=True):
    """Whoever has an address on the pod network, with all by which a policy may mean it; who has two is there twice."""

    namespace: str
    name: str
    ip: str
    labels: Mapping[str, str]
    namespace_labels: Mapping[str, str]
    ports: tuple[NamedPort, ...] = ()

    def __hash__(self) -> int:
        return hash((self.namespace, self.name, self.ip))

    @property
    def family(self) -> Family:
        return family_of(self.ip)


class Block(Struct, frozen=True):
    """Addresses, but for some of them."""

    network: Network
    excepts: tuple[Network, ...] = ()

    def holds(self, ip: str) -> bool:
        address = ipaddress.ip_address(ip)
        return address in self.network and not any(address in each for each in self.excepts)


class Selected(Struct, frozen=True):
    """Pods by their labels and their namespaces' (None: of the policy's own namespace)."""

    pods: LabelSelector
    namespaces: LabelSelector | None

    def holds(self, resident: Resident, home: str) -> bool:
        if self.namespaces is None:
            return resident.namespace == home and self.pods.matches(resident.labels)
        return self.namespaces.matches(resident.namespace_labels) and self.pods.matches(resident.labels)


class Ports(Struct, frozen=True):
    """`first` to `last` of a protocol (both 0: all of them), or those that pods call `name`."""

    protocol: str
    first: int = 0
    last: int = 0
    name: str = ""

    def hold(self, protocol: str, number: int, resident: Resident) -> bool:
        """Whether they are meant when that port of that pod is reached."""
        if self.name:
            return NamedPort(self.name, self.protocol, number) in resident.ports and protocol == self.protocol
        return protocol == self.protocol and (not self.first or self.first <= number <= self.last)


class Rule(Struct, frozen=True):
    """Who may, at which ports; without peers everyone, without ports every port and protocol."""

    peers: tuple[Block | Selected, ...] = ()
    ports: tuple[Ports, ...] = ()

    @property
    def blocks(self) -> Iterator[Block]:
        return (peer for peer in self.peers if isinstance(peer, Block))

    @property
    def has_selectors(self) -> bool:
        return any(isinstance(peer, Selected) for peer in self.peers)

    def selects(self, resident: Resident, home: str) -> bool:
        """Whether one of the peers means it by its labels."""
        return any(isinstance(peer, Selected) and peer.holds(resident, home) for peer in self.peers)


class Policy(Struct, frozen=True):
    """`ingress` and `egress` are what is let through, None where the policy is not about that direction."""

    namespace: str
    name: str
    pods: LabelSelector
    ingress: tuple[Rule, ...] | None
    egress: tuple[Rule, ...] | None

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    def selects(self, resident: Resident) -> bool:
        return resident.namespace == self.namespace and self.pods.matches(resident.labels)


def policy(obj: Object) -> Policy:
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    return Policy(
        metadata["namespace"],
        metadata["name"],
        stored_selector(spec.get("podSelector") or {}),
        _rules(spec.get("ingress"), "from") if "Ingress" in types else None,
        _rules(spec.get("egress"), "to") if "Egress" in types else None,
    )


def _rules(said: Iterable[Object] | None, side: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(tuple(map(_peer, rule.get(side) or ())), tuple(map(_ports, rule.get("ports") or ())))
        for rule in said or ()
    )


def _peer(said: Object) -> Block | Selected:
    block = said.get("ipBlock")
    if block is not None:
        excepts = tuple(ipaddress.ip_network(each, strict=False) for each in block.get("except") or ())
        return Block(ipaddress.ip_network(block["cidr"], strict=False), excepts)
    namespaces = said.get("namespaceSelector")
    return Selected(
        stored_selector(said.get("podSelector") or {}), None if namespaces is None else stored_selector(namespaces)
    )


def _ports(said: Object) -> Ports:
    protocol, port = (said.get("protocol") or "TCP").lower(), said.get("port")
    if isinstance(port, str):
        return Ports(protocol, name=port)
    return Ports(protocol, port or 0, said.get("endPort") or port or 0)


def residents(
    pods: Iterable[Object], namespaces: Iterable[Object], held: Mapping[str, tuple[Object, Sequence[str]]]
) -> list[Resident]:
    """Whose addresses are known, in a fixed order: of the pods, and of those `held` (uid -> pod, its addresses).

    The held ones have just got their address, which the API need not know yet. Pods on the host's network are the host.
    """
    labels = {Namespace(each).name: Namespace(each).labels for each in namespaces}
    found: dict[str, Resident] = {}
    # An address is used again; what the API says of its last holder may be old.
    for pod in sorted(map(Pod, pods), key=lambda pod: not pod.deleted):
        for each in pod.pod_ips if not pod.host_network and not pod.is_finished else ():
            found[each["ip"]] = _resident(pod, each["ip"], labels.get(pod.namespace, {}))
    for obj, ips in held.values():
        for ip in ips if not Pod(obj).is_finished else ():
            found[ip] = _resident(Pod(obj), ip, labels.get(Pod(obj).namespace, {}))
    return sorted(found.values(), key=lambda resident: (resident.namespace, resident.name, resident.ip))


def _resident(pod: Pod, ip: str, namespace_labels: Mapping[str, str]) -> Resident:
    sidecars = (each for each in pod.init_containers if each.get("restartPolicy") == "Always")
    ports = tuple(
        NamedPort(port["name"], (port.get("protocol") or "TCP").lower(), port["containerPort"])
        for container in (*pod.containers, *sidecars)
        for port in container.get("ports") or ()
        if port.get("name")
    )
    return Resident(pod.namespace, pod.name, ip, pod.labels, namespace_labels, ports)


def names_resident(service: Object, namespaces: Iterable[Object]) -> Resident | None:
    """The cluster's DNS as policies mean it: a pod as other clusters have one; None where pods serve the names.

    It is part of this process, so what is sent there would else be the node's, which no policy is about.
    """
    spec, metadata = service.get("spec") or {}, View(service)
    if spec.get("selector") or not spec.get("clusterIP"):
        return None
    labels = next((View(each).labels for each in namespaces if View(each).name == metadata.namespace), {})
    ports = tuple(
        NamedPort(port.get("name") or "", (port.get("protocol") or "TCP").lower(), port["port"])
        for port in spec.get("ports") or ()
    )
    return Resident(metadata.namespace, metadata.name, spec["clusterIP"], metadata.labels, labels, ports)
