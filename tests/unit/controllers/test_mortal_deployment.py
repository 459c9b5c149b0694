"""Deployments whose controller, and that of their ReplicaSets, die between any two actions, in any order of passes."""

from __future__ import annotations

from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.deployment import DEPLOYMENT
from controllers.plan import Key
from controllers.replicaset import REPLICA_SET
from controllers.rollout import DESIRED, bounds
from machinery.api.resource import Object
from machinery.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from machinery.api.views import Deployment, ReplicaSet
from tests.mortal_controller import House, Mortal
from tests.played_pods import PlayedPods

SHARES = st.sampled_from([0, 1, 2, "25%", "50%"])


class World:
    """One Deployment, its sets and their pods."""

    def __init__(self, house: House, namespace: str) -> None:
        self.client = house.client
        self.cache = house.server.cache
        self.namespace = namespace
        self.pods = PlayedPods(house.server, house.client, namespace)
        self._deployments = Mortal(house.server, DEPLOYMENT)
        self._sets = Mortal(house.server, REPLICA_SET)
        self.key = Key(namespace, "d")

    async def create(self, replicas: int, strategy: Object) -> None:
        template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"selector": {"matchLabels": {"app": "x"}}, "template": template, "strategy": strategy}
        wanted = {"metadata": {"name": "d"}, "spec": {**spec, "replicas": replicas, "revisionHistoryLimit": 1}}
        await self.client.create(DEPLOYMENTS, wanted, self.namespace)

    @property
    def found(self) -> Deployment:
        obj = self.cache.get(DEPLOYMENTS, self.namespace, "d")
        assert obj is not None
        return Deployment(obj)

    def sets(self) -> list[ReplicaSet]:
        return list(map(ReplicaSet, self.cache.list(REPLICA_SETS, self.namespace)))

    def available(self) -> int:
        return sum(pod.is_ready and not pod.deleted for pod in self.pods.all())

    def promised(self) -> int:
        """The available pods that no set has been told to take away."""
        pods = [pod for pod in self.pods.all() if pod.is_ready and not pod.deleted]
        owners = [(pod.controller or {}).get("uid") for pod in pods]
        return sum(min(each.replicas, owners.count(each.uid)) for each in self.sets())

    def is_resized(self) -> bool:
        """Whether the next step is to share out another size: by what sets have, be it available or not."""
        wanted = str(self.found.replicas)
        return any(each.replicas and each.annotations.get(DESIRED) != wanted for each in self.sets())

    def size(self) -> int:
        return sum(each.replicas for each in self.sets())

    async def roll(self, dies_after: int | None = None) -> None:
        await self._deployments.look(self.key, dies_after)

    async def roll_while(self, data: st.DataObject) -> None:
        """A pass in the middle of which something happens."""
        await self._deployments.look(self.key, meanwhile=(data.draw(st.integers(0, 2)), partial(self.befall, data)))

    async def tend_sets(self) -> None:
        for each in self.sets():
            await self.tend(each.name)

    async def tend(self, name: str, dies_after: int | None = None) -> None:
        await self._sets.look(Key(self.namespace, name), dies_after)

    async def change(self, spec: Object) -> None:
        await self.client.patch(DEPLOYMENTS, "d", {"spec": spec}, self.namespace)

    async def settle(self) -> None:
        await self._deployments.at_rest(self.key, self.tend_sets, self.pods.play)

    async def pass_by(self, data: st.DataObject) -> None:
        """A pass of one of both controllers, to its end or not."""
        names = sorted(each.name for each in self.sets())
        dies_after = data.draw(st.none() | st.integers(0, 4))
        name = data.draw(st.sampled_from(["", "", "", *names]))
        if name:
            await self.tend(name, dies_after)
        else:
            await self.roll(dies_after)

    async def befall(self, data: st.DataObject) -> None:
        """A move of the user or of the node; pods here get ready one after the other and stay so until they go."""
        move = data.draw(st.sampled_from(["run", "run", "run", "remove", "image", "scale", "pause", "fail", "nothing"]))
        if move == "image":
            image = data.draw(st.sampled_from(["i", "j", "k"]))
            await self.change({"template": {"spec": {"containers": [{"name": "c", "image": image}]}}})
        elif move == "scale":
            await self.change({"replicas": data.draw(st.integers(0, 6))})
        elif move == "pause":
            await self.change({"paused": data.draw(st.booleans())})
        else:
            await self._befall_pods(move, data)

    async def _befall_pods(self, move: str, data: st.DataObject) -> None:
        pods = self.pods.all()
        if move == "remove":
            for pod in pods:
                if pod.deleted:
                    await self.pods.remove(pod)
        elif move == "run":
            waiting = [pod for pod in pods if not pod.deleted and pod.phase == "Pending"]
            if waiting:
                await self.pods.run(data.draw(st.sampled_from(waiting)))
                # A set whose status does not tell of it is broken to the eyes of its Deployment, and goes first.
                await self.tend_sets()
        elif move == "fail":
            waiting = [pod for pod in pods if not pod.deleted and pod.phase == "Pending"]
            if waiting:
                await self.client.delete(PODS, data.draw(st.sampled_from(waiting)).name, self.namespace)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_death_is_repaired_within_the_bounds(house: House, data: st.DataObject) -> None:
    house.run(_any_death_is_repaired_within_the_bounds(house, data))


async def _any_death_is_repaired_within_the_bounds(house: House, data: st.DataObject) -> None:
    world = World(house, await house.namespace())
    rolling = {"maxSurge": data.draw(SHARES), "maxUnavailable": data.draw(SHARES)}
    if rolling["maxSurge"] == rolling["maxUnavailable"] == 0:
        rolling["maxSurge"] = 1
    await world.create(data.draw(st.integers(0, 6)), {"type": "RollingUpdate", "rollingUpdate": rolling})
    if data.draw(st.booleans()):
        await world.settle()
    for _ in range(data.draw(st.integers(1, 20))):
        if data.draw(st.integers(0, 3)):
            promised, size, is_resized = world.promised(), world.size(), world.is_resized()
            await world.pass_by(data)
            if not is_resized:
                _assert_bounds(world, promised, size)
        else:
            await world.roll_while(data)
        await world.befall(data)
    await world.change({"paused": False})
    await world.settle()
    _assert_converged(world)


def _assert_bounds(world: World, promised: int, size: int) -> None:
    """The law: no pass takes below what must be available, or lets grow beyond the surge."""
    found = world.found
    surge, unavailable = bounds(found)
    assert world.promised() >= min(promised, found.replicas - unavailable)
    assert world.available() >= min(promised, found.replicas - unavailable)
    assert world.size() <= max(size, found.replicas + surge)


def _assert_converged(world: World) -> None:
    found, pods = world.found, world.pods.all()
    assert len(pods) == found.replicas
    images = {pod.containers[0]["image"] for pod in pods}
    assert images <= {found.template["spec"]["containers"][0]["image"]}
    status = found.obj["status"]
    for count in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"):
        assert status.get(count, 0) == found.replicas
    assert (status["observedGeneration"], status.get("unavailableReplicas", 0)) == (found.generation, 0)
    assert len([each for each in world.sets() if not each.replicas]) <= 1 + (found.replicas == 0)
