"""EndpointSlices: ports have a name and a protocol, and addresses are of the slice's type."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values
from apiserver.rules.field_errors import all_of, choice, duplicate, invalid_value, required, too_many
from apiserver.rules.immutability import immutable
from apiserver.rules.label_rules import label_errors
from apiserver.rules.name_rules import domain_errors
from apiserver.rules.network.addresses import ip_errors, ip_warnings, parse_ip, special_ip_errors
from apiserver.rules.pods.port_rules import PROTOCOLS
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_TYPES = ("FQDN", "IPv4", "IPv6")
_MOST_ENDPOINTS, _MOST_ADDRESSES, _MOST_PORTS, _MOST_LABELS, _MOST_HINTS = 1000, 100, 20000, 16, 8


def default(endpoint_slice: Object) -> None:
    for port in endpoint_slice.get("ports") or []:
        default_values(port, name="", protocol="TCP")


def _errors(endpoint_slice: Object, known: frozenset[str]) -> list[Cause]:
    kind, endpoints = endpoint_slice.get("addressType") or "", endpoint_slice.get("endpoints") or []
    errors = choice("addressType", kind, _TYPES)
    if len(endpoints) > _MOST_ENDPOINTS:
        errors.append(too_many("endpoints", len(endpoints), _MOST_ENDPOINTS))
    else:
        for index, endpoint in enumerate(endpoints):
            errors += _endpoint_errors(endpoint, f"endpoints[{index}]", kind, known)
    return [*errors, *_ports_errors(endpoint_slice.get("ports") or [])]


def _endpoint_errors(endpoint: Object, path: str, kind: str, known: frozenset[str]) -> Iterator[Cause]:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        yield required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > _MOST_ADDRESSES:
        yield too_many(f"{path}.addresses", len(addresses), _MOST_ADDRESSES)
    for number, address in enumerate(addresses):
        yield from _address_errors(address, kind, f"{path}.addresses", number, known)
    if (node := endpoint.get("nodeName")) is not None:
        yield from all_of(f"{path}.nodeName", node, names.dns_subdomain(node))
    if topology := endpoint.get("deprecatedTopology"):
        if len(topology) > _MOST_LABELS:
            yield too_many(f"{path}.deprecatedTopology", len(topology), _MOST_LABELS)
        yield from label_errors(topology, f"{path}.deprecatedTopology")
    if (host := endpoint.get("hostname")) is not None:
        yield from all_of(f"{path}.hostname", host, names.dns_label(host))
    if hints := endpoint.get("hints"):
        yield from _hint_errors(hints.get("forZones") or [], f"{path}.hints.forZones", names.label_value)
        yield from _hint_errors(hints.get("forNodes") or [], f"{path}.hints.forNodes", names.dns_subdomain)


def _hint_errors(hints: list[Object], path: str, check: Callable[[str], list[str]]) -> Iterator[Cause]:
    if len(hints) > _MOST_HINTS:
        yield too_many(path, len(hints), _MOST_HINTS)
        return
    seen: set[str] = set()
    for index, hint in enumerate(hints):
        where, name = f"{path}[{index}].name", hint.get("name") or ""
        if name in seen:
            yield duplicate(where, name)
        seen.add(name)
        if not name:
            yield required(where)
        yield from all_of(where, name, check(name))


def _address_errors(address: str, kind: str, path: str, number: int, known: frozenset[str]) -> Iterator[Cause]:
    """Which family an address has is complained of at the list, everything else at its entry."""
    where = f"{path}[{number}]"
    if kind == "FQDN":
        yield from domain_errors(address, where, least=2, words="two")
    if kind not in ("IPv4", "IPv6"):
        return
    yield from ip_errors(address, where, known)
    ip = parse_ip(address)
    if ip is None or ip.version != int(kind[-1]):
        yield invalid_value(path, address, f"must be an {kind} address")
    if ip is not None:
        yield from special_ip_errors(address, where)


def _ports_errors(ports: list[Object]) -> Iterator[Cause]:
    if len(ports) > _MOST_PORTS:
        yield too_many("ports", len(ports), _MOST_PORTS)
        return
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"ports[{index}]", port.get("name") or ""
        if name:
            yield from all_of(f"{path}.name", name, names.dns_label(name))
        if name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)
        yield from choice(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
        if port.get("appProtocol") is not None:
            yield from all_of(f"{path}.appProtocol", port["appProtocol"], names.qualified_name(port["appProtocol"]))


def _update_errors(new: Object, old: Object) -> list[Cause]:
    """All of an update: addresses in old forms may stay."""
    known = frozenset(ip for endpoint in old.get("endpoints") or () for ip in endpoint.get("addresses") or ())
    return [*_errors(new, known), *immutable("addressType")(new, old)]


def _warnings(endpoint_slice: Object) -> list[str]:
    if endpoint_slice.get("addressType") == "FQDN":
        return ["addressType: FQDN endpoints are deprecated"]
    return [
        said
        for index, endpoint in enumerate(endpoint_slice.get("endpoints") or ())
        for place, address in enumerate(endpoint.get("addresses") or ())
        for said in ip_warnings(address, f"endpoints[{index}].addresses[{place}]")
    ]


RULES = Rules(
    default=default,
    validate=lambda endpoint_slice: _errors(endpoint_slice, frozenset()),
    validate_update=_update_errors,
    rechecked="never",
    warnings=_warnings,
    has_generation=True,
)
