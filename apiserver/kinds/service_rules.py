"""What upstream refuses in a Service (core/v1 validation)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from apiserver.kinds.container_rules import target_port_errors
from apiserver.kinds.field_errors import all_of, duplicate, forbidden, invalid_value, not_supported, one_of, required
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_BAD_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def service_errors(service: Object) -> list[Cause]:
    spec = service.get("spec") or {}
    kind = spec.get("type")
    errors = [*_type_errors(spec, kind), *_port_errors(spec.get("ports") or [], "spec.ports")]
    if kind == "ClusterIP":
        errors += _node_port_errors(spec.get("ports") or [])
    for key, value in (spec.get("selector") or {}).items():
        errors += all_of("spec.selector", key, names.qualified_name(key))
        errors += all_of("spec.selector", value, names.label_value(value))
    if kind and kind not in _TYPES:
        errors.append(not_supported("spec.type", kind, _TYPES))
    errors += one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    return [*errors, *_address_errors(spec)]


def _type_errors(spec: Object, kind: str | None) -> Iterator[Cause]:
    """What each type of Service must say, or may not."""
    is_headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not is_headless and kind != "ExternalName":
        yield required("spec.ports")
    if is_headless and kind in ("LoadBalancer", "NodePort"):
        yield invalid_value("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind == "ExternalName" and not spec.get("externalName"):
        yield required("spec.externalName")
    elif kind == "ExternalName":
        name = spec["externalName"].removesuffix(".")
        yield from all_of("spec.externalName", name, names.dns_subdomain(name))


def _node_port_errors(ports: list[Object]) -> Iterator[Cause]:
    for index, port in enumerate(ports):
        if port.get("nodePort"):
            yield forbidden(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")


def _address_errors(spec: Object) -> Iterator[Cause]:
    for index, address in enumerate(spec.get("clusterIPs") or [spec.get("clusterIP")]):
        if address and address != "None" and not _is_ip(address):
            yield invalid_value(f"spec.clusterIPs[{index}]", address, _BAD_IP)
    for index, address in enumerate(spec.get("externalIPs") or []):
        if not _is_ip(address):
            yield invalid_value(f"spec.externalIPs[{index}]", address, _BAD_IP)


def service_update_errors(new: Object, old: Object) -> list[Cause]:
    """An address once given stays, but for services that come to be or cease to be mere names."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    address = spec.get("clusterIP")
    if "ExternalName" in (spec.get("type"), before.get("type")) or not address or not before.get("clusterIP"):
        return []
    if address == before["clusterIP"]:
        return []
    return [invalid_value("spec.clusterIPs[0]", [address], "may not change once set")]


def _port_errors(ports: list[Object], path: str) -> Iterator[Cause]:
    taken: set[str] = set()
    seen: set[tuple[object, object]] = set()
    for index, port in enumerate(ports):
        where, name = f"{path}[{index}]", port.get("name") or ""
        if not name and len(ports) > 1:
            yield required(f"{where}.name")
        elif name:
            yield from all_of(f"{where}.name", name, names.dns_label(name))
            if name in taken:
                yield duplicate(f"{where}.name", name)
            taken.add(name)
        number = port.get("port") or 0
        yield from all_of(f"{where}.port", number, names.port_number(number))
        yield from one_of(f"{where}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
        if port.get("targetPort") is not None:
            yield from target_port_errors(port["targetPort"], f"{where}.targetPort")
        key = (port.get("protocol"), number)
        if key in seen and name:
            yield duplicate(where, {"port": number, "protocol": port.get("protocol")})
        seen.add(key)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
