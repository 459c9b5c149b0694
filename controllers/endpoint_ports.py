"""The ports of endpoints: a Service's target ports as a pod has them, and the order in which upstream writes them.

Upstream sorts by a hash of a Go value's text; the same text and hash here give the same order (`kubectl get
endpointslices` shows it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeVar

from machinery.api.resource import Object
from machinery.api.views import Pod, Service

T = TypeVar("T")
PortsKey = tuple[tuple[str, int | None, str, str | None], ...]


def target_port(pod: Pod, port: Object) -> int | None:
    """The number that `targetPort` means in this pod; None where no container has a port of that name."""
    target, protocol = port.get("targetPort"), port.get("protocol") or "TCP"
    number: int
    if not isinstance(target, str):
        number = target or port["port"]
        return number
    sidecars = (each for each in pod.init_containers if each.get("restartPolicy") == "Always")
    for container in (*pod.containers, *sidecars):
        for found in container.get("ports") or ():
            if found.get("name") == target and (found.get("protocol") or "TCP") == protocol:
                number = found["containerPort"]
                return number
    return None


def pod_ports(service: Service, pod: Pod) -> list[Object]:
    """The EndpointPorts of a pod, in upstream's order; those that it lacks are left out."""
    found = []
    for port in service.ports:
        number = target_port(pod, port)
        if number is not None:
            found.append(slice_port({**port, "port": number}))
    return sorted_ports(found)


def slice_port(port: Object) -> Object:
    """The port as EndpointSlices write it."""
    made: Object = {"name": port.get("name") or "", "port": port["port"], "protocol": port.get("protocol") or "TCP"}
    if port.get("appProtocol") is not None:
        made["appProtocol"] = port["appProtocol"]
    return made


def ports_key(ports: Iterable[Object]) -> PortsKey:
    """Equal for ports that are the same in any order."""
    keys = [
        (port.get("name") or "", port.get("port"), port.get("protocol") or "TCP", port.get("appProtocol"))
        for port in ports
    ]
    return tuple(sorted(keys, key=repr))


def sorted_ports(ports: Iterable[Object]) -> list[Object]:
    def text(port: Object) -> str:
        return (
            f"(v1.EndpointPort){{Name:(*string){port['name']} Protocol:(*v1.Protocol){port['protocol']} "
            f"Port:(*int32){port['port']} AppProtocol:(*string){go_optional(port.get('appProtocol'))}}}"
        )

    return by_hash(ports, text)


def go_optional(value: str | None) -> str:
    return "<nil>" if value is None else value


def by_hash(items: Iterable[T], text: Callable[[T], str]) -> list[T]:
    """Sorted by the hash of their texts; one alone, as mostly, needs none."""
    found = list(items)
    return sorted(found, key=lambda item: fnv128a(text(item))) if len(found) > 1 else found


@lru_cache(maxsize=1024)
def fnv128a(text: str) -> int:
    """FNV-1a of 128 bits."""
    digest = 0x6C62272E07BB014262B821756295C58D
    for byte in text.encode():
        digest = (digest ^ byte) * 0x1000000000000000000013B & (1 << 128) - 1
    return digest
