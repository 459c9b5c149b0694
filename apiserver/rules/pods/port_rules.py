"""Ports of containers, and references to them by number or name (core/v1)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from apiserver.rules.field_errors import all_of, choice, duplicate, invalid_value, required
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

PROTOCOLS = ("SCTP", "TCP", "UDP")


def port_errors(ports: list[Object], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        name, number, host_port = port.get("name") or "", port.get("containerPort") or 0, port.get("hostPort") or 0
        if name in seen or not _is_sound(name, number, host_port, port.get("protocol")):
            yield from _one_port_errors(port, f"{path}[{index}]", seen)
        if name:
            seen.add(name)


@lru_cache(maxsize=4096)
def _is_sound(name: str, number: int, host_port: int, protocol: str | None) -> bool:
    # The same few ports come again and again.
    port = {"name": name, "containerPort": number, "hostPort": host_port, "protocol": protocol}
    return not list(_one_port_errors(port, "", set()))


def _one_port_errors(port: Object, path: str, seen: set[str]) -> Iterator[Cause]:
    name, number, host_port = port.get("name") or "", port.get("containerPort") or 0, port.get("hostPort") or 0
    if name:
        complaints = names.port_name(name)
        yield from all_of(f"{path}.name", name, complaints)
        if not complaints and name in seen:
            yield duplicate(f"{path}.name", name)
    if number:
        yield from all_of(f"{path}.containerPort", number, names.port_number(number))
    else:
        yield required(f"{path}.containerPort")
    if host_port:
        yield from all_of(f"{path}.hostPort", host_port, names.port_number(host_port))
    yield from choice(f"{path}.protocol", port.get("protocol"), PROTOCOLS)


def host_port_conflicts(containers: list[Object], path: str) -> Iterator[Cause]:
    """Containers that run side by side can't have the same port of the host."""
    taken: set[str] = set()
    for number, container in enumerate(containers):
        for index, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                shown = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{port['hostPort']}"
                if shown in taken:
                    yield duplicate(f"{path}[{number}].ports[{index}].hostPort", shown)
                taken.add(shown)


def host_network_errors(containers: list[Object], path: str, *, is_template: bool) -> Iterator[Cause]:
    """On the host's network a port is the host's; a template may leave that to the pod's defaults."""
    for number, container in enumerate(containers):
        for index, port in enumerate(container.get("ports") or ()):
            host_port = port.get("hostPort") or 0
            if host_port != (port.get("containerPort") or 0) and (host_port or not is_template):
                where = f"{path}[{number}].ports[{index}].hostPort"
                yield invalid_value(where, host_port, "must match `containerPort` when `hostNetwork` is true")


def target_port_errors(port: Any, path: str) -> Iterator[Cause]:
    """An IntOrString port: a number in range, or a port's name."""
    if isinstance(port, str):
        yield from all_of(path, port, names.port_name(port))
    else:
        yield from all_of(path, port or 0, names.port_number(port or 0))
