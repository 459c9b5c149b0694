"""DaemonSets under a controller that dies between any two actions, on nodes that come, go and are tainted."""

from __future__ import annotations

from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.daemonset import daemon_sets
from controllers.daemonset_nodes import Wants, demand, node_of
from controllers.daemonset_rollout import bounds
from controllers.history import POD_LABEL
from controllers.plan import Key
from machinery.api.resource import Object
from machinery.api.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from machinery.api.views import ControllerRevision, DaemonSet, Node, Pod
from tests.mortal_controller import House, Mortal
from tests.played_pods import PlayedPods

KEPT = 2
TAINTS = {"key": "example.com/mine", "value": "x"}


class World:
    """One DaemonSet, its nodes, and whatever befalls them."""

    def __init__(self, house: House, namespace: str) -> None:
        self.client = house.client
        self.cache = house.server.cache
        self.namespace = namespace
        self.pods = PlayedPods(house.server, house.client, namespace)
        self._nodes = 0

    async def create(self, strategy: Object) -> None:
        template = {
            "metadata": {"labels": {"app": "x"}},
            "spec": {"containers": [{"name": "c", "image": "i"}], "nodeSelector": {"example": self.namespace}},
        }
        spec = {"selector": {"matchLabels": {"app": "x"}}, "template": template, "updateStrategy": strategy}
        wanted = {"metadata": {"name": "d"}, "spec": {**spec, "revisionHistoryLimit": KEPT}}
        await self.client.create(DAEMON_SETS, wanted, self.namespace)

    @property
    def found(self) -> DaemonSet:
        obj = self.cache.get(DAEMON_SETS, self.namespace, "d")
        assert obj is not None
        return DaemonSet(obj)

    def nodes(self) -> list[Node]:
        return [node for node in map(Node, self.cache.list(NODES)) if node.name.startswith(f"{self.namespace}-")]

    def wanted(self) -> set[str]:
        wants = demand(self.found)
        return {node.name for node in self.nodes() if wants(node) is Wants.A_POD}

    def served(self) -> set[str]:
        """Nodes that want a pod and have one that is available."""
        available = {pod.node_name for pod in self.pods.all() if pod.is_ready and not pod.deleted}
        return self.wanted() & available

    async def add_node(self) -> None:
        self._nodes += 1
        metadata = {"name": f"{self.namespace}-{self._nodes}", "labels": {"example": self.namespace}}
        await self.client.create(NODES, {"metadata": metadata})

    async def remove_nodes(self) -> None:
        for node in self.nodes():
            await self.client.delete(NODES, node.name)

    async def schedule(self) -> None:
        """Binds what has a node, and removes what has lost its own: the scheduler and the pods' garbage collector."""
        there = {node.name for node in self.nodes()}
        for pod in self.pods.all():
            if pod.node_name and pod.node_name not in there:
                await self.pods.remove(pod)
            elif not pod.node_name and node_of(pod) in there and not pod.deleted:
                await self.pods.bind(pod, node_of(pod))

    async def use_image(self, image: str) -> None:
        template = {"spec": {"containers": [{"name": "c", "image": image}]}}
        await self.client.patch(DAEMON_SETS, "d", {"spec": {"template": template}}, self.namespace)

    async def befall(self, data: st.DataObject) -> None:
        """One move of the user, of a node or of a pod."""
        moves = ["image", "image", "add", "schedule", "settle", "settle", "nothing"]
        nodes, pods = self.nodes(), self.pods.all()
        moves += ["taint", "label", "remove"] if nodes else []
        move = data.draw(st.sampled_from([*moves, *["pod"] * len(moves)] if pods else moves))
        if move == "image":
            await self.use_image(data.draw(st.sampled_from(["i", "j", "k"])))
        elif move == "add" and len(nodes) < 4:
            await self.add_node()
        elif move == "schedule":
            await self.schedule()
        elif move == "settle":
            await self.schedule()
            await self.pods.play()
        elif move == "pod":
            await self._befall_pod(data)
        elif move in ("taint", "label", "remove"):
            await self._befall_node(data.draw(st.sampled_from(nodes)).name, move, data)

    async def _befall_node(self, node: str, move: str, data: st.DataObject) -> None:
        if move == "remove":
            await self.client.delete(NODES, node)
        elif move == "label":
            labels = {"example": data.draw(st.sampled_from([self.namespace, "another"]))}
            await self.client.patch(NODES, node, {"metadata": {"labels": labels}})
        else:
            effect = data.draw(st.sampled_from([None, "NoSchedule", "NoExecute"]))
            taints = [{**TAINTS, "effect": effect}] if effect else None
            await self.client.patch(NODES, node, {"spec": {"taints": taints}})

    async def _befall_pod(self, data: st.DataObject) -> None:
        pod = data.draw(st.sampled_from(self.pods.all()))
        if pod.deleted:
            await self.pods.remove(pod)
            return
        move = data.draw(st.sampled_from(["run", "run", "run", "unready", "fail", "succeed", "delete"]))
        if move == "delete":
            await self.client.delete(PODS, pod.name, self.namespace)
        elif not pod.node_name or pod.is_finished:
            return
        elif move in ("fail", "succeed"):
            await self.pods.end(pod, "Failed" if move == "fail" else "Succeeded")
        else:
            await self.pods.run(pod, ready=move == "run")


