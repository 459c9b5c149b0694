"""EndpointSlices: ports have a name and a protocol, and addresses are of the slice's type."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from apiserver.kinds.defaulting import default_values
from apiserver.kinds.field_errors import all_of, duplicate, invalid_value, not_supported, one_of, required, too_many
from apiserver.kinds.immutability import immutable
from apiserver.kinds.rules import Rules
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_TYPES = ("FQDN", "IPv4", "IPv6")
_BAD_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_MOST_ENDPOINTS, _MOST_ADDRESSES, _MOST_PORTS = 1000, 100, 20000


def default(endpoint_slice: Object) -> None:
    for port in endpoint_slice.get("ports") or []:
        default_values(port, name="", protocol="TCP")


def validate(endpoint_slice: Object) -> list[Cause]:
    kind = endpoint_slice.get("addressType") or ""
    errors: list[Cause] = []
    if not kind:
        errors.append(required("addressType"))
    elif kind not in _TYPES:
        errors.append(not_supported("addressType", kind, _TYPES))
    errors += _endpoints_errors(endpoint_slice.get("endpoints") or [], kind)
    return [*errors, *_ports_errors(endpoint_slice.get("ports") or [])]


def _endpoints_errors(endpoints: list[Object], kind: str) -> Iterator[Cause]:
    if len(endpoints) > _MOST_ENDPOINTS:
        yield too_many("endpoints", len(endpoints), _MOST_ENDPOINTS)
        return
    for index, endpoint in enumerate(endpoints):
        path, addresses = f"endpoints[{index}]", endpoint.get("addresses") or []
        if not addresses:
            yield required(f"{path}.addresses", "must contain at least 1 address")
        elif len(addresses) > _MOST_ADDRESSES:
            yield too_many(f"{path}.addresses", len(addresses), _MOST_ADDRESSES)
        for number, address in enumerate(addresses):
            yield from _address_errors(address, kind, f"{path}.addresses", number)
        if endpoint.get("hostname") is not None:
            yield from all_of(f"{path}.hostname", endpoint["hostname"], names.dns_label(endpoint["hostname"]))
        for place, zone in enumerate((endpoint.get("hints") or {}).get("forZones") or []):
            if not zone.get("name"):
                yield required(f"{path}.hints.forZones[{place}].name")


def _address_errors(address: str, kind: str, path: str, number: int) -> Iterator[Cause]:
    """Which family an address has is complained of at the list, everything else at its entry."""
    where = f"{path}[{number}]"
    if kind == "FQDN":
        yield from _domain_errors(address, where)
        return
    if kind not in ("IPv4", "IPv6"):
        return
    ip = parse_ip(address)
    if ip is None:
        yield invalid_value(where, address, _BAD_IP)
    if ip is None or ip.version != int(kind[-1]):
        yield invalid_value(path, address, f"must be an {kind} address")
    if ip is not None:
        yield from special_ip_errors(address, ip, where)


def _domain_errors(name: str, path: str) -> Iterator[Cause]:
    if not name:
        yield required(path)
        return
    bare = name.removesuffix(".")
    if complaints := names.dns_subdomain(bare):
        yield from all_of(path, bare, complaints)
    elif "." not in bare:
        yield invalid_value(path, bare, "should be a domain with at least two segments separated by dots")


def parse_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def special_ip_errors(text: str, ip: ipaddress.IPv4Address | ipaddress.IPv6Address, path: str) -> Iterator[Cause]:
    """Addresses that no endpoint may have, as they'd lead into the node or nowhere."""
    if ip.is_unspecified:
        yield invalid_value(path, text, f"may not be unspecified ({text})")
    if ip.is_loopback:
        yield invalid_value(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if ip.is_link_local:
        yield invalid_value(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if ip.is_multicast and _is_link_local_multicast(ip):
        yield invalid_value(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def _is_link_local_multicast(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    packed = ip.packed
    return packed[:3] == b"\xe0\x00\x00" if ip.version == 4 else packed[1] & 0x0F == 0x02


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
        yield from one_of(f"{path}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
        if port.get("appProtocol") is not None:
            yield from all_of(f"{path}.appProtocol", port["appProtocol"], names.qualified_name(port["appProtocol"]))


RULES = Rules(default=default, validate=validate, validate_update=immutable("addressType"), has_generation=True)
