"""The cluster's zone: where names of Services, endpoints and pods lead, by Kubernetes' DNS specification 1.1.0. Pure.

Nothing is kept but who has which address: a name says where to look, and the watch cache has the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

from machinery.api.resource import Object
from machinery.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from machinery.api.views import SERVICE_NAME
from machinery.client.cache import Cache
from machinery.structs import Struct

SPECIFICATION = "1.1.0"


class Record(Struct, frozen=True):
    """`data` is an address, a name (absolute, without its last dot) or a text; for SRV port and name."""

    type: str
    data: str
    port: int = 0


class Found(Struct, frozen=True):
    """What a name holds. `exists` is false for NXDOMAIN; `alias` (a CNAME's target) leads out of the zone."""

    exists: bool
    records: Sequence[Record] = ()
    alias: str = ""


NOWHERE = Found(exists=False)
EMPTY = Found(exists=True)


class _Endpoint(Struct, frozen=True):
    ip: str
    hostname: str
    is_ready: bool
    ports: tuple[tuple[str, str, int], ...]

    @property
    def label(self) -> str:
        """The name below its Service's: the pod's hostname, else its address with dashes."""
        return self.hostname or self.ip.replace(".", "-").replace(":", "-")


class Zone:
    """Answers for `domain`; `name_of` gives the name that an address has, "" for none."""

    def __init__(self, cache: Cache, domain: str, name_of: Callable[[str], str]) -> None:
        self._cache = cache
        self._labels = tuple(domain.split("."))
        self._domain = domain
        self._name_of = name_of

    def holds(self, name: str) -> bool:
        """Whether the name (lower case, no last dot) is the zone's to answer."""
        return name == self._domain or name.endswith(f".{self._domain}")

    def find(self, name: str) -> Found:
        labels = name.split(".")[: -len(self._labels)]
        match labels:
            case [] | ["svc"] | ["pod"]:
                return EMPTY
            case ["dns-version"]:
                return Found(exists=True, records=(Record("TXT", SPECIFICATION),))
            case [namespace, "svc" | "pod"]:
                return EMPTY if self._cache.get(NAMESPACES, "", namespace) else NOWHERE
            case [address, namespace, "pod"]:
                return self._pod(address, namespace)
            case [*below, service, namespace, "svc"]:
                return self._service(below, service, namespace)
        return NOWHERE

    def reverse(self, address: str) -> Found:
        name = self._name_of(address)
        return Found(exists=True, records=(Record("PTR", name),)) if name else NOWHERE

    def _pod(self, dashed: str, namespace: str) -> Found:
        address = _undashed(dashed)
        if not address or self._cache.get(NAMESPACES, "", namespace) is None:
            return NOWHERE
        return Found(exists=True, records=(_address(address),))

    def _service(self, below: list[str], name: str, namespace: str) -> Found:
        service = self._cache.get(SERVICES, namespace, name)
        if service is None:
            return NOWHERE
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return Found(exists=True, alias=spec.get("externalName", "").rstrip(".").lower()) if not below else NOWHERE
        full = f"{name}.{namespace}.svc.{self._domain}"
        if spec.get("clusterIP") == "None":
            return self._headless(below, full, list(self._endpoints(service)))
        addresses = [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip]
        if not below:
            return Found(exists=True, records=[_address(ip) for ip in addresses])
        ports = [
            (port.get("name") or "", port.get("protocol") or "TCP", port["port"]) for port in spec.get("ports") or ()
        ]
        return _services(below, [(ports, full)])

    def _headless(self, below: list[str], full: str, endpoints: list[_Endpoint]) -> Found:
        ready = [endpoint for endpoint in endpoints if endpoint.is_ready]
        if not below:
            return Found(exists=True, records=[_address(endpoint.ip) for endpoint in ready])
        if len(below) == 1:
            named = [endpoint for endpoint in ready if endpoint.label == below[0]]
            if named:
                return Found(exists=True, records=[_address(endpoint.ip) for endpoint in named])
        return _services(below, [(endpoint.ports, f"{endpoint.label}.{full}") for endpoint in ready])

    def _endpoints(self, service: Object) -> Iterator[_Endpoint]:
        metadata = service["metadata"]
        slices = self._cache.labelled(ENDPOINT_SLICES, metadata["namespace"], SERVICE_NAME, metadata["name"])
        seen: set[str] = set()
        for each in slices:
            for endpoint in endpoints_of(each):
                if endpoint.ip not in seen:
                    seen.add(endpoint.ip)
                    yield endpoint


def endpoints_of(each: Object) -> Iterator[_Endpoint]:
    """The endpoints of one slice, with its ports."""
    ports = _ports(each.get("ports"))
    for entry in each.get("endpoints") or ():
        is_ready = (entry.get("conditions") or {}).get("ready") is not False
        for ip in entry.get("addresses") or ():
            yield _Endpoint(ip, entry.get("hostname") or "", is_ready, ports)


def _ports(ports: Iterable[Object] | None) -> tuple[tuple[str, str, int], ...]:
    """Name, protocol and number of each port that has one."""
    return tuple(
        (port.get("name") or "", port.get("protocol") or "TCP", port["port"])
        for port in ports or ()
        if port.get("port")
    )


def _services(below: list[str], targets: Iterable[tuple[Iterable[tuple[str, str, int]], str]]) -> Found:
    """The SRV records of `_port._protocol`; of `_protocol` and other names there is nothing."""
    if len(below) != 2 or not all(label.startswith("_") for label in below):
        return NOWHERE
    wanted = (below[0][1:], below[1][1:].upper())
    records = [
        Record("SRV", target, number)
        for ports, target in targets
        for name, protocol, number in ports
        if (name, protocol) == wanted
    ]
    return Found(exists=True, records=records) if records else NOWHERE


def _undashed(label: str) -> str:
    """The address that a pod's name is made of, `10-244-0-5` or `fd00-10-244--5`; "" for none."""
    for separator in ".:":
        with suppress(ValueError):
            return str(ip_address(label.replace("-", separator)))
    return ""


def _address(ip: str) -> Record:
    return Record("AAAA" if ":" in ip else "A", ip)


class Addresses:
    """Who has which address: Services theirs, and endpoints that have a hostname or a headless Service."""

    def __init__(self, cache: Cache, domain: str) -> None:
        self._cache = cache
        self._domain = domain
        self._names: dict[str, dict[str, str]] = {}

    def name_of(self, address: str) -> str:
        return next(iter(self._names.get(address, {}).values()), "")

    def follow_service(self, before: Object | None, after: Object | None) -> None:
        self._replace(before, after, self._of_service)

    def follow_slice(self, before: Object | None, after: Object | None) -> None:
        self._replace(before, after, self._of_slice)

    def _replace(
        self, before: Object | None, after: Object | None, names: Callable[[Object], Iterator[tuple[str, str]]]
    ) -> None:
        for obj in (before, after):
            for address, name in names(obj) if obj is not None else ():
                key = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}" if obj is not None else ""
                held = self._names.setdefault(address, {})
                held.pop(key, None)
                if obj is after:
                    held[key] = name
                if not held:
                    del self._names[address]

    def _of_service(self, service: Object) -> Iterator[tuple[str, str]]:
        metadata, spec = service["metadata"], service.get("spec") or {}
        for ip in spec.get("clusterIPs") or [spec.get("clusterIP") or ""]:
            if ip and ip != "None":
                yield ip, f"{metadata['name']}.{metadata['namespace']}.svc.{self._domain}"

    def _of_slice(self, each: Object) -> Iterator[tuple[str, str]]:
        metadata: dict[str, Any] = each["metadata"]
        labels = metadata.get("labels") or {}
        service = labels.get(SERVICE_NAME)
        if not service or "service.kubernetes.io/headless" not in labels:
            return
        for endpoint in endpoints_of(each):
            yield endpoint.ip, f"{endpoint.label}.{service}.{metadata['namespace']}.svc.{self._domain}"
