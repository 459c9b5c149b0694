"""The binder: which volume a claim gets, what is said of one that waits, and what becomes of a volume afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers import volume_claim, volume_phase
from controllers.plan import Action, Record, Update, UpdateStatus
from controllers.volume_binder import VOLUME_BINDER
from controllers.volume_expansion import VOLUME_EXPANSION
from machinery.api.resource import Object
from machinery.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from machinery.api.volumes import PersistentVolume, PersistentVolumeClaim
from tests.endpoint_world import Acting, World

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COMPLETED, BY_CONTROLLER = "pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller"


def claim(name: str = "c", size: str = "1Gi", *, phase: str = "Pending", **more: Any) -> Object:
    metadata = {"name": name, "namespace": "n", "uid": f"{name}-uid", "resourceVersion": "1"}
    metadata["annotations"] = more.pop("annotations", {})
    own = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": size}}}
    spec = {key: value for key, value in {**own, **more}.items() if value is not None}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": spec,
        "status": {"phase": phase},
    }


def volume(name: str = "v", size: str = "1Gi", *, phase: str = "Available", **more: Any) -> Object:
    metadata = {"name": name, "uid": f"{name}-uid", "resourceVersion": "1"}
    metadata |= {key: more.pop(key) for key in ("annotations", "labels", "deletionTimestamp") if key in more}
    own = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain"}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": metadata,
        "spec": {**own, **more},
        "status": {"phase": phase},
    }


def kept_for(name: str = "c", uid: str | None = None) -> Object:
    return {"namespace": "n", "name": name, "uid": f"{name}-uid" if uid is None else uid}


def about_claim(obj: Object, *volumes: Object, **state: Any) -> Sequence[Action]:
    views = [PersistentVolume(each) for each in volumes]
    named = next((each for each in views if each.name == obj["spec"].get("volumeName")), None)
    found = volume_claim.State(PersistentVolumeClaim(obj), named, views, **state)
    return volume_claim.plan(found, NOW).actions


def about_volume(obj: Object, other: Object | None = None) -> Sequence[Action]:
    found = volume_phase.State(PersistentVolume(obj), PersistentVolumeClaim(other) if other else None)
    return volume_phase.plan(found, NOW).actions


@pytest.mark.parametrize(
    ("obj", "after"),
    [
        (claim(), 15),
        (claim(volumeName="taken"), 15),
        (claim(volumeName="unheard-of"), None),
        (claim(volumeName="v", annotations={COMPLETED: "yes"}), None),
    ],
)
def test_what_a_claim_waits_for_is_told_again(obj: Object, after: float | None) -> None:
    there = PersistentVolume(volume("taken", claimRef=kept_for("other")))
    named = there if obj["spec"].get("volumeName") == there.name else None
    assert volume_claim.plan(volume_claim.State(PersistentVolumeClaim(obj), named), NOW).requeue_after == after


def taken(actions: Sequence[Action]) -> str:
    """The volume that the claim gets, which is written first; "" where it gets none."""
    for action in actions:
        if isinstance(action, Update | UpdateStatus) and action.resource == PERSISTENT_VOLUMES:
            return str(action.obj["metadata"]["name"])
    return ""


def told(actions: Sequence[Action]) -> list[tuple[str, str, str]]:
    return [(each.type, each.reason, each.message) for each in actions if isinstance(each, Record)]


@pytest.mark.parametrize(
    ("asked", "volumes", "expected"),
    [
        (claim(), [volume()], "v"),
        (claim(), [volume("big", "9Gi"), volume("fits", "2Gi"), volume("small", "1Mi")], "fits"),
        (claim(), [volume("more", accessModes=["ReadWriteOnce", "ReadOnlyMany"]), volume("exact", "5Gi")], "exact"),
        (claim(), [volume(accessModes=["ReadOnlyMany"])], ""),
        (claim(), [volume(storageClassName="other")], ""),
        (claim(), [volume(volumeMode="Block")], ""),
        (claim(), [volume(phase="Released")], ""),
        (claim(), [volume(deletionTimestamp="2026-01-01T00:00:00Z")], ""),
        (claim(), [volume(claimRef=kept_for("other"))], ""),
        (claim(), [volume("any"), volume("mine", "3Gi", claimRef=kept_for(uid=""))], "mine"),
        (claim(), [volume(claimRef=kept_for(uid="of a former claim"))], ""),
        (claim(selector={"matchLabels": {"a": "b"}}), [volume("no"), volume("yes", labels={"a": "b"})], "yes"),
        (claim(volumeName="v"), [volume("other"), volume()], "v"),
    ],
)
def test_the_volume_that_fits_best_is_taken(asked: Object, volumes: list[Object], expected: str) -> None:
    assert taken(about_claim(asked, *volumes)) == expected


LATER = {"volumeBindingMode": "WaitForFirstConsumer", "provisioner": "example.com/p", "metadata": {"name": "s"}}
AT_ONCE = {"provisioner": "example.com/p", "metadata": {"name": "s"}}
BUILT_IN = {"provisioner": "kubernetes.io/no-provisioner", "metadata": {"name": "s"}}
EXTERNAL = (
    "Waiting for a volume to be created either by the external provisioner 'example.com/p' or manually by the system "
    "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
    "registered."
)
ASKED = {
    "volume.kubernetes.io/storage-provisioner": "example.com/p",
    "volume.beta.kubernetes.io/storage-provisioner": "example.com/p",
}


@pytest.mark.parametrize(
    ("asked", "state", "event"),
    [
        (
            claim(),
            {},
            (
                "Normal",
                "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set",
            ),
        ),
        (
            claim(storageClassName="s"),
            {"storage_class": LATER},
            ("Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding"),
        ),
        (
            claim(storageClassName="s"),
            {"storage_class": LATER, "unscheduled": ["p"]},
            ("Normal", "WaitForPodScheduled", "waiting for pod p to be scheduled"),
        ),
        (
            claim(storageClassName="s"),
            {"storage_class": LATER, "unscheduled": ["p", "q"]},
            ("Normal", "WaitForPodScheduled", "waiting for pods p,q to be scheduled"),
        ),
        (
            claim(storageClassName="s"),
            {},
            ("Warning", "ProvisioningFailed", 'storageclass.storage.k8s.io "s" not found'),
        ),
        (
            claim(storageClassName="s"),
            {"storage_class": BUILT_IN},
            ("Warning", "ProvisioningFailed", "no volume plugin matched name: kubernetes.io/no-provisioner"),
        ),
        (
            claim(storageClassName="s", annotations=ASKED),
            {"storage_class": AT_ONCE},
            ("Normal", "ExternalProvisioning", EXTERNAL),
        ),
        (
            claim(storageClassName="s", annotations={**ASKED, "volume.kubernetes.io/selected-node": "n"}),
            {"storage_class": LATER},
            ("Normal", "ExternalProvisioning", EXTERNAL),
        ),
    ],
)
def test_a_claim_that_waits_says_for_what(asked: Object, state: dict[str, Any], event: tuple[str, str, str]) -> None:
    assert told(about_claim(asked, **state)) == [event]


def test_the_provisioner_is_asked_by_annotations() -> None:
    (action,) = about_claim(claim(storageClassName="s"), storage_class=AT_ONCE)
    assert isinstance(action, Update)
    assert action.obj["metadata"]["annotations"] == ASKED


def test_a_claim_of_a_class_that_waits_takes_nothing_by_itself() -> None:
    asked = claim(storageClassName="s")
    assert not taken(about_claim(asked, volume(storageClassName="s"), storage_class=LATER))
    mine = volume(storageClassName="s", claimRef=kept_for())
    assert taken(about_claim(asked, mine, storage_class=LATER)) == "v"


def test_a_default_class_reaches_claims_that_name_none() -> None:
    (action,) = about_claim(claim(storageClassName=None), default_class="s")
    assert isinstance(action, Update)
    assert action.obj["spec"]["storageClassName"] == "s"
    assert not any(isinstance(each, Update) for each in about_claim(claim(storageClassName=""), default_class="s"))


@pytest.mark.parametrize(
    ("other", "event"),
    [
        (volume(size="1Mi"), 'Cannot bind to requested volume "v": requested PV is too small'),
        (volume(storageClassName="x"), 'Cannot bind to requested volume "v": storageClassName does not match'),
        (volume(volumeMode="Block"), 'Cannot bind to requested volume "v": incompatible volumeMode'),
        (volume(accessModes=["ReadOnlyMany"]), 'Cannot bind to requested volume "v": incompatible accessMode'),
        (volume(claimRef=kept_for("other")), 'volume "v" already bound to a different claim.'),
    ],
)
def test_the_volume_that_is_named_may_not_fit(other: Object, event: str) -> None:
    actions = about_claim(claim(volumeName="v"), other)
    assert [message for _, _, message in told(actions)] == [event]
    assert not taken(actions)


@pytest.mark.parametrize(
    ("asked", "volumes", "reason"),
    [
        (claim(annotations={COMPLETED: "yes"}, phase="Bound"), [], "ClaimLost"),
        (claim(annotations={COMPLETED: "yes"}, phase="Bound", volumeName="v"), [], "ClaimLost"),
        (
            claim(annotations={COMPLETED: "yes"}, phase="Bound", volumeName="v"),
            [volume(claimRef=kept_for("other"))],
            "ClaimMisbound",
        ),
    ],
)
def test_a_bound_claim_may_lose_its_volume(asked: Object, volumes: list[Object], reason: str) -> None:
    update, event = about_claim(asked, *volumes)
    assert isinstance(update, UpdateStatus)
    assert (update.obj["status"], told([event])[0][1]) == ({"phase": "Lost"}, reason)
    lost = {**asked, "status": {"phase": "Lost"}}
    assert not about_claim(lost, *volumes)


OURS = {"pv.kubernetes.io/provisioned-by": "example.com/p"}


@pytest.mark.parametrize(
    ("obj", "other", "phases", "events"),
    [
        (volume(phase="Pending"), None, ["Available"], []),
        (volume(phase="Pending", claimRef=kept_for(uid="")), None, ["Available"], []),
        (volume(phase="Bound", claimRef=kept_for()), claim(volumeName="v"), [], []),
        (volume(claimRef=kept_for()), claim(volumeName="v"), ["Bound"], []),
        (volume(phase="Bound", claimRef=kept_for()), None, ["Released"], []),
        (volume(phase="Bound", claimRef=kept_for(uid="old")), claim(volumeName="v"), ["Released"], []),
        (volume(phase="Released", claimRef=kept_for()), None, [], []),
        (
            volume(phase="Released", claimRef=kept_for(), persistentVolumeReclaimPolicy="Recycle"),
            None,
            ["Failed"],
            ["No recycler plugin found for the volume!"],
        ),
        (
            volume(
                phase="Released",
                claimRef=kept_for(),
                persistentVolumeReclaimPolicy="Delete",
                hostPath={"path": "/data"},
            ),
            None,
            ["Failed"],
            ["host_path deleter only supports /tmp/.+ but received provided /data"],
        ),
        (
            volume(
                phase="Released",
                claimRef=kept_for(),
                persistentVolumeReclaimPolicy="Delete",
                local={"path": "/data"},
            ),
            None,
            ["Failed"],
            ['error getting deleter volume plugin for volume "v": no deletable volume plugin matched'],
        ),
        (
            volume(phase="Released", claimRef=kept_for(), persistentVolumeReclaimPolicy="Delete", annotations=OURS),
            None,
            [],
            [],
        ),
        (
            volume(phase="Bound", claimRef=kept_for(), persistentVolumeReclaimPolicy="Delete", annotations=OURS),
            claim(volumeName="another"),
            ["Released"],
            [],
        ),
    ],
)
def test_a_volumes_phase_follows_its_claim(
    obj: Object, other: Object | None, phases: list[str], events: list[str]
) -> None:
    actions = about_volume(obj, other)
    assert [each.obj["status"]["phase"] for each in actions if isinstance(each, UpdateStatus)] == phases
    assert [message for _, _, message in told(actions)] == events


def test_a_volume_whose_claim_has_another_is_free_again() -> None:
    by_us = volume(phase="Bound", claimRef=kept_for(), annotations={BY_CONTROLLER: "yes"})
    (action,) = about_volume(by_us, claim(volumeName="another"))
    assert isinstance(action, Update)
    assert "claimRef" not in action.obj["spec"]
    by_user = volume(phase="Bound", claimRef=kept_for())
    (action,) = about_volume(by_user, claim(volumeName="another"))
    assert isinstance(action, Update)
    assert action.obj["spec"]["claimRef"] == {"namespace": "n", "name": "c"}


def test_both_say_who_chose_the_other() -> None:
    world = World((PERSISTENT_VOLUMES, volume()), (PERSISTENT_VOLUME_CLAIMS, claim()))
    Acting(VOLUME_BINDER, world).settle()
    bound, its = world.list(PERSISTENT_VOLUMES)[0], world.list(PERSISTENT_VOLUME_CLAIMS)[0]
    assert its["metadata"]["annotations"] == {COMPLETED: "yes", BY_CONTROLLER: "yes"}
    assert its["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    assert bound["metadata"]["annotations"] == {BY_CONTROLLER: "yes"}
    assert (bound["spec"]["claimRef"]["uid"], bound["status"]["phase"]) == ("c-uid", "Bound")


SIZES = ("1Gi", "2Gi", "3Gi")
STEPS = st.one_of(
    st.tuples(st.just("claim"), st.sampled_from("abc"), st.sampled_from(SIZES)),
    st.tuples(st.just("named"), st.sampled_from("abc"), st.sampled_from("xyz")),
    st.tuples(st.just("volume"), st.sampled_from("xyz"), st.sampled_from(SIZES)),
    st.tuples(st.just("kept"), st.sampled_from("xyz"), st.sampled_from("abc")),
    st.tuples(st.just("no claim"), st.sampled_from("abc"), st.just("")),
    st.tuples(st.just("no volume"), st.sampled_from("xyz"), st.just("")),
    st.tuples(st.just("work"), st.integers(0, 3), st.just("")),
    st.tuples(st.just("start again"), st.just(""), st.just("")),
)


def happen(world: World, what: str, name: str, other: str, number: int) -> None:
    """What a user does, where it can be done now."""
    kinds = {"claim": PERSISTENT_VOLUME_CLAIMS, "named": PERSISTENT_VOLUME_CLAIMS, "no claim": PERSISTENT_VOLUME_CLAIMS}
    resource = kinds.get(what, PERSISTENT_VOLUMES)
    namespace = "n" if resource == PERSISTENT_VOLUME_CLAIMS else ""
    is_there = world.get(resource, namespace, name) is not None
    if what.startswith("no "):
        if is_there:
            world.remove(resource, namespace, name)
        return
    if is_there:
        return
    made = {
        "claim": lambda: claim(name, other),
        "named": lambda: claim(name, volumeName=other),
        "volume": lambda: volume(name, other, phase="Pending"),
        "kept": lambda: volume(name, phase="Pending", claimRef={"namespace": "n", "name": other}),
    }[what]()
    # Another of the same name is another object.
    made["metadata"]["uid"] = f"{name}-{number}"
    world.put(resource, made)


def check_pairs(world: World) -> None:
    """A volume is bound to one claim, and a bound claim to the volume that says so."""
    volumes = {each["metadata"]["name"]: each for each in world.list(PERSISTENT_VOLUMES)}
    bound = [each for each in world.list(PERSISTENT_VOLUME_CLAIMS) if each["status"]["phase"] == "Bound"]
    for each in bound:
        assert volumes[each["spec"]["volumeName"]]["spec"]["claimRef"]["uid"] == each["metadata"]["uid"]
    taken_by = [each["metadata"]["uid"] for each in bound]
    kept = [each["spec"]["claimRef"]["uid"] for each in volumes.values() if each["status"]["phase"] == "Bound"]
    assert sorted(taken_by) == sorted(kept)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=30))
def test_however_it_is_interrupted_one_claim_has_one_volume(steps: list[tuple[str, Any, str]]) -> None:
    world = World()
    binder = Acting(VOLUME_BINDER, world)
    for number, (what, name, other) in enumerate(steps):
        if what == "work":
            binder.step(crash_after=name)
        elif what == "start again":
            binder = Acting(VOLUME_BINDER, world)
        else:
            happen(world, what, name, other, number)
    binder = Acting(VOLUME_BINDER, world)
    binder.settle()
    check_pairs(world)
    free = [each for each in world.list(PERSISTENT_VOLUMES) if each["status"]["phase"] == "Available"]
    for each in world.list(PERSISTENT_VOLUME_CLAIMS):
        if each["status"]["phase"] == "Pending":
            assert not taken(about_claim(each, *free)), "a claim waits although a volume is free for it"


def test_a_class_wakes_the_claims_that_wait_for_it() -> None:
    world = World((PERSISTENT_VOLUME_CLAIMS, claim(storageClassName="s")))
    binder = Acting(VOLUME_BINDER, world)
    binder.settle()
    world.put(STORAGE_CLASSES, AT_ONCE)
    binder.settle()
    assert world.told[-1].reason == "ExternalProvisioning"


@pytest.mark.parametrize(("size", "is_told"), [("1Gi", False), ("2Gi", True)])
def test_a_claim_that_was_let_grow_says_for_whom_it_waits(size: str, is_told: bool) -> None:
    grown = claim(size=size, phase="Bound")
    grown["status"]["capacity"] = {"storage": "1Gi"}
    world = World((PERSISTENT_VOLUME_CLAIMS, grown))
    Acting(VOLUME_EXPANSION, world).settle()
    assert [each.reason for each in world.told] == ["ExternalExpanding"] * is_told


def test_a_claim_tells_of_the_pod_that_it_waits_with() -> None:
    pod = {
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]},
    }
    world = World((STORAGE_CLASSES, LATER), (PERSISTENT_VOLUME_CLAIMS, claim(storageClassName="s")))
    binder = Acting(VOLUME_BINDER, world)
    binder.settle()
    world.put(PODS, pod)
    binder.settle()
    assert [each.reason for each in world.told] == ["WaitForFirstConsumer", "WaitForPodScheduled"]
