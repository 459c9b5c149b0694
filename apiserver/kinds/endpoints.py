"""Endpoints: ports are TCP unless said; addresses lead out of the node."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.kinds.rules import Rules
from apiserver.rules.field_errors import all_of, choice, required
from apiserver.rules.network.addresses import ip_errors, ip_warnings, special_ip_errors
from apiserver.rules.pods.port_rules import PROTOCOLS
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_MANAGED_BY = "endpoints.kubernetes.io/managed-by"


def default(endpoints: Object) -> None:
    for subset in endpoints.get("subsets") or []:
        for port in subset.get("ports") or []:
            port["protocol"] = port.get("protocol") or "TCP"


def _each_address(endpoints: Object) -> Iterator[tuple[str, Object]]:
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        yield from _addresses(subset, f"subsets[{index}]")


def _addresses(subset: Object, path: str) -> Iterator[tuple[str, Object]]:
    for part in ("addresses", "notReadyAddresses"):
        for place, address in enumerate(subset.get(part) or ()):
            yield f"{path}.{part}[{place}]", address


def _errors(endpoints: Object, known: frozenset[str]) -> list[Cause]:
    errors: list[Cause] = []
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        path, ports = f"subsets[{index}]", subset.get("ports") or []
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for where, address in _addresses(subset, path):
            errors += _address_errors(address, where, known)
        for place, port in enumerate(ports):
            errors += _port_errors(port, f"{path}.ports[{place}]", is_named=len(ports) > 1)
    return errors


def _address_errors(address: Object, path: str, known: frozenset[str]) -> Iterator[Cause]:
    ip = address.get("ip") or ""
    yield from ip_errors(ip, f"{path}.ip", known)
    if address.get("hostname"):
        yield from all_of(f"{path}.hostname", address["hostname"], names.dns_label(address["hostname"]))
    if (node := address.get("nodeName")) is not None:
        yield from all_of(f"{path}.nodeName", node, names.dns_subdomain(node))
    yield from special_ip_errors(ip, f"{path}.ip")


def _port_errors(port: Object, path: str, *, is_named: bool) -> Iterator[Cause]:
    name, number, protocol = port.get("name") or "", port.get("port") or 0, port.get("appProtocol")
    if name:
        yield from all_of(f"{path}.name", name, names.dns_label(name))
    elif is_named:
        yield required(f"{path}.name")
    yield from all_of(f"{path}.port", number, names.port_number(number))
    yield from choice(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    if protocol is not None:
        yield from all_of(f"{path}.appProtocol", protocol, names.qualified_name(protocol))


def _update_errors(new: Object, old: Object) -> list[Cause]:
    """All of an update: addresses in old forms may stay."""
    return _errors(new, frozenset(address.get("ip") or "" for _, address in _each_address(old)))


def _warnings(endpoints: Object) -> list[str]:
    """Nothing of what its controller writes."""
    if (endpoints["metadata"].get("labels") or {}).get(_MANAGED_BY) == "endpoint-controller":
        return []
    return [said for path, address in _each_address(endpoints) for said in ip_warnings(address["ip"], f"{path}.ip")]


RULES = Rules(
    default=default,
    validate=lambda endpoints: _errors(endpoints, frozenset()),
    validate_update=_update_errors,
    rechecked="never",
    warnings=_warnings,
    update_warnings=lambda new, old: _warnings(new),
)
