"""Services of type LoadBalancer get the machine's own addresses, unless something has their ports there already.

A program of the machine that listens there keeps its port, as nobody would find out by himself why it gets no packets;
one that comes later finds the Service's rules before it, of which the proxy's ShadowWatch tells.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime

from controllers.plan import Action, Controller, Key, Patch, Plan, Record, itself, key_of, nobody
from controllers.service_port_claims import Port, PortClaims, balanced, is_balanced
from machinery.api.resource import Object
from machinery.api.resources import ENDPOINTS, NODES, PODS, SERVICES
from machinery.api.views import Node, Service
from machinery.client.cache import Cache, Change
from machinery.structs import Struct

Listening = Callable[[Collection[Port], Collection[str]], Mapping[Port, str] | None]
"""Those of the ports that programs of the machine have at one of the addresses, each with its program; None where that
is being looked at."""
_LOOKED_AT, _LOOKS_AGAIN = 0.2, 10.0


def nothing_listens(ports: Collection[Port], addresses: Collection[str]) -> Mapping[Port, str]:
    """Where this machine is nobody's node."""
    return {}


class State(Struct, frozen=True):
    """`addresses` are the machine's; `refusals` the ports that are taken there, each with who has it.

    `listeners` are those that programs have, None where that is not known yet.
    """

    service: Service
    addresses: tuple[str, ...]
    refusals: tuple[tuple[Port, str], ...]
    listeners: tuple[tuple[Port, str], ...] | None = ()


def plan(state: State, now: datetime) -> Plan:
    """Tell the addresses where they are new, take them back where the Service is no load balancer's any more."""
    service = state.service
    if not is_balanced(service):
        # Another class's addresses are its own load balancer's to take back.
        return Plan() if service.load_balancer_class or not service.ingress else Plan([_told(service, [])])
    if service.deleted:
        return Plan()
    wanted = [{"ip": address, "ipMode": "VIP"} for address in _of_families(service, state.addresses)]
    if state.listeners is None:
        return Plan(requeue_after=_LOOKED_AT)
    if refusals := (*state.refusals, *state.listeners):
        taken = ", ".join(f"port {port} is taken by {holder}" for port, holder in refusals)
        said = f"Error syncing load balancer: failed to ensure load balancer: {taken}"
        failed = Record(service.obj, "Warning", "SyncLoadBalancerFailed", said)
        # Of a program that ends nothing tells.
        return Plan([*_taken_back(service), failed], _LOOKS_AGAIN if state.listeners else None)
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


def load_balancer(listening: Listening = nothing_listens) -> Controller:
    """Its memory is of the ports that it has seen taken; `listening` tells of those that are no object's."""
    claims = PortClaims()

    def observe(cache: Cache, key: Key) -> State | None:
        there = cache.get(SERVICES, key.namespace, key.name)
        if there is None:
            return None
        service = Service(there)
        nodes = map(Node, cache.list(NODES))
        internal = [each["address"] for node in nodes for each in node.addresses if each["type"] == "InternalIP"]
        addresses, refusals = tuple(dict.fromkeys(internal)), tuple(claims.refusals(service))
        if not is_balanced(service) or service.ingress or refusals:
            # What it has it keeps.
            return State(service, addresses, refusals)
        found = listening(balanced(service).ports, addresses)
        return State(service, addresses, refusals, tuple(sorted(found.items())) if found is not None else None)

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
