"""A node with the pods on it and what they take: a value, replaced as a whole when anything changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from machinery.api.host_ports import Port
from machinery.api.resource import Object
from machinery.api.views import Node
from machinery.structs import Struct, field, replace
from scheduler.keys import PodKey
from scheduler.pod_info import PodInfo, amounts


class NodeFacts(Struct, frozen=True, eq=False, dict=True):
    """What of a Node object decides about pods, parsed once for each of its states."""

    obj: Object

    @cached_property
    def name(self) -> str:
        return Node(self.obj).name

    @cached_property
    def labels(self) -> Mapping[str, str]:
        return Node(self.obj).labels

    @cached_property
    def unschedulable(self) -> bool:
        return Node(self.obj).unschedulable

    @cached_property
    def taints(self) -> list[Object]:
        """Those that forbid: NoSchedule and NoExecute."""
        return [taint for taint in Node(self.obj).taints if taint.get("effect") in ("NoSchedule", "NoExecute")]

    @cached_property
    def soft_taints(self) -> list[Object]:
        return [taint for taint in Node(self.obj).taints if taint.get("effect") == "PreferNoSchedule"]

    @cached_property
    def allocatable(self) -> Mapping[str, int]:
        return amounts(Node(self.obj).allocatable)

    @cached_property
    def image_sizes(self) -> Mapping[str, int]:
        return {name: image.get("sizeBytes", 0) for image in Node(self.obj).images for name in image.get("names") or ()}

    def parsed(self) -> NodeFacts:
        """Itself, once it is known that all of it can be read; raises what is wrong."""
        _ = (
            self.name,
            self.labels,
            self.unschedulable,
            self.taints,
            self.soft_taints,
            self.allocatable,
            self.image_sizes,
        )
        return self

    def as_read(self, obj: Object) -> bool:
        """Whether `obj` differs in nothing that scheduling looks at: a heartbeat is no change."""
        return _decides(self.obj) == _decides(obj)


def _decides(node: Object) -> tuple[object, ...]:
    status = node.get("status") or {}
    return node.get("spec"), node["metadata"].get("labels"), status.get("allocatable"), status.get("images")


class NodeInfo(Struct, frozen=True, eq=False):
    """The sums are kept, not counted anew; `generation` grows with every replacement."""

    node: NodeFacts
    pods: Mapping[PodKey, PodInfo] = field(default_factory=dict)
    requested: Mapping[str, int] = field(default_factory=dict)
    non_zero: tuple[int, int] = (0, 0)
    ports: Mapping[Port, int] = field(default_factory=dict)
    """How many pods take each host port."""
    affine: Mapping[PodKey, PodInfo] = field(default_factory=dict)
    """The pods that name others to be near to or away from."""
    generation: int = 0

    @classmethod
    def of(cls, node: NodeFacts, pods: Iterable[PodInfo] = (), generation: int = 0) -> NodeInfo:
        info = cls(node, generation=generation)
        for pod in pods:
            info = info.plus(pod, generation)
        return info

    def on(self, node: NodeFacts, generation: int) -> NodeInfo:
        return replace(self, node=node, generation=generation)

    def plus(self, pod: PodInfo, generation: int) -> NodeInfo:
        """With one pod more, which is not there yet."""
        shape = pod.shape
        return NodeInfo(
            self.node,
            {**self.pods, pod.key: pod},
            _sum(self.requested, shape.requests, 1),
            (self.non_zero[0] + shape.non_zero[0], self.non_zero[1] + shape.non_zero[1]),
            _sum(self.ports, dict.fromkeys(shape.ports, 1), 1) if shape.ports else self.ports,
            {**self.affine, pod.key: pod} if shape.has_pod_affinity else self.affine,
            generation,
        )

    def minus(self, pod: PodInfo, generation: int) -> NodeInfo:
        """Without a pod that is there."""
        shape = pod.shape
        return NodeInfo(
            self.node,
            _without(self.pods, pod.key),
            _sum(self.requested, shape.requests, -1),
            (self.non_zero[0] - shape.non_zero[0], self.non_zero[1] - shape.non_zero[1]),
            _sum(self.ports, dict.fromkeys(shape.ports, 1), -1) if shape.ports else self.ports,
            _without(self.affine, pod.key) if shape.has_pod_affinity else self.affine,
            generation,
        )


def _sum(total: Mapping[Port, int] | Mapping[str, int], more: Mapping, sign: int) -> dict:  # type: ignore[type-arg]
    found = dict(total)
    for name, value in more.items():
        found[name] = found.get(name, 0) + sign * value
        if not found[name]:
            del found[name]
    return found


def _without(pods: Mapping[PodKey, PodInfo], key: PodKey) -> dict[PodKey, PodInfo]:
    return {other: pod for other, pod in pods.items() if other != key}


class Marks(Struct, frozen=True):
    """The names of nodes that have what few have."""

    affine: frozenset[str] = frozenset()
    """Pods that name other pods."""
    soft_tainted: frozenset[str] = frozenset()
    imaged: frozenset[str] = frozenset()
    """Any images that are known."""

    @classmethod
    def of(cls, infos: Iterable[NodeInfo]) -> Marks:
        marks = cls()
        for info in infos:
            marks = marks.having(info)
        return marks

    def having(self, info: NodeInfo) -> Marks:
        name = info.node.name
        is_affine, is_tainted, is_imaged = bool(info.affine), bool(info.node.soft_taints), bool(info.node.image_sizes)
        if (is_affine, is_tainted, is_imaged) == (name in self.affine, name in self.soft_tainted, name in self.imaged):
            return self
        return Marks(
            _put(self.affine, name, there=is_affine),
            _put(self.soft_tainted, name, there=is_tainted),
            _put(self.imaged, name, there=is_imaged),
        )

    def without(self, name: str) -> Marks:
        return Marks(self.affine - {name}, self.soft_tainted - {name}, self.imaged - {name})


def _put(names: frozenset[str], name: str, *, there: bool) -> frozenset[str]:
    return names | {name} if there else names - {name}
