"""Plans as tables: what a controller does about a state, without any server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers import deployment, garbage, pod_garbage, replicaset
from controllers.deployment_revision import next_name
from controllers.deployment_status import put, status_of
from controllers.plan import Create, Delete, Key, Patch, Record, Update, UpdateStatus
from controllers.rollout import bounds, next_scales
from controllers.template_hash import template_hash
from machinery.api.errors import Conflict, Forbidden
from machinery.api.resource import Object, Resource
from machinery.api.resources import CONFIG_MAPS, NAMESPACES, NODES, PODS, REPLICA_SETS
from machinery.api.timestamps import rfc3339
from machinery.api.views import Deployment, Node, Pod, ReplicaSet, View
from machinery.client.cache import Change
from tests.known import Known

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def replica_set(replicas: int = 1, name: str = "r", /, **status: int) -> ReplicaSet:
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
    actions = deployment.plan(deployment.State(a_deployment()), NOW).actions
    assert [type(action) for action in actions] == [Create, Record, UpdateStatus]
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


DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"]}


def a_map(name: str, *owners: str, **metadata: object) -> tuple[Resource, Object]:
    refs = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": owner, "blockOwnerDeletion": True}
        for owner in owners
    ]
    return CONFIG_MAPS, {"metadata": {"name": name, "namespace": "n", "uid": name, "ownerReferences": refs, **metadata}}


@pytest.mark.parametrize(
    ("name", "there", "expected"),
    [
        # Who waits for its dependents leaves them alone: each is decided on by itself.
        ("o", [a_map("o", **DELETED), a_map("d", "o")], []),
        ("o", [a_map("o", **DELETED), a_map("d", "o", deletionTimestamp="2026-01-01T00:00:00Z")], []),
        ("o", [a_map("o", **DELETED)], ["finalizers None"]),
        # What nobody depends on goes at once, the others when theirs have gone.
        ("d", [a_map("o", **DELETED), a_map("d", "o")], ["Background"]),
        ("d", [a_map("o", **DELETED), a_map("d", "o"), a_map("e", "d")], ["Foreground"]),
        ("d", [a_map("o", **DELETED), a_map("d", "o", "p"), a_map("p")], ["owners p True"]),
        # Two that own each other don't wait for each other.
        ("d", [a_map("o", "d", **DELETED), a_map("d", "o")], ["owners o False"]),
        # How it is to be deleted may have been asked before.
        ("d", [a_map("d", "o", finalizers=["orphan"])], ["Orphan"]),
        ("d", [a_map("d", "o", finalizers=["foregroundDeletion"])], ["Foreground"]),
        ("d", [a_map("d", "o", finalizers=["a.b/c"])], ["Background"]),
    ],
)
def test_what_owners_that_wait_mean_for_their_dependents(
    name: str, there: list[tuple[Resource, Object]], expected: list[str]
) -> None:
    state = garbage.observe(Known(*there), Key("n", name, CONFIG_MAPS))
    assert state is not None
    found = []
    for action in garbage.plan(state, NOW).actions:
        if isinstance(action, Delete):
            found.append(action.propagation)
        elif isinstance(action, Patch):
            metadata = action.patch["metadata"]
            owners = [f"owners {r['name']} {r['blockOwnerDeletion']}" for r in metadata.get("ownerReferences") or ()]
            found += owners or [f"finalizers {metadata['finalizers']}"]
    assert found == expected


def test_an_owner_hears_of_a_dependent_that_leaves_it() -> None:
    (_, before), (_, after) = a_map("d", "o", "p"), a_map("d", "p")
    keys = garbage.related(Known(), Change(CONFIG_MAPS, before, after))
    assert Key("n", "o", CONFIG_MAPS) in keys


def test_an_object_is_deleted_only_as_it_was_seen() -> None:
    ref = {"kind": "ReplicaSet", "name": "r", "uid": "r"}
    metadata = {"name": "p", "namespace": "n", "uid": "p", "resourceVersion": "7", "ownerReferences": [ref]}
    (delete,) = collected({"metadata": metadata}, [(ref, None)])
    assert isinstance(delete, Delete)
    assert (delete.uid, delete.resource_version) == ("p", "7")


def test_an_owner_in_another_namespace_owns_nothing_and_that_is_told() -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "o-uid"}
    known = Known(
        (NAMESPACES, {"metadata": {"name": "n"}}),
        (NAMESPACES, {"metadata": {"name": "m"}}),
        (CONFIG_MAPS, {"metadata": {"name": "c", "namespace": "n", "uid": "c", "ownerReferences": [owner]}}),
        (CONFIG_MAPS, {"metadata": {"name": "o", "namespace": "m", "uid": "o-uid"}}),
    )
    state = garbage.observe(known, Key("n", "c", CONFIG_MAPS))
    assert state is not None
    record, delete = garbage.plan(state, NOW).actions
    assert isinstance(record, Record) and isinstance(delete, Delete)
    assert (record.type, record.reason) == ("Warning", "OwnerRefInvalidNamespace")
    named = "v1/ConfigMap, namespace: n, name: o, uid: o-uid"
    assert record.message == f'ownerRef [{named}] does not exist in namespace "n"'
    del known.objects[Key("m", "o", CONFIG_MAPS)]
    state = garbage.observe(known, Key("n", "c", CONFIG_MAPS))
    assert state is not None
    assert [type(action) for action in garbage.plan(state, NOW).actions] == [Delete]


def test_what_lies_outside_of_namespaces_is_not_collected_for_an_owner_inside_of_one() -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "gone", "uid": "gone"}
    node = {"metadata": {"name": "n", "uid": "n", "ownerReferences": [owner]}}
    assert garbage.observe(Known((NODES, node)), Key("", "n", NODES)) is None


def test_a_failure_to_create_is_told_once_in_the_status_and_taken_back_by_success() -> None:
    owner = replica_set(1)
    owner.obj.update(apiVersion="apps/v1", kind="ReplicaSet")
    state = replicaset.State(REPLICA_SETS, owner, (), ())
    plan = replicaset.plan(state, NOW)
    create = plan.actions[0]
    (told,) = plan.on_failure(create, Forbidden("exceeded quota"))
    assert isinstance(told, UpdateStatus)
    (condition,) = told.obj["status"]["conditions"]
    assert (condition["type"], condition["reason"], condition["message"]) == (
        "ReplicaFailure",
        "FailedCreate",
        "exceeded quota",
    )
    again = replicaset.State(REPLICA_SETS, ReplicaSet(told.obj), (), ())
    later = replicaset.plan(again, NOW.replace(year=2027))
    assert not later.on_failure(create, Forbidden("exceeded quota"))
    healed = [a for a in planned(ReplicaSet(told.obj), pod("p")) if isinstance(a, UpdateStatus)]
    assert "conditions" not in healed[0].obj["status"]


def test_a_conflict_of_the_status_is_no_failure_to_create() -> None:
    plan = replicaset.plan(replicaset.State(REPLICA_SETS, replica_set(0), (), ()), NOW)
    (told,) = plan.on_failure(plan.actions[-1], Conflict("modified"))
    assert isinstance(told, UpdateStatus)
    assert "conditions" not in told.obj["status"]


def test_a_name_taken_by_another_template_is_counted() -> None:
    owner = a_deployment()
    taken = replica_set(1, next_name(owner))
    (counted,) = deployment.plan(deployment.State(owner, namesake=taken), NOW).actions
    assert isinstance(counted, UpdateStatus)
    assert counted.obj["status"]["collisionCount"] == 1
    assert next_name(Deployment(counted.obj)) != taken.name


def test_a_set_that_nobody_controls_is_adopted_before_anything_else() -> None:
    orphan = replica_set(1, "d-old")
    (claim,) = deployment.plan(deployment.State(a_deployment(), orphans=(orphan,)), NOW).actions
    assert isinstance(claim, Patch)
    (reference,) = claim.patch["metadata"]["ownerReferences"]
    assert (reference["kind"], reference["name"], reference["controller"]) == ("Deployment", "d", True)


OTHER = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "old"}]}}


def a_set(name: str, replicas: int, template: Object, /, **status: int) -> ReplicaSet:
    annotations = {
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
        "deployment.kubernetes.io/revision": "1",
    }
    made = replica_set(replicas, name, **status)
    made.obj["metadata"] |= {"labels": {"a": "b"}, "annotations": annotations}
    made.obj["spec"]["template"] = template
    return made


def test_recreate_makes_nothing_new_while_anything_old_runs() -> None:
    owner = a_deployment(strategy={"type": "Recreate"})
    old = a_set("old", 3, OTHER)
    actions = deployment.plan(deployment.State(owner, (old,), (pod("p"),)), NOW).actions
    (update,) = [action for action in actions if isinstance(action, Update)]
    assert update.obj["spec"]["replicas"] == 0
    assert not any(isinstance(action, Create) for action in actions)
    stopped = a_set("old", 0, OTHER)
    waiting = deployment.plan(deployment.State(owner, (stopped,), (pod("p"),)), NOW).actions
    assert not any(isinstance(action, Create | Update) for action in waiting)
    made = deployment.plan(deployment.State(owner, (stopped,), (pod("p", phase="Failed"),)), NOW).actions
    assert isinstance(made[0], Create)
    assert made[0].obj["spec"]["replicas"] == 3


def test_a_paused_deployment_scales_but_rolls_nothing() -> None:
    owner = a_deployment(paused=True, replicas=5)
    actions = deployment.plan(deployment.State(owner, (a_set("old", 3, OTHER),)), NOW).actions
    (update,) = [action for action in actions if isinstance(action, Update)]
    assert update.obj["spec"]["replicas"] == 5
    assert not any(isinstance(action, Create) for action in actions)
    settled = a_deployment(paused=True)
    actions = deployment.plan(deployment.State(settled, (a_set("old", 3, OTHER),)), NOW).actions
    assert [type(action) for action in actions] == [UpdateStatus]


def test_a_condition_moves_to_the_end_with_its_reason_and_is_dated_by_its_status() -> None:
    first = {"type": "A", "status": "True", "reason": "One", "message": "", "lastTransitionTime": "then"}
    second = {"type": "B", "status": "True", "reason": "One", "message": ""}
    assert put([first, second], {**first, "message": "other"}, "now") == [first, second]
    moved = put([first, second], {"type": "A", "status": "True", "reason": "Two", "message": ""}, "now")
    assert [condition["type"] for condition in moved] == ["B", "A"]
    assert (moved[1]["lastTransitionTime"], moved[1]["lastUpdateTime"]) == ("then", "now")


def test_scaling_after_a_rollout_is_no_progress() -> None:
    done = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "m"}
    owner = a_deployment()
    owner.obj["status"] = {"conditions": [done], "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    grown = a_set("new", 3, TEMPLATE, replicas=3, availableReplicas=1, readyReplicas=1)
    status = status_of(owner, grown, (grown,), "2026-01-01T00:00:00Z", is_rolling=True)
    assert {c["type"]: c["reason"] for c in status["conditions"]} == {
        "Progressing": "NewReplicaSetAvailable",
        "Available": "MinimumReplicasUnavailable",
    }


def test_a_rollout_that_stands_still_times_out() -> None:
    since = {"lastUpdateTime": "2025-12-31T23:00:00Z", "lastTransitionTime": "2025-12-31T23:00:00Z"}
    said = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": "m", **since}
    owner = a_deployment(progressDeadlineSeconds=5)
    owner.obj["status"] = {"conditions": [said], "replicas": 3, "updatedReplicas": 3}
    stuck = a_set("new", 3, TEMPLATE, replicas=3)
    status = status_of(owner, stuck, (stuck,), "2026-01-01T00:00:00Z", is_rolling=True)
    (found,) = [c for c in status["conditions"] if c["type"] == "Progressing"]
    assert (found["status"], found["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert found["message"] == 'ReplicaSet "new" has timed out progressing.'


LOST = {"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]}


@pytest.mark.parametrize(
    ("bound", "deleted", "node", "seconds", "expected"),
    [
        (True, False, None, 0, 40),  # the node may come back
        (True, False, None, 30, 10),
        (True, False, None, 40, "PodGC: node no longer exists"),
        (True, True, None, 40, "PodGC: node no longer exists"),
        (True, False, {}, 40, None),
        (True, True, {}, 40, None),
        (True, True, {"spec": LOST}, 0, ""),
        (True, False, {"spec": LOST}, 0, None),
        (True, True, {"spec": LOST, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}, 0, None),
        (False, False, None, 40, None),
        (False, True, None, 4, 6),  # its finalizers may go by themselves
        (False, True, None, 10, ""),
    ],
)
def test_a_pod_that_no_kubelet_ends_fails_before_it_goes(
    bound: bool, deleted: bool, node: Object | None, seconds: int, expected: str | int | None
) -> None:
    found = pod("p")
    found.obj["metadata"]["generation"] = 2
    if bound:
        found.obj["spec"]["nodeName"] = "m"
    if deleted:
        found.obj["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    state = pod_garbage.State(found, Node({"metadata": {"name": "m"}, **node}) if node is not None else None)
    plan = pod_garbage.decide(state, NOW, NOW + timedelta(seconds=seconds))
    if not isinstance(expected, str):
        assert (plan.actions, plan.requeue_after) == ((), expected)
        return
    patch, delete = plan.actions
    assert isinstance(patch, Patch) and isinstance(delete, Delete)
    status = patch.patch["status"]
    assert (status["phase"], status["observedGeneration"], delete.grace_period_seconds) == ("Failed", 2, 0)
    told = [each["message"] for each in status.get("conditions", ()) if each["type"] == "DisruptionTarget"]
    assert told == ([expected] if expected else [])


def test_a_node_is_missed_from_when_it_was_first_looked_for() -> None:
    controller, key = pod_garbage.pod_garbage(), Key("n", "p")
    bound = pod("p")
    bound.obj["spec"]["nodeName"] = "m"
    cache = Known((PODS, bound.obj))

    def wait(seconds: int) -> float | None:
        return controller.plan(controller.observe(cache, key), NOW + timedelta(seconds=seconds)).requeue_after

    assert [wait(0), wait(15)] == [40, 25]
    cache.put(NODES, {"metadata": {"name": "m"}})
    assert wait(20) is None
    del cache.objects[Key("", "m", NODES)]
    assert wait(30) == 40


def test_a_pod_is_looked_at_when_it_comes_to_a_node_goes_or_loses_that() -> None:
    free, bound, changed, going = pod("p"), pod("p"), pod("p", phase="Failed"), pod("p")
    bound.obj["spec"]["nodeName"] = changed.obj["spec"]["nodeName"] = "m"
    going.obj["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    node: Object = {"metadata": {"name": "m"}}
    cache = Known((PODS, bound.obj))
    related, key = pod_garbage.pod_garbage().related, Key("n", "p")
    assert related is not None

    def woken(change: Change) -> list[Key]:
        return list(related(cache, change))

    assert woken(Change(PODS, None, free.obj)) == []
    assert woken(Change(PODS, None, bound.obj)) == [key]
    assert woken(Change(PODS, free.obj, bound.obj)) == [key]
    assert woken(Change(PODS, bound.obj, changed.obj)) == []
    assert woken(Change(PODS, free.obj, going.obj)) == [key]
    assert woken(Change(PODS, bound.obj, None)) == []
    assert woken(Change(NODES, None, node)) == []
    assert woken(Change(NODES, node, {**node, "spec": LOST})) == [key]
    assert woken(Change(NODES, node, None)) == [key]
