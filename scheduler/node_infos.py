"""The NodeInfo of every node, kept up by what happens to nodes and pods instead of being made anew for each attempt.

A pod counts exactly once: from the moment it is assumed to be on a node, or is seen there, until it is gone, has
ended or is forgotten. Pods may be seen before their node is, and outlive it here.
"""

from __future__ import annotations

from collections.abc import Mapping

from machinery.api.resource import Object
from machinery.structs import Struct
from scheduler.keys import PodKey
from scheduler.memo import ChangeLog, Stamp
from scheduler.node_info import Marks, NodeFacts, NodeInfo
from scheduler.pod_info import PodInfo, Shapes


class _Place(Struct, frozen=True):
    node: str
    pod: PodInfo
    is_assumed: bool


class NodeInfos:
    """`view` is what an attempt decides on; every change replaces values, so a view that was taken stays as it was."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._infos: dict[str, NodeInfo] = {}
        self._homeless: dict[str, dict[PodKey, PodInfo]] = {}
        self._places: dict[PodKey, _Place] = {}
        self._generation = 0
        self._log = ChangeLog()
        self._view: dict[str, NodeInfo] | None = None
        self.marks = Marks()

    @property
    def generation(self) -> int:
        """Grows with every change of any node."""
        return self._generation

    def view(self) -> Mapping[str, NodeInfo]:
        """Nodes by name, in the order in which they came."""
        if self._view is None:
            self._view = dict(self._infos)
        return self._view

    @property
    def stamp(self) -> Stamp:
        """Which state `view` gives."""
        return Stamp(self._log, self._log.version)

    def put_node(self, obj: Object) -> None:
        """A node that can't be read counts as one that is not there; what is wrong with it is raised."""
        name = obj["metadata"]["name"]
        info = self._infos.get(name)
        if info is not None and info.node.as_read(obj):
            return
        try:
            facts = NodeFacts(obj).parsed()
        except (ValueError, KeyError, TypeError, AttributeError):
            self.remove_node(name)
            raise
        if info is None:
            pods = self._homeless.pop(name, {})
            self._set(name, NodeInfo.of(facts, pods.values(), self._next()))
        else:
            self._set(name, info.on(facts, self._next()))

    def remove_node(self, name: str) -> None:
        info = self._infos.pop(name, None)
        if info is None:
            return
        self._next()
        self._log.note(name)
        self._view = None
        self.marks = self.marks.without(name)
        if info.pods:
            self._homeless[name] = dict(info.pods)

    def put_pod(self, obj: Object) -> None:
        """A pod that is seen on its node: new, changed, or one that was assumed to be there, and is.

        What is wrong with one that can't be read is raised, and nothing is changed.
        """
        pod = self._shapes.info(obj)
        self._place(pod.key, _Place(obj["spec"]["nodeName"], pod, is_assumed=False))

    def assume(self, pod: PodInfo, node: str) -> None:
        """Counts the pod on the node from now on, until it is seen or forgotten."""
        if pod.key not in self._places:
            self._place(pod.key, _Place(node, pod, is_assumed=True))

    def forget(self, key: PodKey) -> None:
        """The binding of an assumed pod failed; one that was seen on a node stays."""
        place = self._places.get(key)
        if place is not None and place.is_assumed:
            self.remove_pod(key)

    def remove_pod(self, key: PodKey) -> None:
        """The pod is gone or has ended; nothing where it was on no node."""
        place = self._places.pop(key, None)
        if place is not None:
            self._take(place)

    def is_placed(self, key: PodKey) -> bool:
        return key in self._places

    def is_assumed(self, key: PodKey) -> bool:
        place = self._places.get(key)
        return place is not None and place.is_assumed

    def _place(self, key: PodKey, place: _Place) -> None:
        before = self._places.get(key)
        if before is not None:
            if before.node == place.node and before.pod == place.pod:
                self._places[key] = place
                return
            self._take(before)
        self._places[key] = place
        info = self._infos.get(place.node)
        if info is not None:
            self._set(place.node, info.plus(place.pod, self._next()))
        else:
            self._homeless.setdefault(place.node, {})[key] = place.pod

    def _take(self, place: _Place) -> None:
        info = self._infos.get(place.node)
        if info is not None:
            self._set(place.node, info.minus(place.pod, self._next()))
            return
        there = self._homeless[place.node]
        del there[place.pod.key]
        if not there:
            del self._homeless[place.node]

    def _set(self, name: str, info: NodeInfo) -> None:
        self._infos[name] = info
        self._log.note(name)
        self._view = None
        self.marks = self.marks.having(info)

    def _next(self) -> int:
        self._generation += 1
        return self._generation
