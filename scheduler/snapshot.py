"""What the scheduler decides on: each node with the pods on it and what is left, made once a scheduling attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from machinery.api import quantity
from machinery.api.resource import Object
from machinery.api.views import Node, Pod

MILLI_CPU, PODS = "cpu", "pods"


def requests(pod: Pod) -> dict[str, int]:
    """What the pod asks for: cpu in milli, all else in whole units; the larger of init containers and the rest.

    Restartable init containers (KEP-753) run beside the containers, and beside the init containers after them.
    """
    total: dict[str, int] = {}
    for container in pod.containers:
        _add(total, _of(container))
    running: dict[str, int] = {}
    most: dict[str, int] = {}
    for container in pod.init_containers:
        wanted = _of(container)
        if container.get("restartPolicy") == "Always":
            _add(total, wanted)
            _add(running, wanted)
            wanted = running
        else:
            wanted = {name: wanted.get(name, 0) + running.get(name, 0) for name in {*wanted, *running}}
        for name, value in wanted.items():
            most[name] = max(most.get(name, 0), value)
    for name, value in most.items():
        total[name] = max(total.get(name, 0), value)
    _add(total, amounts(pod.overhead))
    return total


def amounts(quantities: Mapping[str, str]) -> dict[str, int]:
    return {
        name: quantity.milli(str(value)) if name == MILLI_CPU else quantity.integer(str(value))
        for name, value in quantities.items()
    }


def _of(container: Object) -> dict[str, int]:
    return amounts((container.get("resources") or {}).get("requests") or {})


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def host_ports(pod: Pod) -> set[tuple[str, str, int]]:
    """(address, protocol, port) of every port that the pod takes on its node."""
    return {
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in pod.containers
        for port in container.get("ports") or []
        if port.get("hostPort")
    }


@dataclass(frozen=True)
class NodeInfo:
    node: Node
    pods: tuple[Pod, ...] = ()

    @cached_property
    def allocatable(self) -> dict[str, int]:
        return amounts(self.node.allocatable)

    @cached_property
    def requested(self) -> dict[str, int]:
        total: dict[str, int] = {}
        for pod in self.pods:
            _add(total, requests(pod))
        return total

    @cached_property
    def ports(self) -> frozenset[tuple[str, str, int]]:
        return frozenset(port for pod in self.pods for port in host_ports(pod))


@dataclass(frozen=True)
class Claim:
    """A PersistentVolumeClaim, and whether its class binds it only when a pod that uses it has a node."""

    obj: Object
    waits_for_consumer: bool = False

    @property
    def is_bound(self) -> bool:
        return bool(self.obj["spec"].get("volumeName")) and self.obj.get("status", {}).get("phase") == "Bound"


@dataclass(frozen=True)
class Snapshot:
    """Nodes by name, in order; and by name the claims of the pod that is to be scheduled, as far as they exist."""

    nodes: Mapping[str, NodeInfo] = field(default_factory=dict)
    claims: Mapping[str, Claim] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        nodes: Iterable[Object],
        pods_on: Mapping[str, Iterable[Object]],
        claims: Mapping[str, Claim] | None = None,
    ) -> Snapshot:
        """Pods that have ended take nothing."""
        infos = {}
        for obj in sorted(nodes, key=lambda node: str(node["metadata"]["name"])):
            node = Node(obj)
            there = tuple(pod for pod in map(Pod, pods_on.get(node.name, ())) if not pod.is_finished)
            infos[node.name] = NodeInfo(node, there)
        return cls(infos, claims or {})
