"""Services of type LoadBalancer get the machine's own addresses, unless something has their ports there already."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from controllers.plan import Action, Controller, Key, Patch, Plan, Record, itself, key_of, nobody
from controllers.service_port_claims import Port, PortClaims, is_balanced
from machinery.api.resource import Object
from machinery.api.resources import ENDPOINTS, NODES, PODS, SERVICES
from machinery.api.views import Node, Service
from machinery.client.cache import Cache, Change


@dataclass(frozen=True)
class State:
    """`addresses` are the machine's; `refusals` the ports that are taken there, each with who has it."""

    service: Service
    addresses: tuple[str, ...]
    refusals: tuple[tuple[Port, str], ...]


def plan(state: State, now: datetime) -> Plan:
    """Tell the addresses where they are new, take them back where the Service is no load balancer's any more."""
    service = state.service
    if not is_balanced(service):
        # Another class's addresses are its own load balancer's to take back.
        return Plan() if service.load_balancer_class or not service.ingress else Plan([_told(service, [])])
    if service.deleted:
        return Plan()
    wanted = [{"ip": address, "ipMode": "VIP"} for address in _of_families(service, state.addresses)]
    if state.refusals:
        taken = ", ".join(f"port {port} is taken by {holder}" for port, holder in state.refusals)
        said = f"Error syncing load balancer: failed to ensure load balancer: {taken}"
        return Plan([*_taken_back(service), Record(service.obj, "Warning", "SyncLoadBalancerFailed", said)])
    if not wanted:
        said = "There are no available nodes for LoadBalancer"
        return Plan([*_taken_back(service), Record(service.obj, "Warning", "UnAvailableLoadBalancer", said)])
    if service.ingress == wanted:
        return Plan()
    return Plan(
        [
            Record(service.obj, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer"),
            _told(service, wanted),
            Record(service.obj, "Normal", "EnsuredLoadBalancer", "Ensured load balancer"),
        ]
    )


def _of_families(service: Service, addresses: tuple[str, ...]) -> Iterator[str]:
    for family in service.ip_families or ["IPv4"]:
        yield from (each for each in addresses if f"IPv{ipaddress.ip_address(each).version}" == family)


def _taken_back(service: Service) -> list[Action]:
    return [_told(service, [])] if service.ingress else []


def _told(service: Service, ingress: list[Object]) -> Patch:
    status = {"loadBalancer": {"ingress": ingress or None}}
    return Patch(SERVICES, key_of(service.obj), {"metadata": {"uid": service.uid}, "status": status}, "status")


def load_balancer() -> Controller:
    """Its memory is of the ports that it has seen taken."""
    claims = PortClaims()

    def observe(cache: Cache, key: Key) -> State | None:
        found = cache.get(SERVICES, key.namespace, key.name)
        if found is None:
            return None
        service = Service(found)
        nodes = map(Node, cache.list(NODES))
        internal = [each["address"] for node in nodes for each in node.addresses if each["type"] == "InternalIP"]
        return State(service, tuple(dict.fromkeys(internal)), tuple(claims.refusals(service)))

    def related(cache: Cache, change: Change) -> Iterator[Key]:
        yield from claims.see(change)
        if change.resource == NODES and _addresses(change.before) != _addresses(change.after):
            yield from (key_of(each) for each in cache.list(SERVICES) if is_balanced(Service(each)))

    return Controller(
        "service",
        wakes={SERVICES: itself, PODS: nobody, ENDPOINTS: nobody, NODES: nobody},
        observe=observe,
        plan=plan,
        related=related,
    )


def _addresses(node: Object | None) -> list[Object]:
    return Node(node).addresses if node is not None else []
