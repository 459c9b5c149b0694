"""Plans as tables: what a controller does about a state, without any server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers import deployment, garbage, replicaset
from controllers.plan import Create, Delete, Patch, Record, Update, UpdateStatus
from controllers.rollout import bounds, next_scales
from controllers.template_hash import template_hash
from machinery.api.resource import Object
from machinery.api.resources import PODS, REPLICA_SETS
from machinery.api.views import Deployment, Pod, ReplicaSet, View

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def replica_set(replicas: int = 1, name: str = "r", **status: int) -> ReplicaSet:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
    metadata = {"name": name, "namespace": "n", "uid": name, "generation": 1, "creationTimestamp": name}
    return ReplicaSet({"metadata": metadata, "spec": spec, "status": status})


def pod(name: str, **status: Any) -> Pod:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "r", "controller": True}
    metadata = {"name": name, "namespace": "n", "uid": name, "labels": {"a": "b"}, "ownerReferences": [owner]}
    return Pod({"metadata": metadata, "spec": {}, "status": {"phase": "Running", **status}})


def planned(owner: ReplicaSet, *pods: Pod, orphans: tuple[Pod, ...] = ()) -> list[object]:
    return list(replicaset.plan(replicaset.State(REPLICA_SETS, owner, pods, orphans), NOW).actions)


def test_missing_pods_are_created_from_the_template_with_their_owner() -> None:
    created = [action for action in planned(replica_set(2), pod("p")) if isinstance(action, Create)]
    assert len(created) == 1
    (reference,) = created[0].obj["metadata"]["ownerReferences"]
    assert (reference["kind"], reference["uid"], reference["controller"]) == ("ReplicaSet", "r", True)
    assert created[0].obj["metadata"]["generateName"] == "r-"


def test_the_least_useful_pod_goes_first() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2025-01-01T00:00:00Z"}]}
    deleted = [a.key.name for a in planned(replica_set(1), pod("good", **ready), pod("bad")) if isinstance(a, Delete)]
    assert deleted == ["bad"]


def test_finished_pods_are_replaced() -> None:
    assert any(isinstance(action, Create) for action in planned(replica_set(1), pod("p", phase="Failed")))


def test_an_orphan_that_matches_is_adopted_instead_of_a_new_pod() -> None:
    orphan = pod("o")
    orphan.obj["metadata"].pop("ownerReferences")
    actions = planned(replica_set(1), orphans=(orphan,))
    assert [type(action) for action in actions] == [Patch, UpdateStatus]


def test_nothing_to_do_is_an_empty_plan() -> None:
    owner = replica_set(1)
    (status,) = [action for action in planned(owner, pod("p")) if isinstance(action, UpdateStatus)]
    again = ReplicaSet(status.obj)
    assert planned(again, pod("p")) == []


def a_deployment(**spec: Any) -> Deployment:
    metadata = {"name": "d", "namespace": "n", "uid": "d", "generation": 1}
    wanted = {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE, **spec}
    return Deployment({"metadata": metadata, "spec": wanted})


def test_a_new_deployment_makes_its_replica_set_and_tells() -> None:
    actions = deployment.plan(deployment.State(a_deployment(), (), ()), NOW).actions
    assert [type(action) for action in actions] == [Create, Record, Update]
    digest = template_hash(TEMPLATE, None)
    assert isinstance(actions[1], Record)
    assert actions[1].message == f"Scaled up replica set d-{digest} from 0 to 3"


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [("25%", "25%", 1, (1, 0)), ("25%", "25%", 10, (3, 2)), (0, "1%", 3, (0, 1)), (2, 5, 3, (2, 3))],
)
def test_surge_rounds_up_and_unavailable_down(
    surge: int | str, unavailable: int | str, replicas: int, expected: tuple[int, int]
) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    assert bounds(a_deployment(strategy=strategy, replicas=replicas)) == expected


@given(st.integers(1, 12), st.integers(0, 4), st.integers(0, 4), st.data())
def test_a_rollout_keeps_its_bounds_and_ends(wanted: int, surge: int, unavailable: int, data: st.DataObject) -> None:
    """Any order in which pods turn available: never above the surge, never below what must be available."""
    if surge == unavailable == 0:
        surge = 1
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    owner = a_deployment(strategy=strategy, replicas=wanted)
    most, fewest = bounds(owner)[0] + wanted, wanted - bounds(owner)[1]
    sizes, available = {"new": 0, "old": wanted}, {"new": 0, "old": wanted}
    for _ in range(20 * wanted):
        sets = {name: replica_set(sizes[name], name, availableReplicas=available[name]) for name in sizes}
        steps = list(next_scales(owner, sets["new"], [sets["old"]], old_pods_running=False))
        for each, count in steps:
            sizes[each.name] = count
        available["old"] = min(available["old"], sizes["old"])
        assert sum(sizes.values()) <= most
        assert sum(available.values()) >= min(fewest, wanted)
        if not steps and available["new"] < sizes["new"]:
            available["new"] += data.draw(st.integers(1, sizes["new"] - available["new"]))
        elif not steps:
            break
    assert sizes == {"new": wanted, "old": 0}


def collected(view: Object, owners: list[tuple[Object, Object | None]]) -> list[object]:
    pairs = tuple((ref, View(owner) if owner is not None else None) for ref, owner in owners)
    return list(garbage.plan(garbage.State(PODS, View(view), pairs, ()), NOW).actions)


def test_an_object_goes_when_its_last_owner_is_gone_and_stays_while_one_is_there() -> None:
    ref = {"kind": "ReplicaSet", "name": "r", "uid": "r"}
    other = {"kind": "ReplicaSet", "name": "s", "uid": "s"}
    view = {"metadata": {"name": "p", "namespace": "n", "uid": "p", "ownerReferences": [ref, other]}}
    assert [type(action) for action in collected(view, [(ref, None), (other, None)])] == [Delete]
    (patch,) = collected(view, [(ref, None), (other, {"metadata": {"name": "s", "uid": "s"}})])
    assert isinstance(patch, Patch)
    assert patch.patch["metadata"]["ownerReferences"] == [other]
