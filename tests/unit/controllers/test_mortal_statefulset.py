"""StatefulSets under a controller that dies between any two actions, whatever happens to their pods meanwhile."""

from __future__ import annotations

from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.history import POD_LABEL
from controllers.plan import Key
from controllers.statefulset import stateful_sets
from machinery.api.resource import Object
from machinery.api.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from machinery.api.views import ControllerRevision, StatefulSet, View
from machinery.client.cache import Change
from tests.mortal_controller import House, Mortal
from tests.played_pods import PlayedPods

KEPT = 1
"""The history limit of the sets here."""


def stateful_set(**spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    wanted = {"selector": {"matchLabels": {"app": "x"}}, "template": template, "revisionHistoryLimit": KEPT, **spec}
    return {"metadata": {"name": "s"}, "spec": wanted}


CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
POLICIES = st.sampled_from(["Retain", "Delete"])


class World:
    """One set and whatever befalls it; `made` collects pods that were made before their predecessors were up."""

    def __init__(self, house: House, namespace: str) -> None:
        self.client = house.client
        self.cache = house.server.cache
        self.namespace = namespace
        self.pods = PlayedPods(house.server, house.client, namespace)
        self.too_early: list[str] = []

    @property
    def found(self) -> StatefulSet:
        obj = self.cache.get(STATEFUL_SETS, self.namespace, "s")
        assert obj is not None
        return StatefulSet(obj)

    def watch_order(self, change: Change) -> None:
        """The law of OrderedReady: whoever is made has all its predecessors running and ready."""
        if change.before is not None or change.after is None or View(change.after).namespace != self.namespace:
            return
        name = View(change.after).name
        ready = {pod.name for pod in self.pods.all() if pod.phase == "Running" and pod.is_ready and not pod.deleted}
        ordinal = int(name.rpartition("-")[2])
        if not {f"s-{each}" for each in range(self.found.start, ordinal)} <= ready:
            self.too_early.append(name)

    async def change(self, spec: Object) -> None:
        await self.client.patch(STATEFUL_SETS, "s", {"spec": spec}, self.namespace)

    async def use_image(self, image: str) -> None:
        await self.change({"template": {"spec": {"containers": [{"name": "c", "image": image}]}}})

    async def collect(self) -> None:
        """The garbage collector and the protection of claims: what belongs to nobody any more goes."""
        uids = {self.found.uid, *(pod.uid for pod in self.pods.all())}
        for claim in map(View, self.cache.list(PERSISTENT_VOLUME_CLAIMS, self.namespace)):
            owners = {ref["uid"] for ref in claim.owner_references}
            if owners and not owners & uids:
                await self.client.patch(
                    PERSISTENT_VOLUME_CLAIMS, claim.name, {"metadata": {"finalizers": None}}, self.namespace
                )
                await self.client.delete(PERSISTENT_VOLUME_CLAIMS, claim.name, self.namespace)

    async def clean_up(self) -> None:
        """The user takes away what has ended beyond the replicas: of two such each waits for the other, as upstream."""
        found = self.found
        for pod in self.pods.all():
            ordinal = int(pod.name.rpartition("-")[2])
            if pod.is_finished and not found.start <= ordinal < found.start + found.replicas:
                await self.client.delete(PODS, pod.name, self.namespace, grace_period_seconds=0)

    async def befall(self, data: st.DataObject) -> None:
        """One move of the user or of the node."""
        moves = ["scale", "scale", "image", "image", "partition", "start", "retention", "strategy", "collect"]
        moves += ["settle", "settle", "settle", "nothing"]
        pods = self.pods.all()
        move = data.draw(st.sampled_from([*moves, *["pod"] * len(moves)] if pods else moves))
        if move == "pod":
            await self._befall_pod(data)
        elif move == "scale":
            await self.change({"replicas": data.draw(st.integers(0, 4))})
        elif move == "image":
            await self.use_image(data.draw(st.sampled_from(["i", "j", "k"])))
        elif move == "partition":
            rolling = {"partition": data.draw(st.integers(0, 3))}
            await self.change({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}})
        elif move == "start":
            await self.change({"ordinals": {"start": data.draw(st.integers(0, 2))}})
        elif move == "retention":
            policy = {"whenDeleted": data.draw(POLICIES), "whenScaled": data.draw(POLICIES)}
            await self.change({"persistentVolumeClaimRetentionPolicy": policy})
        elif move == "strategy":
            await self.change({"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}})
        elif move == "collect":
            await self.collect()
        elif move == "settle":
            await self.pods.play()

    async def _befall_pod(self, data: st.DataObject) -> None:
        pod = data.draw(st.sampled_from(self.pods.all()))
        if pod.deleted:
            await self.pods.remove(pod)
            return
        move = data.draw(st.sampled_from(["run", "run", "run", "unready", "fail", "succeed", "delete", "rename"]))
        if move == "delete":
            await self.client.delete(PODS, pod.name, self.namespace)
        elif move == "rename":
            labels = {"statefulset.kubernetes.io/pod-name": "another"}
            await self.client.patch(PODS, pod.name, {"metadata": {"labels": labels}}, self.namespace)
        elif pod.is_finished:
            return
        elif move in ("fail", "succeed"):
            await self.pods.end(pod, "Failed" if move == "fail" else "Succeeded")
        else:
            await self.pods.run(pod, ready=move == "run")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_death_is_repaired_and_order_is_kept(house: House, data: st.DataObject) -> None:
    house.run(_any_death_is_repaired_and_order_is_kept(house, data))


async def _any_death_is_repaired_and_order_is_kept(house: House, data: st.DataObject) -> None:
    world = World(house, await house.namespace())
    management = data.draw(st.sampled_from(["OrderedReady", "Parallel"]))
    claims = data.draw(st.sampled_from([[], [CLAIM]]))
    wanted = stateful_set(
        replicas=data.draw(st.integers(0, 4)), podManagementPolicy=management, volumeClaimTemplates=claims
    )
    await world.client.create(STATEFUL_SETS, wanted, world.namespace)
    feature = data.draw(st.booleans())
    controller, key = Mortal(house.server, stateful_sets(several_unavailable=feature)), Key(world.namespace, "s")
    end = house.server.cache.subscribe(PODS, world.watch_order)
    try:
        if data.draw(st.booleans()):
            await controller.at_rest(key, world.pods.play, world.collect)
        for _ in range(data.draw(st.integers(1, 15))):
            if data.draw(st.booleans()):
                await controller.look(key, data.draw(st.none() | st.integers(0, 7)))
            else:
                early = list(world.too_early)
                await controller.look(key, meanwhile=(data.draw(st.integers(0, 3)), partial(world.befall, data)))
                # Nobody knows what happens between a decision and what is done about it.
                world.too_early = early
            await world.befall(data)
        await controller.at_rest(key, world.pods.play, world.clean_up, world.collect)
    finally:
        end()
    if management == "OrderedReady":
        assert world.too_early == []
    _assert_converged(world)


def _assert_converged(world: World) -> None:
    found, pods = world.found, world.pods.all()
    ordinals = range(found.start, found.start + found.replicas)
    assert [pod.name for pod in pods] == [f"s-{each}" for each in ordinals]
    assert all(pod.labels["statefulset.kubernetes.io/pod-name"] == pod.name for pod in pods)
    status = found.obj["status"]
    assert (status["replicas"], status.get("readyReplicas", 0)) == (found.replicas, found.replicas)
    assert status["observedGeneration"] == found.generation
    _assert_revisions(world)
    claims = {claim.name: claim for claim in map(View, world.cache.list(PERSISTENT_VOLUME_CLAIMS, world.namespace))}
    for pod in pods if found.claim_templates else ():
        owners = [ref["kind"] for ref in claims[f"data-{pod.name}"].owner_references]
        assert owners == (["StatefulSet"] if found.when_deleted == "Delete" else [])


def _assert_revisions(world: World) -> None:
    found, pods = world.found, world.pods.all()
    revisions = list(map(ControllerRevision, world.cache.list(CONTROLLER_REVISIONS, world.namespace)))
    newest = max(revisions, key=lambda each: each.revision)
    assert found.obj["status"]["updateRevision"] == newest.name
    template = newest.data["spec"]["template"]
    assert {key: value for key, value in template.items() if key != "$patch"} == found.template
    assert len({each.revision for each in revisions}) == len(revisions)
    if found.strategy == "RollingUpdate":
        assert {pod.labels[POD_LABEL] for pod in pods[found.partition :]} <= {newest.name}
    live = {found.current_revision, newest.name, *(pod.labels[POD_LABEL] for pod in pods)}
    assert len([each for each in revisions if each.name not in live]) <= KEPT
