"""What upstream refuses in a Service's ports: names, numbers, and the same pair of protocol and number twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apiserver.rules.field_errors import all_of, choice, duplicate, forbidden, required
from apiserver.rules.pods.port_rules import PROTOCOLS, target_port_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object


def port_errors(ports: list[Object]) -> Iterator[Cause]:
    taken: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"spec.ports[{index}]", port.get("name")
        if name:
            if complaints := names.dns_label(name):
                yield from all_of(f"{path}.name", name, complaints)
            if name in taken:
                yield duplicate(f"{path}.name", name)
            taken.add(name)
        elif len(ports) > 1:
            yield required(f"{path}.name")
        if not _is_plain(port):
            yield from _one_port_errors(port, path)


def _is_plain(port: Object) -> bool:
    """Whether there's nothing to say of a port but its name, as in most."""
    number, target = port.get("port") or 0, port.get("targetPort")
    is_known = port.get("protocol") in PROTOCOLS and port.get("appProtocol") is None
    return is_known and 0 < number < 65536 and isinstance(target, int) and 0 < target < 65536


def _one_port_errors(port: Object, path: str) -> Iterator[Cause]:
    number = port.get("port") or 0
    yield from all_of(f"{path}.port", number, names.port_number(number))
    yield from choice(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    yield from target_port_errors(port.get("targetPort"), f"{path}.targetPort")
    if port.get("appProtocol") is not None:
        yield from all_of(f"{path}.appProtocol", port["appProtocol"], names.qualified_name(port["appProtocol"]))


def node_port_errors(ports: list[Object], *, is_internal: bool) -> Iterator[Cause]:
    has_any = any(port.get("nodePort") for port in ports)
    if has_any and is_internal:
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                yield forbidden(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")
    if len(ports) < 2:
        return
    if has_any:
        yield from _twice(ports, "nodePort")
    if len({port.get("port") for port in ports}) < len(ports):
        yield from _twice(ports, "port")


def _twice(ports: list[Object], field: str) -> Iterator[Cause]:
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        number, protocol = port.get(field) or 0, port.get("protocol") or ""
        if (protocol, number) in seen and field == "port":
            # Upstream shows the pair as the port that has nothing but it.
            shown = {
                "Name": "",
                "Protocol": protocol,
                "AppProtocol": None,
                "Port": number,
                "TargetPort": 0,
                "NodePort": 0,
            }
            yield duplicate(f"spec.ports[{index}]", shown)
        elif (protocol, number) in seen and number:
            yield duplicate(f"spec.ports[{index}].nodePort", number)
        seen.add((protocol, number))
