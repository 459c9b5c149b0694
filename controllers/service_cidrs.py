"""ServiceCIDRs: told to be ready, and kept from going while a Service has an address that no other one holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from controllers.plan import Controller, Key, Patch, Plan, itself, key_of, nobody
from machinery.api.resources import IP_ADDRESSES, SERVICE_C_I_D_RS
from machinery.api.timestamps import parse_time, rfc3339
from machinery.api.views import View, field
from machinery.client.cache import Cache, Change
from machinery.ip_families import Network, networks
from machinery.structs import Struct

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
ALLOCATED = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io")
GRACE = 10.0
"""Seconds after the deletion was asked for: no server gives an address of the range any more."""
_READY = "Kubernetes Service CIDR is ready"
_IN_USE = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"


class ServiceCidr(View):
    cidrs: field[list[str]] = field("spec.cidrs", [])

    @property
    def networks(self) -> tuple[Network, ...]:
        return networks(self.cidrs)


class State(Struct, frozen=True):
    """`others` are the other ServiceCIDRs, `addresses` those that Services have."""

    cidr: ServiceCidr
    others: tuple[ServiceCidr, ...]
    addresses: tuple[str, ...]


def plan(state: State, now: datetime) -> Plan:
    cidr = state.cidr
    if not cidr.deleted:
        guard = [] if FINALIZER in cidr.finalizers else [_finalized(cidr, [*cidr.finalizers, FINALIZER])]
        return Plan([*guard, *_told(cidr, "True", "", _READY, now)])
    if _is_in_use(state):
        return Plan([*_told(cidr, "False", "Terminating", _IN_USE, now)])
    left = GRACE - (now - parse_time(cidr.deleted)).total_seconds()
    if left > 0:
        return Plan(requeue_after=left)
    if FINALIZER not in cidr.finalizers:
        return Plan()
    return Plan([_finalized(cidr, [each for each in cidr.finalizers if each != FINALIZER])])


def _is_in_use(state: State) -> bool:
    """Whether an address would be left that no other ServiceCIDR holds."""
    others = [network for other in state.others for network in other.networks]
    networks = [network for network in state.cidr.networks if not any(_holds(other, network) for other in others)]
    used = map(ip_address, state.addresses)
    return any(_has(networks, address) and not _has(others, address) for address in used)


def _holds(outer: Network, inner: Network) -> bool:
    if isinstance(outer, IPv4Network):
        return isinstance(inner, IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, IPv6Network) and inner.subnet_of(outer)


def _has(networks: Iterable[Network], address: IPv4Address | IPv6Address) -> bool:
    return any(address in network for network in networks)


def _finalized(cidr: ServiceCidr, finalizers: list[str]) -> Patch:
    metadata = {"uid": cidr.uid, "resourceVersion": cidr.resource_version, "finalizers": finalizers or None}
    return Patch(SERVICE_C_I_D_RS, key_of(cidr.obj), {"metadata": metadata})


def _told(cidr: ServiceCidr, status: str, reason: str, message: str, now: datetime) -> Iterator[Patch]:
    said = cidr.condition("Ready") or {}
    if (said.get("status"), said.get("reason"), said.get("message")) == (status, reason, message):
        return
    condition = {
        "type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": rfc3339(now),
    }  # fmt: skip
    patch = {"metadata": {"uid": cidr.uid}, "status": {"conditions": [condition]}}
    yield Patch(SERVICE_C_I_D_RS, key_of(cidr.obj), patch, "status")


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(SERVICE_C_I_D_RS, "", key.name)
    if found is None:
        return None
    others = tuple(ServiceCidr(each) for each in cache.list(SERVICE_C_I_D_RS) if each["metadata"]["name"] != key.name)
    addresses: tuple[str, ...] = ()
    if View(found).deleted:
        addresses = tuple(each["metadata"]["name"] for each in cache.labelled(IP_ADDRESSES, "", *ALLOCATED))
    return State(ServiceCidr(found), tuple(each for each in others if not each.deleted), addresses)


def related(cache: Cache, change: Change) -> Iterator[Key]:
    """Those that are going may go when another one comes or an address is given back."""
    is_given = change.resource == IP_ADDRESSES and change.after is not None
    for each in () if is_given else cache.list(SERVICE_C_I_D_RS):
        if View(each).deleted and each != change.object:
            yield key_of(each)


SERVICE_CIDRS = Controller(
    "service-cidrs",
    wakes={SERVICE_C_I_D_RS: itself, IP_ADDRESSES: nobody},
    observe=observe,
    plan=plan,
    related=related,
)
