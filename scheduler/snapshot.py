"""What one scheduling attempt decides on: the nodes as they are now, and the objects that the pod's spec names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from machinery.api.resource import Object
from machinery.api.selectors import LabelSelector
from machinery.api.views import Pod
from machinery.structs import Struct, replace
from scheduler.memo import Memo, Stamp
from scheduler.node_info import Marks, NodeFacts, NodeInfo
from scheduler.pod_info import PodInfo, Shapes


class Claim(Struct, frozen=True):
    """A PersistentVolumeClaim with what decides where its volume can be used."""

    obj: Object
    waits_for_consumer: bool = False
    """Its class binds it only when a pod that uses it has a node."""
    volume: Object | None = None
    """The PersistentVolume that it is bound to."""
    storage_class: Object | None = None

    @property
    def is_bound(self) -> bool:
        return bool(self.obj["spec"].get("volumeName")) and self.obj.get("status", {}).get("phase") == "Bound"


@dataclass(frozen=True)
class Snapshot:
    """Nodes by name; then by name or key what the pod's spec refers to, as far as it exists."""

    nodes: Mapping[str, NodeInfo] = field(default_factory=dict)
    marks: Marks = field(default_factory=Marks)
    """Which nodes have what few have, so that nobody need look through all of them for it."""
    claims: Mapping[str, Claim] = field(default_factory=dict)
    volumes: tuple[Object, ...] = ()
    """PersistentVolumes that an unbound claim of the pod could take."""
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels of every namespace, by which pods may be selected."""
    owner_selector: LabelSelector | None = None
    """Selects the pods of the pod's Services and owner, which are spread by default."""
    nominated: Mapping[str, tuple[PodInfo, ...]] = field(default_factory=dict)
    """Pods that wait for room made for them on a node."""
    nomination: str = ""
    """The node on which room was made for the pod itself."""
    budgets: tuple[Object, ...] = ()
    """PodDisruptionBudgets, for what is to be evicted."""
    turn: int = 0
    """Grows with every attempt: equally good nodes are taken in turns."""
    start: int = 0
    """Where the look over a large number of nodes begins."""
    stamp: Stamp | None = field(default=None, compare=False, repr=False)
    """Which of all states of the nodes this is, where that is known."""
    memo: Memo = field(default_factory=Memo, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        nodes: Iterable[Object],
        pods_on: Mapping[str, Iterable[Object]],
        claims: Mapping[str, Claim] | None = None,
    ) -> Snapshot:
        """Made from scratch; pods that have ended take nothing."""
        shapes = Shapes()
        infos = {}
        for obj in sorted(nodes, key=lambda node: str(node["metadata"]["name"])):
            node = NodeFacts(obj)
            there = [pod for pod in pods_on.get(node.name, ()) if not Pod(pod).is_finished]
            infos[node.name] = NodeInfo.of(node, map(shapes.info, there))
        return cls(infos, Marks.of(infos.values()), claims or {})

    def having(self, info: NodeInfo) -> Snapshot:
        """As it would be with this node in another state."""
        name = info.node.name
        stamp = self.stamp.having(name) if self.stamp is not None else None
        return replace(self, nodes={**self.nodes, name: info}, marks=self.marks.having(info), stamp=stamp)