STRATEGIES: list[Any] = [
    {"type": "OnDelete"},
    {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
    {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%", "maxSurge": 0}},
    {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
    {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "50%"}},
]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_death_is_repaired_and_nodes_stay_served(house: House, data: st.DataObject) -> None:
    house.run(_any_death_is_repaired_and_nodes_stay_served(house, data))


async def _any_death_is_repaired_and_nodes_stay_served(house: House, data: st.DataObject) -> None:
    world = World(house, await house.namespace())
    await world.create(data.draw(st.sampled_from(STRATEGIES)))
    for _ in range(data.draw(st.integers(0, 4))):
        await world.add_node()
    controller, key = Mortal(house.server, daemon_sets()), Key(world.namespace, "d")
    if data.draw(st.booleans()):
        await controller.at_rest(key, world.schedule, world.pods.play)
    for _ in range(data.draw(st.integers(1, 15))):
        if data.draw(st.booleans()):
            before = world.served()
            await controller.look(key, data.draw(st.none() | st.integers(0, 6)))
            _assert_served(world, before)
        else:
            await controller.look(key, meanwhile=(data.draw(st.integers(0, 3)), partial(world.befall, data)))
        await world.befall(data)
    # A pod that has failed again and again is waited for.
    controller.clock.time = controller.clock.time.replace(year=controller.clock.time.year + 1)
    await controller.at_rest(key, world.schedule, world.pods.play)
    _assert_converged(world)
    await world.remove_nodes()


def _assert_served(world: World, before: set[str]) -> None:
    """The law: a pass takes no more nodes out of service than may be, and none where too many are already."""
    after, wanted = world.served(), len(world.wanted())
    _, unavailable = bounds(world.found, wanted)
    assert len(after) >= min(len(before), wanted - unavailable)


def _assert_converged(world: World) -> None:
    found, pods = world.found, world.pods.all()
    taken = sorted(pod.node_name for pod in pods)
    assert len(set(taken)) == len(taken)
    assert world.wanted() <= set(taken) <= {node.name for node in world.nodes()}
    wants = demand(found)
    for node in world.nodes():
        assert wants(node) is not Wants.NO_POD or node.name not in taken
    status = found.obj["status"]
    misscheduled = len(set(taken) - world.wanted())
    assert (status["desiredNumberScheduled"], status["numberMisscheduled"]) == (len(world.wanted()), misscheduled)
    assert status["currentNumberScheduled"] == status["numberReady"] == len(world.wanted())
    assert status.get("numberUnavailable", 0) == 0
    assert status["observedGeneration"] == found.generation
    _assert_revisions(world, pods)


def _assert_revisions(world: World, pods: list[Pod]) -> None:
    found = world.found
    revisions = list(map(ControllerRevision, world.cache.list(CONTROLLER_REVISIONS, world.namespace)))
    newest = max(revisions, key=lambda each: each.revision)
    template = newest.data["spec"]["template"]
    assert {key: value for key, value in template.items() if key != "$patch"} == found.template
    assert len({each.revision for each in revisions}) == len(revisions)
    live = {pod.labels[POD_LABEL] for pod in pods}
    if found.strategy == "RollingUpdate":
        wanted = world.wanted()
        assert {pod.labels[POD_LABEL] for pod in pods if pod.node_name in wanted} <= {newest.labels[POD_LABEL]}
    old = [each for each in revisions if each.uid != newest.uid]
    assert len(old) <= KEPT + len([each for each in old if each.labels[POD_LABEL] in live])
