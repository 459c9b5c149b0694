"""Claims that are bound where the pod goes: volumes that there are, volumes to be made, zones, exclusive use."""

from __future__ import annotations

from typing import Any

import pytest

from machinery.api.resource import Object
from machinery.structs import replace
from scheduler.framework import Reservation
from scheduler.pod_info import PodInfo, Shapes
from scheduler.profile import DEFAULT
from scheduler.schedule import reserve, schedule
from scheduler.snapshot import Claim, Snapshot
from tests.unit.scheduler.builders import HOST, ZONE, node, pod

NOT_BOUND = "node(s) didn't find available persistent volumes to bind"
NOT_REACHED = "node(s) didn't match PersistentVolume's node affinity"


def on(*names: str) -> Object:
    entry = {"key": HOST, "operator": "In", "values": list(names)}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [entry]}]}}


def volume(name: str, size: str, **spec: Any) -> Object:
    labels = spec.pop("labels", {})
    own = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local", **spec}
    return {"metadata": {"name": name, "labels": labels}, "spec": own, "status": {"phase": "Available"}}


def claim(name: str, size: str, *, annotations: Object | None = None, **spec: Any) -> Object:
    own = {"accessModes": ["ReadWriteOnce"], "storageClassName": "local", "resources": {"requests": {"storage": size}}}
    metadata = {"name": name, "namespace": "n", "uid": name, "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {**own, **spec}, "status": {"phase": "Pending"}}


def storage_class(provisioner: str = "kubernetes.io/no-provisioner", **more: Any) -> Object:
    return {"metadata": {"name": "local"}, "provisioner": provisioner, **more}


def using(*names: str) -> PodInfo:
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names]
    return Shapes().info(pod("p", volumes=volumes))


def snapshot(claims: list[Object], volumes: list[Object], made_by: Object, nodes: list[Object]) -> Snapshot:
    found = {each["metadata"]["name"]: Claim(each, True, None, made_by) for each in claims}
    return replace(Snapshot.of(nodes, {}), claims=found, volumes=tuple(volumes))


def bindings(reservation: Reservation) -> dict[str, str]:
    return {claim["metadata"]["name"]: volume["metadata"]["name"] for claim, volume in reservation.bindings}


AB = [node("a", zone="1"), node("b", zone="2")]


def test_the_smallest_volume_that_does_is_taken_on_a_node_that_reaches_it() -> None:
    volumes = [volume("large", "9Gi"), volume("fits", "2Gi", nodeAffinity=on("b")), volume("small", "500Mi")]
    found = snapshot([claim("c", "1Gi")], volumes, storage_class(), AB)
    for name, expected in (("a", "large"), ("b", "fits")):
        assert bindings(reserve(using("c"), found, name, DEFAULT)) == {"c": expected}


def test_two_claims_never_take_one_volume() -> None:
    volumes = [volume("one", "2Gi", nodeAffinity=on("a")), volume("two", "2Gi", nodeAffinity=on("b"))]
    found = snapshot([claim("c", "1Gi"), claim("d", "1Gi")], volumes, storage_class(), AB)
    decision = schedule(using("c", "d"), found)
    assert {name: refusal.reasons for name, refusal in decision.refused.items()} == dict.fromkeys("ab", (NOT_BOUND,))
    both = snapshot([claim("c", "1Gi"), claim("d", "2Gi")], [*volumes, volume("any", "1Gi")], storage_class(), AB)
    assert bindings(reserve(using("c", "d"), both, "a", DEFAULT)) == {"c": "any", "d": "one"}


@pytest.mark.parametrize(
    "unfit",
    [
        volume("v", "500Mi"),
        volume("v", "2Gi", storageClassName="other"),
        volume("v", "2Gi", volumeMode="Block"),
        volume("v", "2Gi", accessModes=["ReadOnlyMany"]),
        volume("v", "2Gi", claimRef={"namespace": "n", "name": "another"}),
        volume("v", "2Gi", claimRef={"namespace": "n", "name": "c", "uid": "the one before"}),
        {**volume("v", "2Gi"), "status": {"phase": "Released"}},
        volume("v", "2Gi", labels={"disk": "slow"}),
    ],
)
def test_a_volume_that_is_not_what_was_asked_for_is_left(unfit: Object) -> None:
    wanted = claim("c", "1Gi", selector={"matchLabels": {"disk": "fast"}} if unfit["metadata"]["labels"] else None)
    decision = schedule(using("c"), snapshot([wanted], [unfit], storage_class(), AB))
    assert {refusal.reasons for refusal in decision.refused.values()} == {(NOT_BOUND,)}


def test_a_volume_that_is_kept_for_the_claim_is_its_own() -> None:
    kept = volume("v", "2Gi", claimRef={"namespace": "n", "name": "c"})
    found = snapshot([claim("c", "1Gi")], [kept], storage_class(), AB)
    assert bindings(reserve(using("c"), found, "a", DEFAULT)) == {"c": "v"}


def test_a_provisioner_makes_what_there_is_not_where_it_may() -> None:
    terms = [{"matchLabelExpressions": [{"key": ZONE, "values": ["2"]}]}]
    found = snapshot([claim("c", "1Gi")], [], storage_class("example.com/local", allowedTopologies=terms), AB)
    decision = schedule(using("c"), found)
    assert (decision.node, decision.refused["a"].reasons) == ("b", (NOT_BOUND,))
    assert [each["metadata"]["name"] for each in reserve(using("c"), found, "b", DEFAULT).provisions] == ["c"]


def test_a_claim_whose_volume_is_being_made_for_a_node_stays_there() -> None:
    annotations = {"volume.kubernetes.io/selected-node": "b"}
    found = snapshot([claim("c", "1Gi", annotations=annotations)], [], storage_class("example.com/local"), AB)
    assert schedule(using("c"), found).node == "b"


def test_a_bound_volume_says_where_it_can_be_used() -> None:
    bound = {**claim("c", "1Gi", volumeName="v"), "status": {"phase": "Bound"}}
    found = Claim(bound, False, volume("v", "1Gi", nodeAffinity=on("b")), storage_class())
    decision = schedule(using("c"), replace(Snapshot.of(AB, {}), claims={"c": found}))
    assert (decision.node, decision.refused["a"].reasons) == ("b", (NOT_REACHED,))


def test_a_bound_volume_may_say_its_zones_by_labels() -> None:
    bound = {**claim("c", "1Gi", volumeName="v"), "status": {"phase": "Bound"}}
    found = Claim(bound, False, volume("v", "1Gi", labels={ZONE: "2__3"}), storage_class())
    decision = schedule(using("c"), replace(Snapshot.of(AB, {}), claims={"c": found}))
    assert (decision.node, decision.refused["a"].reasons) == ("b", ("node(s) had no available volume zone",))


def test_a_claim_for_one_pod_alone_is_used_by_one() -> None:
    bound = {**claim("c", "1Gi", volumeName="v", accessModes=["ReadWriteOncePod"]), "status": {"phase": "Bound"}}
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    user = pod("q", volumes=volumes)
    claims = {"c": Claim(bound, False, volume("v", "1Gi"), storage_class())}
    assert schedule(using("c"), replace(Snapshot.of(AB, {}), claims=claims)).node
    decision = schedule(using("c"), replace(Snapshot.of(AB, {"b": [user]}), claims=claims))
    reason = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    assert {refusal.reasons for refusal in decision.refused.values()} == {(reason,)}
