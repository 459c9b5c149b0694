"""Who has which port of the machine's address: what a Service of type LoadBalancer must not take from anyone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from controllers.plan import Key, key_of
from machinery.api.resource import Object, Resource
from machinery.api.resources import ENDPOINTS, NODES, PODS, SERVICES
from machinery.api.views import Endpoints, Node, Pod, Service
from machinery.client.cache import Change
from machinery.structs import Struct

KUBERNETES = Key("default", "kubernetes")


class Port(NamedTuple):
    protocol: str
    number: int

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


class Claim(Struct, frozen=True):
    """What `holder` has; where two claim a port the lesser `rank` keeps it."""

    holder: str
    key: Key
    ports: frozenset[Port]
    rank: tuple[int, str, str] = (0, "", "")
    is_balanced: bool = False
    """Of a Service of type LoadBalancer, which asks for the port; the others have it."""


class PortClaims:
    """As far as the changes that it has seen."""

    def __init__(self) -> None:
        self._claims: dict[tuple[Resource, Key], tuple[Claim, ...]] = {}
        self._by_port: dict[Port, set[Claim]] = {}

    def see(self, change: Change) -> set[Key]:
        """Takes note of a change; the Services of type LoadBalancer that may fare otherwise now."""
        place = change.resource, key_of(change.object)
        after = tuple(claims(change.resource, change.after)) if change.after is not None else ()
        before = self._claims.pop(place, ())
        if after:
            self._claims[place] = after
        if before == after:
            return set()
        for claim in before:
            for port in claim.ports:
                self._by_port[port].discard(claim)
        for claim in after:
            for port in claim.ports:
                self._by_port.setdefault(port, set()).add(claim)
        ports = {port for claim in (*before, *after) for port in claim.ports}
        touched = {claim.key for port in ports for claim in self._by_port.get(port, ()) if claim.is_balanced}
        for port in ports:
            if not self._by_port.get(port):
                self._by_port.pop(port, None)
        return touched

    def refusals(self, service: Service) -> Iterator[tuple[Port, str]]:
        """The ports that the Service can't have, each with who has it."""
        key = key_of(service.obj)
        mine = balanced(service)
        for port in sorted(mine.ports):
            others = [claim for claim in self._by_port.get(port, ()) if claim.key != key or not _is_service(claim)]
            first = min(others, key=lambda claim: (claim.is_balanced, claim.rank, claim.holder), default=None)
            if first is not None and (not first.is_balanced or first.rank < mine.rank):
                yield port, first.holder


def _is_service(claim: Claim) -> bool:
    return claim.holder.startswith("Service ")


def claims(resource: Resource, obj: Object) -> Iterator[Claim]:
    if resource == SERVICES:
        yield from _of_service(Service(obj))
    elif resource == PODS:
        pod = Pod(obj)
        if not pod.is_finished and (ports := frozenset(_host_ports(pod))):
            yield Claim(f"Pod {pod.namespace}/{pod.name}", key_of(obj), ports)
    elif resource == NODES and (port := Node(obj).kubelet_port):
        yield Claim("the kubelet", key_of(obj), frozenset({Port("TCP", port)}))
    elif resource == ENDPOINTS and key_of(obj) == KUBERNETES:
        listening = [port for subset in Endpoints(obj).subsets for port in subset.get("ports") or ()]
        yield Claim("the API server", KUBERNETES, frozenset(Port("TCP", port["port"]) for port in listening))


def is_balanced(service: Service) -> bool:
    """Whether this cluster's own load balancer is asked for."""
    return service.type == "LoadBalancer" and not service.load_balancer_class


def balanced(service: Service) -> Claim:
    """Who has its address keeps it; else the elder comes first."""
    key = key_of(service.obj)
    rank = (0 if service.ingress else 1, service.created, f"{key.namespace}/{key.name}")
    return Claim(_named(service), key, frozenset(_ports(service.ports, "port")), rank, is_balanced=True)


def _of_service(service: Service) -> Iterator[Claim]:
    if is_balanced(service) and not service.deleted:
        yield balanced(service)
    if ports := frozenset(_ports(service.ports, "nodePort")):
        yield Claim(f"{_named(service)} as a node port", key_of(service.obj), ports)


def _named(service: Service) -> str:
    return f"Service {service.namespace}/{service.name}"


def _host_ports(pod: Pod) -> Iterator[Port]:
    for container in (*pod.containers, *pod.init_containers):
        yield from _ports(container.get("ports") or (), "hostPort")


def _ports(ports: Iterable[Object], name: str) -> Iterator[Port]:
    for port in ports:
        if port.get(name):
            yield Port(port.get("protocol") or "TCP", port[name])
