"""Rollouts as tables of upstream's: how sizes are shared out, how a rollout steps, what is told of its progress."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from controllers import deployment
from controllers.deployment_revision import HISTORY, REVISION, revise
from controllers.deployment_status import status_of
from controllers.plan import Create, Delete, Record, Update, UpdateStatus
from controllers.rollout import DESIRED, MAXIMUM, next_scales, resized
from machinery.api.errors import Cause, Forbidden
from machinery.api.resource import Object
from machinery.api.views import Deployment, Pod, ReplicaSet

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NEW = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "new"}]}}
OLD = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "old"}]}}


def wanted(
    replicas: int, *, surge: int | str = 0, unavailable: int | str = 0, status: Object | None = None, **spec: Any
) -> Deployment:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    made = {
        "replicas": replicas,
        "selector": {"matchLabels": {"a": "b"}},
        "template": NEW,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
        **spec,
    }
    metadata = {"name": "d", "namespace": "n", "uid": "d", "generation": 1, "annotations": {REVISION: "1"}}
    return Deployment({"metadata": metadata, "spec": made, "status": status or {}})


def replica_set(
    name: str, size: int, template: Object = OLD, /, *, sized: tuple[int, int] | None = None, **status: Any
) -> ReplicaSet:
    """Sets are as old as their name sorts; `sized` is (desired, maximum) of the time when it was scaled."""
    annotations = {REVISION: name.lstrip("v") or "0"} if name.startswith("v") else {}
    if sized is not None:
        annotations |= {DESIRED: str(sized[0]), MAXIMUM: str(sized[1])}
    owner = {"kind": "Deployment", "name": "d", "uid": "d", "controller": True}
    metadata = {
        "name": name, "namespace": "n", "uid": name, "generation": 1, "creationTimestamp": name,
        "labels": {"a": "b"}, "annotations": annotations, "ownerReferences": [owner],
    }  # fmt: skip
    spec = {"replicas": size, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    return ReplicaSet({"metadata": metadata, "spec": spec, "status": {"observedGeneration": 1, **status}})


@pytest.mark.parametrize(
    ("before", "after", "surges", "new", "old", "expected"),
    [
        # (replicas and surge before and now; size of the new set, sizes of the old ones, newest first)
        (10, 12, (0, 0), 10, [], [12]),
        (10, 5, (0, 0), 10, [], [5]),
        (5, 10, (0, 0), 2, [3], [4, 6]),
        (5, 3, (0, 0), 2, [3], [1, 2]),
        (9, 4, (0, 0), 8, [1], [4, 0]),
        (7, 10, (0, 0), 2, [3, 2], [3, 4, 3]),
        (13, 8, (0, 0), 2, [8, 3], [1, 5, 2]),
        (3, 4, (0, 0), 1, [1, 1], [2, 1, 1]),
        (3, 2, (0, 0), 1, [1, 1], [1, 1, 0]),
        (4, 5, (0, 0), None, [2, 2], [3, 2]),
        (6, 0, (0, 0), 3, [2, 1], [0, 0, 0]),
        (0, 6, (0, 0), 0, [0, 0], [6, 0, 0]),
        (10, 20, (2, 2), 6, [6], [11, 11]),
        (10, 50, (3, 6), 5, [8], [22, 34]),
        (10, 14, (0, 0), None, [7, 3], [10, 4]),
    ],
)
def test_a_change_of_size_is_shared_out_by_what_each_set_has(
    before: int, after: int, surges: tuple[int, int], new: int | None, old: Sequence[int], expected: Sequence[int]
) -> None:
    sized = (before, before + surges[0])
    sets = [replica_set(f"v{9 - at}", size, sized=sized) for at, size in enumerate(old)]
    newest = replica_set("v99", new, NEW, sized=sized) if new is not None else None
    every = [*([newest] if newest else ()), *sets]
    counts = {each.name: count for each, count in resized(wanted(after, surge=surges[1]), newest, sets)}
    assert [counts.get(each.name, each.replicas) for each in every] == list(expected)


def test_a_set_that_stands_full_pushes_old_ones_out() -> None:
    new = replica_set("v2", 2, NEW, sized=(2, 3), availableReplicas=2)
    old = replica_set("v1", 1, sized=(2, 3))
    assert [(each.name, count) for each, count in resized(wanted(2, surge=1), new, [old])] == [("v1", 0)]
    broken = replica_set("v2", 2, NEW, sized=(2, 3), availableReplicas=0)
    counts = dict((each.name, count) for each, count in resized(wanted(2, surge=1), broken, [old]))
    assert counts == {"v2": 2, "v1": 1}


def test_without_a_note_of_its_size_a_set_s_share_is_of_what_runs() -> None:
    sets = [replica_set("v2", 5), replica_set("v1", 5)]
    running = wanted(20, status={"replicas": 10})
    assert [count for _, count in resized(running, None, sets)] == [10, 10]
    assert sum(count for _, count in resized(wanted(20), None, sets)) == 20


def test_what_an_old_set_was_told_to_take_away_is_not_counted_on() -> None:
    """Scaled from 5 to 1 in the middle of two rollouts: the status of the first set lags behind."""
    newest = replica_set("v3", 1, NEW)
    lagging, broken = replica_set("v1", 1, availableReplicas=2), replica_set("v2", 1)
    steps = next_scales(wanted(1, surge=1), newest, [lagging, broken], old_pods_running=False)
    assert {each.name: count for each, count in steps} == {"v2": 0}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "new", "old", "available", "expected"),
    [
        # (sizes of the new and the old set, what of each is available; the next sizes)
        (10, 0, 1, 0, 10, (0, 10), {"v1": 9}),
        (10, 2, 0, 0, 10, (0, 10), {"v2": 2}),
        (10, 2, 0, 0, 5, (0, 5), {"v2": 7}),
        (10, 2, 0, 2, 10, (0, 10), {}),
        (10, 2, 0, 11, 2, (2, 2), {"v2": 10}),
        (10, 0, 2, 0, 10, (0, 10), {"v1": 8}),
        (10, 0, 2, 0, 10, (0, 8), {"v1": 8}),
        (10, 0, 2, 0, 10, (0, 9), {"v1": 8}),
        (10, 0, 2, 2, 8, (2, 8), {"v1": 6}),
        # Pods of the new set that are not available count as missing.
        (10, 0, 2, 2, 8, (0, 8), {}),
        # Nor does a missing old pod make room for taking more away.
        (10, 3, 2, 5, 8, (0, 7), {}),
        (10, 3, 2, 10, 3, (10, 0), {"v1": 0}),
        # Pods that an old set was told to take away are there still: they make no room either.
        (10, 0, 1, 1, 9, (0, 10), {}),
        (1, "25%", "25%", 0, 1, (0, 1), {"v2": 1}),
        (1, "25%", "25%", 1, 1, (1, 1), {"v1": 0}),
    ],
)
def test_a_rolling_update_takes_one_step_at_a_time(
    replicas: int,
    surge: int | str,
    unavailable: int | str,
    new: int,
    old: int,
    available: tuple[int, int],
    expected: dict[str, int],
) -> None:
    newest = replica_set("v2", new, NEW, availableReplicas=available[0])
    before = replica_set("v1", old, availableReplicas=available[1])
    owner = wanted(replicas, surge=surge, unavailable=unavailable)
    steps = next_scales(owner, newest, [before], old_pods_running=False)
    assert {each.name: count for each, count in steps if count != each.replicas} == expected


def planned(owner: Deployment, *sets: ReplicaSet, pods: tuple[Pod, ...] = ()) -> Sequence[object]:
    return deployment.plan(deployment.State(owner, sets, pods), NOW).actions


def test_a_paused_deployment_tells_its_new_set_of_notes_and_lets_its_history_go() -> None:
    owner = wanted(1, paused=True, revisionHistoryLimit=0)
    owner.obj["metadata"]["annotations"] = {REVISION: "2", "kubernetes.io/change-cause": "why"}
    new, old = replica_set("v2", 1, NEW, sized=(1, 1)), replica_set("v1", 0)
    (update,) = planned(owner, new, old)
    assert isinstance(update, Update)
    assert update.obj["metadata"]["annotations"]["kubernetes.io/change-cause"] == "why"
    told = ReplicaSet(update.obj)
    assert [action.key.name for action in planned(owner, told, old) if isinstance(action, Delete)] == ["v1"]


def test_a_paused_deployment_keeps_its_size_against_others() -> None:
    owner = wanted(3, paused=True)
    (update, record, _) = planned(owner, replica_set("v1", 1, NEW, sized=(3, 3)))
    assert isinstance(update, Update)
    assert update.obj["spec"]["replicas"] == 3
    assert isinstance(record, Record)
    assert record.message == "Scaled up replica set v1 from 1 to 3"


@pytest.mark.parametrize(
    ("limit", "old", "expected"),
    [
        (2, [("v1", 0, {}), ("v2", 0, {}), ("v3", 0, {})], ["v1"]),
        (0, [("v1", 0, {}), ("v2", 0, {})], ["v1", "v2"]),
        # What runs still, or was not looked at since its last change, stays, and no younger one goes in its place.
        (1, [("v1", 0, {"replicas": 1}), ("v2", 0, {}), ("v3", 0, {})], ["v2"]),
        (1, [("v1", 0, {"observedGeneration": 0}), ("v2", 0, {})], []),
        (10, [("v1", 0, {})], []),
    ],
)
def test_the_oldest_empty_sets_beyond_the_limit_go(
    limit: int, old: list[tuple[str, int, dict[str, int]]], expected: list[str]
) -> None:
    owner = wanted(1, revisionHistoryLimit=limit)
    new = replica_set("v9", 1, NEW, sized=(1, 1), replicas=1, availableReplicas=1, readyReplicas=1)
    owner.obj["metadata"]["annotations"] = {REVISION: "9"}
    running = sum(status.get("replicas", 0) for _, _, status in old)
    if running:
        # Only a paused one looks at its history while something old runs.
        owner.obj["spec"]["paused"] = True
    sets = [replica_set(name, size, **status) for name, size, status in old]
    assert [action.key.name for action in planned(owner, new, *sets) if isinstance(action, Delete)] == expected


def test_an_undo_counts_the_revision_on_and_remembers_what_the_set_was() -> None:
    new, old = replica_set("v1", 0, NEW), replica_set("v4", 2)
    update, status = revise(wanted(2), new, [old])
    assert isinstance(update, Update)
    assert isinstance(status, UpdateStatus)
    annotations = update.obj["metadata"]["annotations"]
    assert (annotations[REVISION], annotations[HISTORY]) == ("5", "1")
    assert status.obj["metadata"]["annotations"][REVISION] == "5"


def test_a_long_history_forgets_its_beginning() -> None:
    new = replica_set("v900", 0, NEW)
    new.obj["metadata"]["annotations"][HISTORY] = ",".join(str(number) for number in range(100, 600))
    (update, _) = revise(wanted(2), new, [replica_set("v1000", 2)])
    assert isinstance(update, Update)
    history = update.obj["metadata"]["annotations"][HISTORY]
    assert len(history) <= 2000
    assert history.startswith("101,") and history.endswith(",599,900")


def test_a_set_that_cannot_be_made_is_told_in_the_status_and_by_an_event() -> None:
    plan = deployment.plan(deployment.State(wanted(1)), NOW)
    create = plan.actions[0]
    assert isinstance(create, Create)
    event, told = plan.on_failure(create, Forbidden("exceeded quota"))
    name = create.obj["metadata"]["name"]
    assert isinstance(event, Record)
    assert (event.type, event.reason) == ("Warning", "ReplicaSetCreateError")
    assert event.message == f'Failed to create new replica set "{name}": exceeded quota'
    assert isinstance(told, UpdateStatus)
    (condition,) = told.obj["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["message"]) == ("Progressing", "False", event.message)
    again = deployment.plan(deployment.State(Deployment(told.obj)), NOW.replace(hour=13))
    assert [type(action) for action in again.on_failure(create, Forbidden("exceeded quota"))] == [Record]
    ending = Forbidden("ending", causes=(Cause("NamespaceTerminating", "", ""),))
    assert not plan.on_failure(create, ending)


PROGRESS = {"type": "Progressing", "status": "True", "message": "m"}
EARLY, LATE = "2026-01-01T10:00:00Z", "2026-01-01T11:59:50Z"


@pytest.mark.parametrize(
    ("before", "since", "counts_before", "counts", "reason"),
    [
        # (the reason told so far and when; updated, all, available replicas before and now; what is told now)
        ("NewReplicaSetCreated", LATE, (0, 3, 3), (1, 4, 3), "ReplicaSetUpdated"),
        ("ReplicaSetUpdated", LATE, (3, 4, 3), (3, 3, 3), "NewReplicaSetAvailable"),
        ("ReplicaSetUpdated", LATE, (1, 4, 3), (1, 4, 3), "ReplicaSetUpdated"),
        ("ReplicaSetUpdated", EARLY, (1, 4, 3), (1, 4, 3), "ProgressDeadlineExceeded"),
        ("ReplicaSetUpdated", EARLY, (1, 4, 3), (2, 4, 3), "ReplicaSetUpdated"),
        ("ProgressDeadlineExceeded", EARLY, (1, 4, 3), (1, 4, 3), "ProgressDeadlineExceeded"),
        ("ProgressDeadlineExceeded", EARLY, (1, 4, 3), (3, 3, 3), "NewReplicaSetAvailable"),
        ("DeploymentResumed", EARLY, (1, 4, 3), (1, 4, 3), "ProgressDeadlineExceeded"),
        ("DeploymentPaused", EARLY, (1, 4, 3), (1, 4, 3), "DeploymentResumed"),
        ("NewReplicaSetAvailable", EARLY, (3, 3, 3), (3, 3, 2), "NewReplicaSetAvailable"),
        # An undo to a set that was complete once: no deadline, until it has moved.
        ("NewReplicaSetAvailable", EARLY, (0, 3, 3), (0, 3, 3), "NewReplicaSetAvailable"),
    ],
)
def test_progress_restarts_the_deadline_and_a_standstill_ends_it(
    before: str,
    since: str,
    counts_before: tuple[int, int, int],
    counts: tuple[int, int, int],
    reason: str,
) -> None:
    def told(updated: int, total: int, available: int) -> Object:
        return {"updatedReplicas": updated, "replicas": total, "availableReplicas": available}

    status = "False" if before == "ProgressDeadlineExceeded" else "Unknown" if before.startswith("Depl") else "True"
    said = {**PROGRESS, "status": status, "reason": before, "lastUpdateTime": since, "lastTransitionTime": since}
    owner = wanted(3, progressDeadlineSeconds=60, status={**told(*counts_before), "conditions": [said]})
    updated, total, available = counts
    new = replica_set("v2", 3, NEW, replicas=updated, availableReplicas=min(updated, available))
    old = replica_set("v1", total - updated, replicas=total - updated, availableReplicas=max(available - updated, 0))
    found = status_of(owner, new, (new, old), "2026-01-01T12:00:00Z", is_rolling=True)
    (condition,) = [each for each in found["conditions"] if each["type"] == "Progressing"]
    assert condition["reason"] == reason


def test_without_a_deadline_nothing_is_said_of_progress() -> None:
    said = {**PROGRESS, "reason": "ReplicaSetUpdated", "lastUpdateTime": EARLY, "lastTransitionTime": EARLY}
    owner = wanted(1, progressDeadlineSeconds=2147483647, status={"conditions": [said]})
    new = replica_set("v1", 1, NEW)
    found = status_of(owner, new, (new,), "2026-01-01T12:00:00Z", is_rolling=True)
    assert [each["type"] for each in found["conditions"]] == ["Available"]


def test_an_undo_is_told_once_its_set_has_replicas() -> None:
    owner = wanted(2, surge=1)
    owner.obj["metadata"]["annotations"] = {REVISION: "3"}
    new, old = replica_set("v3", 0, NEW, sized=(2, 3)), replica_set("v2", 2, sized=(2, 3), availableReplicas=2)
    assert [type(action) for action in planned(owner, new, old)] == [Update, Record]
    growing = replica_set("v3", 1, NEW, sized=(2, 3))
    assert [type(action) for action in planned(owner, growing, old)] == [UpdateStatus]
