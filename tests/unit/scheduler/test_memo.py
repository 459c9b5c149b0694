"""What is remembered of nodes is what would be found out anew, whatever came, went and was only supposed meanwhile."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from machinery.api.resource import Object
from machinery.api.resources import NODES, PODS
from machinery.client.cache import Change
from machinery.structs import replace
from scheduler.cluster import Cluster
from scheduler.framework import Plugin, Profile, Refusal
from scheduler.memo import ChangeLog, Memo, Stamp
from scheduler.node_info import NodeInfo
from scheduler.plugins.node_affinity import NODE_AFFINITY
from scheduler.pod_info import PodInfo
from scheduler.schedule import schedule
from tests.unit.scheduler.builders import HOST, PREFERRED, REQUIRED, ZONE, away, near, node, pod, spread, term
from tests.unit.scheduler.test_reference import Nothing

TO_B = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}
NAMES_B = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [TO_B]}}}
SHAPES: list[dict[str, Any]] = [
    {},
    {"cpu": "900m"},
    {"affinity": near("web", ZONE)},
    {"affinity": away("web", HOST)},
    {"affinity": {"podAntiAffinity": {PREFERRED: [{"weight": 9, "podAffinityTerm": term("web", HOST)}]}}},
    {"topologySpreadConstraints": [spread("web", ZONE)]},
    {"topologySpreadConstraints": [{**spread("web", HOST), "whenUnsatisfiable": "ScheduleAnyway"}]},
    {"affinity": NAMES_B},
]
NAMES = st.sampled_from("abcd")
STEPS = st.one_of(
    st.tuples(st.just("node"), NAMES, st.sampled_from(["", "1", "2"]), st.booleans()),
    st.tuples(st.just("no node"), NAMES),
    st.tuples(st.just("pod"), st.integers(0, len(SHAPES) - 1)),
    st.tuples(st.just("no pod"), st.integers(0, 9)),
    st.tuples(st.just("suppose"), NAMES, st.integers(0, len(SHAPES) - 1)),
)


class World:
    """A cluster with the memory that it has, and its nodes and pods as they are told of."""

    def __init__(self) -> None:
        self.cluster = Cluster(Nothing())
        self.nodes: dict[str, Object] = {}
        self.pods: dict[str, Object] = {}
        self.count = 0

    def do(self, what: str, *said: Any) -> None:
        match what, said:
            case "node", (name, zone, is_tainted):
                spec = {"taints": [{"key": "k", "effect": "NoSchedule"}]} if is_tainted else {}
                before, self.nodes[name] = self.nodes.get(name), node(name, zone=zone, cpu="2", pods="4", **spec)
                self.cluster.see(Change(NODES, before, self.nodes[name]))
            case "no node", (name,):
                if (gone := self.nodes.pop(name, None)) is not None:
                    self.cluster.see(Change(NODES, gone, None))
            case "no pod", (number,):
                if self.pods:
                    gone = self.pods.pop(list(self.pods)[number % len(self.pods)])
                    self.cluster.see(Change(PODS, gone, None))
            case "suppose", (name, shape):
                self.suppose(name, self.info(shape))
            case "pod", (shape,):
                self.schedule(shape)

    def info(self, shape: int) -> PodInfo:
        self.count += 1
        return self.cluster.shapes.info(pod(f"p{self.count}", app="web", **SHAPES[shape]))

    def suppose(self, name: str, wanted: PodInfo) -> None:
        """As preemption asks: what if this pod were there too?"""
        snapshot = self.cluster.snapshot(wanted)
        if name in snapshot.nodes:
            info = snapshot.nodes[name]
            supposed = snapshot.having(info.plus(self.info(4), info.generation))
            assert schedule(wanted, supposed) == schedule(wanted, replace(supposed, memo=Memo()))

    def schedule(self, shape: int) -> None:
        wanted = self.info(shape)
        snapshot = self.cluster.snapshot(wanted)
        decision = schedule(wanted, snapshot)
        assert decision == schedule(wanted, replace(snapshot, memo=Memo()))
        if decision.node:
            bound = pod(wanted.key.name, app="web", **SHAPES[shape])
            bound["spec"]["nodeName"] = decision.node
            self.pods[wanted.key.name] = bound
            self.cluster.infos.assume(wanted, decision.node)
            self.cluster.see(Change(PODS, None, bound))

    def overcommitted(self) -> list[str]:
        return [
            name
            for name, info in self.cluster.infos.view().items()
            if any(amount > info.node.allocatable.get(what, 0) for what, amount in info.requested.items())
            or len(info.pods) > info.node.allocatable["pods"]
        ]


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_a_memory_says_what_a_fresh_look_says(steps: list[tuple[Any, ...]]) -> None:
    world = World()
    for name in "abc":
        world.do("node", name, "1", False)
    for step in steps:
        world.do(*step)
        assert world.overcommitted() == []


def test_what_changed_long_ago_is_no_longer_known() -> None:
    log = ChangeLog()
    first = Stamp(log, log.version)
    for number in range(9000):
        log.note(f"n{number}")
    last = Stamp(log, log.version)
    assert last.differing(first) is None
    assert last.differing(Stamp(ChangeLog(), 9000)) is None
    assert last.differing(Stamp(log, 8998)) == ["n8998", "n8999"]
    assert Stamp(log, 8998).differing(last) == ["n8998", "n8999"]
    assert last.having("x").differing(last.having("y")) == {"x", "y"}


def test_of_a_pod_that_names_its_node_no_other_node_is_asked() -> None:
    asked: list[str] = []

    def ask(state: Any, pod: PodInfo, info: NodeInfo) -> Refusal | None:
        asked.append(info.node.name)
        return None

    profile = Profile("p", (NODE_AFFINITY, Plugin("Asking", filter=ask, is_local=True)), ())
    world = World()
    for name in "abc":
        world.do("node", name, "", False)
    info = world.cluster.shapes.info(pod("x", affinity=NAMES_B))
    assert schedule(info, world.cluster.snapshot(info), profile).node == "b"
    assert asked == ["b"]
