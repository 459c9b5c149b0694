"""Services and EndpointSlices as the proxy needs them: one value a port and family of a Service, with where it leads.

Which endpoints count is KEP-1669's and the Service's traffic policies' to say: ready ones, else those that still serve
while they end; for a Local policy those of this node alone. Pure.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Any

from machinery.api.resource import Object
from machinery.api.views import SERVICE_NAME
from machinery.ip_families import FAMILIES, IPV4, Family, family_of
from machinery.structs import Struct, replace

_PROXIED_BY_OTHERS = "service.kubernetes.io/service-proxy-name"
_HEADLESS = "service.kubernetes.io/headless"
_DEFAULT_AFFINITY = 10800


class Endpoint(Struct, frozen=True, order=True):
    """An address and port behind a Service."""

    ip: str
    port: int

    def __str__(self) -> str:
        return f"{self.ip} . {self.port}"


class ServicePort(Struct, frozen=True):
    """`internal` is where the cluster's own clients are led, `external` those from outside; all of one family.

    `affinity_seconds` is 0 where each connection is on its own; `sources` are the only ranges from which the load
    balancer's addresses may be reached, empty for all.
    """

    namespace: str
    service: str
    name: str
    protocol: str
    port: int
    cluster_ip: str
    internal: tuple[Endpoint, ...] = ()
    external: tuple[Endpoint, ...] = ()
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    affinity_seconds: int = 0

    @property
    def key(self) -> str:
        """What names the port in messages: namespace/service:port."""
        return f"{self.namespace}/{self.service}:{self.name or self.port}"

    @property
    def family(self) -> Family:
        return family_of(self.cluster_ip)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses from outside, the cluster's own apart."""
        return tuple(dict.fromkeys((*self.external_ips, *self.load_balancer_ips)))


def service_ports(services: Iterable[Object], slices: Iterable[Object], node: str) -> list[ServicePort]:
    """The ports of all Services that have an address, of each family that they have one of, in a fixed order."""
    by_service: dict[tuple[str, str], list[Object]] = {}
    for each in slices:
        metadata = each["metadata"]
        name = (metadata.get("labels") or {}).get(SERVICE_NAME)
        if name:
            by_service.setdefault((metadata.get("namespace", ""), name), []).append(each)
    found: list[ServicePort] = []
    for service in services:
        metadata = service["metadata"]
        found += _ports(service, by_service.get((metadata["namespace"], metadata["name"]), []), node)
    return sorted(found, key=lambda port: (port.namespace, port.service, port.name, port.port))


def _ports(service: Object, slices: list[Object], node: str) -> Iterable[ServicePort]:
    spec, labels = service.get("spec") or {}, service["metadata"].get("labels") or {}
    if spec.get("type") == "ExternalName" or _PROXIED_BY_OTHERS in labels or _HEADLESS in labels:
        return
    addresses = [spec.get("clusterIP") or "", *(spec.get("clusterIPs") or [])]
    for family in FAMILIES:
        if mine := _of_family(family, addresses):
            yield from _family_ports(service, mine[0], _of_type(family, slices), node)


def _family_ports(service: Object, address: str, slices: list[Object], node: str) -> Iterable[ServicePort]:
    """The Service's ports at its address of one family, by the slices of that family."""
    spec, metadata, family = service.get("spec") or {}, service["metadata"], family_of(address)
    balanced = [entry.get("ip", "") for entry in _ingress(service) if entry.get("ipMode", "VIP") == "VIP"]
    affinity = 0
    if spec.get("sessionAffinity") == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        affinity = client.get("timeoutSeconds") or _DEFAULT_AFFINITY
    base = ServicePort(
        metadata["namespace"], metadata["name"], "", "tcp", 0, address,
        external_ips=_of_family(family, spec.get("externalIPs") or ()),
        load_balancer_ips=_of_family(family, balanced),
        sources=tuple(spec.get("loadBalancerSourceRanges") or ()),
        affinity_seconds=affinity,
    )  # fmt: skip
    for port in spec.get("ports") or ():
        name = port.get("name") or ""
        found = list(_endpoints(slices, name, port.get("protocol") or "TCP"))
        yield replace(
            base,
            name=name,
            protocol=(port.get("protocol") or "TCP").lower(),
            port=port["port"],
            node_port=port.get("nodePort") or 0,
            internal=_chosen(found, node, is_local=spec.get("internalTrafficPolicy") == "Local"),
            external=_chosen(found, node, is_local=spec.get("externalTrafficPolicy") == "Local"),
        )


def endpoints(service: Object, slices: list[Object], port_name: str) -> tuple[Endpoint, ...]:
    """Who stands behind a TCP port of the Service whose slices these are, wherever they are, in its first family."""
    own = _of_type(_first_family(service), slices)
    return _chosen(list(_endpoints(own, port_name, "TCP")), "", is_local=False)


def local_endpoints(service: Object, slices: list[Object], node: str) -> int:
    """How many of the Service's ready endpoints are on this node: what a load balancer's health check asks for.

    One with addresses of both families counts once.
    """
    slices = _of_type(_first_family(service), slices)
    names = {port.get("name") or "" for port in (service.get("spec") or {}).get("ports") or ()}
    found = (each for name in names for protocol in ("TCP", "UDP") for each in _endpoints(slices, name, protocol))
    return len({each.endpoint.ip for each in found if each.is_ready and each.node == node})


def _of_type(family: Family, slices: Iterable[Object]) -> list[Object]:
    return [each for each in slices if each.get("addressType") == family.name]


def _first_family(service: Object) -> Family:
    spec = service.get("spec") or {}
    named = (spec.get("ipFamilies") or [family_of(spec.get("clusterIP") or "").name])[0]
    return next((family for family in FAMILIES if family.name == named), IPV4)


def _ingress(service: Object) -> list[Mapping[str, Any]]:
    balancer = (service.get("status") or {}).get("loadBalancer") or {}
    return balancer.get("ingress") or []


class _Candidate(Struct, frozen=True):
    endpoint: Endpoint
    node: str
    is_ready: bool
    serves: bool


def _endpoints(slices: list[Object], port_name: str, protocol: str) -> Iterable[_Candidate]:
    for each in slices:
        for port in each.get("ports") or ():
            if (port.get("name") or "") != port_name or (port.get("protocol") or "TCP") != protocol:
                continue
            if port.get("port") is None:
                continue
            for endpoint in each.get("endpoints") or ():
                conditions = endpoint.get("conditions") or {}
                ready = conditions.get("ready") is not False
                serving = conditions.get("serving", ready) is not False
                for address in (endpoint.get("addresses") or [])[:1]:
                    candidate = Endpoint(canonical(address), port["port"])
                    if candidate.ip:
                        yield _Candidate(candidate, endpoint.get("nodeName") or "", ready, serving)


def _chosen(candidates: list[_Candidate], node: str, *, is_local: bool) -> tuple[Endpoint, ...]:
    here = [each for each in candidates if not is_local or each.node == node]
    found = [each for each in here if each.is_ready] or [each for each in here if each.serves]
    return tuple(sorted({each.endpoint for each in found}, key=lambda endpoint: (endpoint.ip, endpoint.port)))


def _of_family(family: Family, addresses: Iterable[str]) -> tuple[str, ...]:
    found = map(canonical, addresses)
    return tuple(address for address in found if address and family_of(address) is family)


def canonical(text: str) -> str:
    """The address as the kernel tells it; "" for what is none."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        # A fifth of what `ipaddress` takes, and there are many.
        return socket.inet_ntop(family, socket.inet_pton(family, text))
    except (OSError, ValueError):
        return ""
