"""In whatever order nodes and pods come, change and go, the sums that are kept are those that a count anew gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from machinery.api.resource import Object
from scheduler.keys import PodKey
from scheduler.node_info import Marks, NodeFacts, NodeInfo
from scheduler.node_infos import NodeInfos
from scheduler.pod_info import Shapes

NODES = st.sampled_from(["a", "b", "c"])
PODS = st.integers(0, 5)
CPUS = st.sampled_from(["", "100m", "1"])
_NEAR = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}}


def node(name: str, cpu: str) -> Object:
    taints = [{"key": "k", "effect": "PreferNoSchedule"}] if cpu == "1" else []
    return {"metadata": {"name": name}, "spec": {"taints": taints}, "status": {"allocatable": {"cpu": cpu or "4"}}}


def pod(number: int, cpu: str, *, port: int, near: bool, node_name: str = "") -> Object:
    container: Object = {"name": "c", "resources": {"requests": {"cpu": cpu} if cpu else {}}}
    if port:
        container["ports"] = [{"containerPort": 80, "hostPort": port}]
    spec: Object = {"containers": [container], "affinity": _NEAR if near else {}}
    if node_name:
        spec["nodeName"] = node_name
    return {"metadata": {"name": f"p{number}", "namespace": "n", "uid": f"u{number}"}, "spec": spec}


def sums(info: NodeInfo) -> tuple[Any, ...]:
    return (
        info.node.obj, set(info.pods), dict(info.requested), info.non_zero, dict(info.ports), set(info.affine)
    )  # fmt: skip


class Infos(RuleBasedStateMachine):
    """`nodes` and `places` are the plain truth beside which the infos are held."""

    def __init__(self) -> None:
        super().__init__()
        self.infos = NodeInfos(Shapes())
        self.nodes: dict[str, Object] = {}
        self.places: dict[PodKey, tuple[str, Object]] = {}
        self.assumed: set[PodKey] = set()
        self.taken: list[tuple[Mapping[str, NodeInfo], dict[str, tuple[Any, ...]]]] = []

    @rule(name=NODES, cpu=CPUS)
    def a_node_comes_or_changes(self, name: str, cpu: str) -> None:
        self.nodes[name] = node(name, cpu)
        self.infos.put_node(self.nodes[name])

    @rule(name=NODES)
    def a_node_goes(self, name: str) -> None:
        self.nodes.pop(name, None)
        self.infos.remove_node(name)

    @rule(number=PODS, on=NODES, cpu=CPUS, port=st.integers(0, 2), near=st.booleans())
    def a_pod_is_seen(self, number: int, on: str, cpu: str, port: int, near: bool) -> None:
        seen = pod(number, cpu, port=port, near=near, node_name=on)
        key = PodKey("n", f"p{number}", f"u{number}")
        self.places[key] = (on, seen)
        self.assumed.discard(key)
        self.infos.put_pod(seen)

    @rule(number=PODS, on=NODES, cpu=CPUS)
    def a_pod_is_assumed(self, number: int, on: str, cpu: str) -> None:
        wanted = pod(number, cpu, port=0, near=False)
        info = Shapes().info(wanted)
        if info.key not in self.places:
            self.places[info.key] = (on, wanted)
            self.assumed.add(info.key)
        self.infos.assume(info, on)

    @precondition(lambda self: self.assumed)
    @rule(data=st.data())
    def an_assumed_pod_is_confirmed(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.assumed)))
        on, wanted = self.places[key]
        seen = {**wanted, "spec": {**wanted["spec"], "nodeName": on}}
        self.infos.put_pod(seen)
        self.places[key] = (on, seen)
        self.assumed.discard(key)

    @rule(number=PODS)
    def a_binding_fails(self, number: int) -> None:
        key = PodKey("n", f"p{number}", f"u{number}")
        self.infos.forget(key)
        if key in self.assumed:
            self.assumed.discard(key)
            del self.places[key]

    @rule(number=PODS)
    def a_pod_goes(self, number: int) -> None:
        key = PodKey("n", f"p{number}", f"u{number}")
        self.infos.remove_pod(key)
        self.places.pop(key, None)
        self.assumed.discard(key)

    @rule()
    def somebody_takes_a_view(self) -> None:
        view = self.infos.view()
        self.taken.append((view, {name: sums(info) for name, info in view.items()}))

    @invariant()
    def they_are_as_counted_anew(self) -> None:
        shapes = Shapes()
        found = {name: sums(info) for name, info in self.infos.view().items()}
        anew = {}
        for name, obj in self.nodes.items():
            there = [shapes.info(each) for on, each in self.places.values() if on == name]
            anew[name] = sums(NodeInfo.of(NodeFacts(obj), there))
        assert found == anew
        assert self.infos.marks == Marks.of(self.infos.view().values())
        assert {key for key in self.places if self.infos.is_assumed(key)} == self.assumed

    @invariant()
    def a_pod_is_on_one_node_at_most(self) -> None:
        there = [key for info in self.infos.view().values() for key in info.pods]
        assert len(there) == len(set(there))

    @invariant()
    def views_stay_as_they_were(self) -> None:
        for view, was in self.taken:
            assert {name: sums(info) for name, info in view.items()} == was


TestInfos = Infos.TestCase
TestInfos.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_what_changes_nothing_replaces_nothing() -> None:
    infos = NodeInfos(Shapes())
    infos.put_node(node("a", ""))
    infos.put_pod(pod(1, "1", port=0, near=False, node_name="a"))
    before = infos.view()["a"]
    beat = {**node("a", ""), "status": {"allocatable": {"cpu": "4"}, "conditions": [{"type": "Ready"}]}}
    infos.put_node(beat)
    running = pod(1, "1", port=0, near=False, node_name="a")
    infos.put_pod({**running, "status": {"phase": "Running"}})
    assert infos.view()["a"] is before


def test_an_assumed_pod_that_is_seen_where_it_was_expected_changes_nothing() -> None:
    infos, wanted = NodeInfos(shapes := Shapes()), pod(1, "1", port=0, near=False)
    infos.put_node(node("a", ""))
    infos.assume(shapes.info(wanted), "a")
    before = infos.view()["a"]
    infos.put_pod(pod(1, "1", port=0, near=False, node_name="a"))
    assert infos.view()["a"] is before
    assert not infos.is_assumed(PodKey("n", "p1", "u1"))


def test_what_can_not_be_read_counts_nowhere_and_harms_nothing() -> None:
    infos = NodeInfos(Shapes())
    infos.put_node(node("a", ""))
    infos.put_node(node("b", ""))
    infos.put_pod(pod(1, "1", port=0, near=False, node_name="a"))
    before = sums(infos.view()["a"])
    with pytest.raises(ValueError, match="quantities must match"):
        infos.put_pod(pod(2, "much", port=0, near=False, node_name="a"))
    with pytest.raises(ValueError, match="quantities must match"):
        infos.put_pod(pod(1, "much", port=0, near=False, node_name="a"))
    assert sums(infos.view()["a"]) == before
    with pytest.raises(ValueError, match="quantities must match"):
        infos.put_node(node("b", "much"))
    assert list(infos.view()) == ["a"]
    infos.put_node(node("b", "2"))
    assert list(infos.view()) == ["a", "b"]
