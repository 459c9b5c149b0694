"""Jobs as tables: what the controller does about a Job and its pods, without any server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers import job_backoff, job_orphans, ttl_after_finished
from controllers.job import job, plan, settles
from controllers.job_backoff import Failures
from controllers.job_indexes import Indexes
from controllers.job_pods import FAILURES, IGNORED_FAILURES, INDEX, TRACKING
from controllers.job_tally import State
from controllers.plan import Action, Create, Delete, Key, Patch, Plan, Record, UpdateStatus
from machinery.api.errors import Forbidden
from machinery.api.resource import Object
from machinery.api.resources import JOBS, PODS
from machinery.api.timestamps import rfc3339
from machinery.api.views import Job, Pod
from machinery.client.cache import Change
from tests.endpoint_world import World

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
START = rfc3339(NOW - timedelta(minutes=5))
LABELS = {"batch.kubernetes.io/controller-uid": "j-uid"}
OWNER = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j-uid", "controller": True}


def a_job(status: Object | None = None, **spec: Any) -> Job:
    metadata = {"name": "j", "namespace": "n", "uid": "j-uid", "generation": 1}
    template = {"metadata": {"labels": LABELS}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}
    wanted = {"parallelism": 1, "completions": 1, "selector": {"matchLabels": LABELS}, "template": template, **spec}
    found = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": wanted, "status": status or {}}
    return Job(found)


def a_pod(name: str, phase: str = "Running", *, tracked: bool = True, index: int | None = None, **more: Any) -> Pod:
    metadata: Object = {"name": name, "namespace": "n", "uid": name, "labels": LABELS, "ownerReferences": [OWNER]}
    metadata["creationTimestamp"] = START
    if tracked:
        metadata["finalizers"] = [TRACKING]
    if index is not None:
        metadata["annotations"] = {INDEX: str(index)}
    metadata |= more.pop("metadata", {})
    status = {"phase": phase, **more}
    return Pod({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


def exited(code: int, ago: float = 0.0) -> list[Object]:
    at = rfc3339(NOW - timedelta(seconds=ago))
    return [{"name": "c", "state": {"terminated": {"exitCode": code, "finishedAt": at}}}]


READY = {"conditions": [{"type": "Ready", "status": "True"}]}
DELETED = {"deletionTimestamp": START}


def planned(found: Job, *pods: Pod, orphans: tuple[Pod, ...] = (), failures: Failures | None = None) -> Plan:
    known = job_backoff.after(Failures(), found, pods) if failures is None else failures
    return plan(State(found, pods, orphans, known), NOW)


def status_of(actions: Plan) -> Object:
    (written,) = [action.obj["status"] for action in actions.actions if isinstance(action, UpdateStatus)]
    found: Object = written
    return found


def kinds(actions: Plan) -> list[str]:
    return [type(action).__name__ for action in actions.actions]


def reasons(actions: Plan) -> list[str]:
    return [action.reason for action in actions.actions if isinstance(action, Record)]


def conditions(actions: Plan) -> list[tuple[str, str]]:
    return [(c["type"], c["reason"]) for c in status_of(actions).get("conditions", []) if c["status"] == "True"]


def test_a_new_job_makes_its_pods_and_starts() -> None:
    actions = planned(a_job(parallelism=2, completions=3))
    assert kinds(actions) == ["Create", "Create", "UpdateStatus"]
    made = next(action.obj["metadata"] for action in actions.actions if isinstance(action, Create))
    assert (made["generateName"], made["finalizers"]) == ("j-", [TRACKING])
    expected = {"active": 2, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}, "startTime": rfc3339(NOW)}
    assert status_of(actions) == expected


def test_nothing_new_is_nothing_to_do() -> None:
    found = a_job()
    again = a_job(status_of(planned(found, a_pod("a"))))
    assert not planned(again, a_pod("a")).actions


def test_a_pod_that_ended_is_told_then_let_go_then_counted() -> None:
    first = planned(a_job(completions=2), a_pod("a", "Succeeded"))
    assert kinds(first) == ["Create", "UpdateStatus", "Patch"]
    assert status_of(first)["uncountedTerminatedPods"] == {"succeeded": ["a"]}
    assert "succeeded" not in status_of(first)
    then = planned(a_job(status_of(first), completions=2), a_pod("a", "Succeeded", tracked=False), a_pod("b"))
    assert status_of(then)["uncountedTerminatedPods"] == {}
    assert status_of(then)["succeeded"] == 1


def test_the_end_is_told_before_all_is_counted_and_sealed_after() -> None:
    first = planned(a_job(), a_pod("a", "Succeeded"))
    assert conditions(first) == [("SuccessCriteriaMet", "CompletionsReached")]
    then = planned(a_job(status_of(first)), a_pod("a", "Succeeded", tracked=False))
    assert conditions(then) == [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")]
    assert status_of(then)["completionTime"] == rfc3339(NOW)
    assert reasons(then) == ["Completed"]
    assert not planned(a_job(status_of(then)), a_pod("a", "Succeeded", tracked=False)).actions


@pytest.mark.parametrize(
    ("failures", "ago", "wait"),
    [(1, 0, 10), (1, 4, 6), (1, 11, 0), (2, 0, 20), (3, 0, 40), (7, 0, 600), (40, 100, 500), (0, 0, 0)],
)
def test_the_back_off_doubles_up_to_ten_minutes(failures: int, ago: float, wait: float) -> None:
    assert job_backoff.remaining(failures, NOW - timedelta(seconds=ago), NOW) == wait


def test_a_failed_pod_is_replaced_after_its_back_off() -> None:
    soon = planned(a_job(), a_pod("a", "Failed", containerStatuses=exited(1, ago=4)))
    assert kinds(soon) == ["UpdateStatus", "Patch"]
    assert soon.requeue_after == 6
    later = planned(a_job(), a_pod("a", "Failed", containerStatuses=exited(1, ago=11)))
    assert "Create" in kinds(later)


def test_a_success_ends_the_back_off() -> None:
    failed, done = a_pod("a", "Failed", containerStatuses=exited(1, 9)), a_pod("b", "Succeeded")
    done.obj["status"]["containerStatuses"] = exited(0, 5)
    assert job_backoff.after(Failures(), a_job(), [failed, done]).remaining(NOW) == 0


def test_pods_that_went_stay_failures() -> None:
    known = job_backoff.after(Failures(), a_job(), [a_pod("a", "Failed", containerStatuses=exited(1))])
    assert job_backoff.after(known, a_job(), []).remaining(NOW) == 10


@pytest.mark.parametrize(
    ("spec", "pods", "expected"),
    [
        ({"backoffLimit": 0}, [a_pod("a", "Failed")], "BackoffLimitExceeded"),
        ({"backoffLimit": 1}, [a_pod("a", "Failed")], ""),
        ({"activeDeadlineSeconds": 300}, [a_pod("a")], "DeadlineExceeded"),
        ({"activeDeadlineSeconds": 301}, [a_pod("a")], ""),
        ({"activeDeadlineSeconds": 1, "suspend": True}, [], ""),
        (
            {"backoffLimit": 2, "template": {"metadata": {"labels": LABELS}, "spec": {"restartPolicy": "OnFailure"}}},
            [a_pod("a", containerStatuses=[{"name": "c", "restartCount": 2, "state": {}}])],
            "BackoffLimitExceeded",
        ),
    ],
)
def test_what_fails_a_job(spec: Object, pods: list[Pod], expected: str) -> None:
    found = planned(a_job({"startTime": START}, **spec), *pods)
    reason = (
        dict(conditions(found)).get("FailureTarget", "") if any("status" in k.lower() for k in kinds(found)) else ""
    )
    assert reason == expected


def test_with_a_job_that_fails_its_pods_fail() -> None:
    found = a_job({"startTime": START}, parallelism=3, completions=3, backoffLimit=0)
    first = planned(found, a_pod("a", "Failed"), a_pod("b"), a_pod("c", **READY))
    assert kinds(first) == ["Delete", "Delete", "UpdateStatus", "Patch", "Patch", "Patch"]
    told = status_of(first)
    assert told["uncountedTerminatedPods"] == {"failed": ["a", "b", "c"]}
    assert (told.get("active"), told["ready"], told["terminating"]) == (None, 0, 2)
    going = [a_pod(name, tracked=False, metadata=DELETED) for name in "bc"]
    waits = planned(a_job(told, parallelism=3, completions=3, backoffLimit=0), *going)
    assert status_of(waits)["failed"] == 3
    assert [kind for kind, _ in conditions(waits)] == ["FailureTarget"]
    end = planned(a_job(status_of(waits), parallelism=3, completions=3, backoffLimit=0))
    assert [kind for kind, _ in conditions(end)] == ["FailureTarget", "Failed"]
    assert reasons(end) == ["BackoffLimitExceeded"]


def policy(action: str, **rule: Any) -> Object:
    return {"podFailurePolicy": {"rules": [{"action": action, **rule}]}}


CODES = {"onExitCodes": {"operator": "In", "values": [42]}}
BY_POLICY = ("SuccessCriteriaMet", "SuccessPolicy")
DISRUPTED = {"onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


@pytest.mark.parametrize(
    ("spec", "pod", "failed", "message"),
    [
        (
            policy("FailJob", **CODES),
            a_pod("a", "Failed", containerStatuses=exited(42)),
            1,
            "Container c for pod n/a failed with exit code 42 matching FailJob rule at index 0",
        ),
        (policy("FailJob", **CODES), a_pod("a", "Failed", containerStatuses=exited(1)), 1, ""),
        (policy("Ignore", **CODES), a_pod("a", "Failed", containerStatuses=exited(42)), 0, ""),
        (policy("Count", **CODES), a_pod("a", "Failed", containerStatuses=exited(42)), 1, ""),
        (
            policy("FailJob", onExitCodes={"operator": "NotIn", "values": [1]}),
            a_pod("a", "Failed", containerStatuses=exited(2)),
            1,
            "Container c for pod n/a failed with exit code 2 matching FailJob rule at index 0",
        ),
        (
            policy("FailJob", onExitCodes={"operator": "In", "values": [42], "containerName": "other"}),
            a_pod("a", "Failed", containerStatuses=exited(42)),
            1,
            "",
        ),
        (
            policy("FailJob", **DISRUPTED),
            a_pod("a", "Failed", conditions=[{"type": "DisruptionTarget", "status": "True"}]),
            1,
            "Pod n/a has condition DisruptionTarget matching FailJob rule at index 0",
        ),
        (
            policy("Ignore", **DISRUPTED),
            a_pod("a", "Failed", conditions=[{"type": "DisruptionTarget", "status": "True"}]),
            0,
            "",
        ),
    ],
)
def test_the_pod_failure_policy(spec: Object, pod: Pod, failed: int, message: str) -> None:
    told = status_of(planned(a_job(**spec), pod))
    assert len(told["uncountedTerminatedPods"].get("failed", [])) == failed
    assert next((c["message"] for c in told.get("conditions", [])), "") == message


def indexed(status: Object | None = None, **spec: Any) -> Job:
    return a_job(status, **{"completionMode": "Indexed", "completions": 4, "parallelism": 2, **spec})


def test_pods_of_an_indexed_job_know_their_index() -> None:
    first, second = (action.obj for action in planned(indexed()).actions if isinstance(action, Create))
    assert [each["metadata"]["generateName"] for each in (first, second)] == ["j-0-", "j-1-"]
    assert second["metadata"]["annotations"][INDEX] == second["metadata"]["labels"][INDEX] == "1"
    assert second["spec"]["hostname"] == "j-1"
    (told,) = second["spec"]["containers"][0]["env"]
    assert told["name"] == "JOB_COMPLETION_INDEX"
    assert told["valueFrom"]["fieldRef"]["fieldPath"] == f"metadata.labels['{INDEX}']"


def test_indexes_that_succeeded_are_ranges() -> None:
    found = indexed({"completedIndexes": "0,1", "succeeded": 2, "startTime": START}, completions=5)
    told = status_of(planned(found, a_pod("a", "Succeeded", index=2), a_pod("b", "Succeeded", index=4)))
    assert (told["completedIndexes"], told["succeeded"]) == ("0-2,4", 4)
    assert told["uncountedTerminatedPods"] == {}


def test_an_index_has_one_pod_and_no_other_has_any() -> None:
    pods = [a_pod("a", index=0), a_pod("b", index=0, **READY), a_pod("c", index=7), a_pod("d")]
    gone = [a.key.name for a in planned(indexed(parallelism=4), *pods).actions if isinstance(a, Delete)]
    assert sorted(gone) == ["a", "c", "d"]


def test_each_index_has_its_own_limit_and_failures() -> None:
    limits = {"backoffLimitPerIndex": 1, "backoffLimit": 2**31 - 1}
    pods = [a_pod("a", "Failed", index=0, containerStatuses=exited(1, 60)), a_pod("b", index=1)]
    first = planned(indexed(**limits), *pods)
    (made,) = [action.obj["metadata"] for action in first.actions if isinstance(action, Create)]
    assert made["generateName"] == "j-0-"
    assert made["annotations"][FAILURES] == "1"
    assert IGNORED_FAILURES not in made["annotations"]
    # The failed pod stays until the new one is seen, which carries its failures on.
    assert not [a for a in first.actions if isinstance(a, Patch)]
    again = {FAILURES: "1", INDEX: "0"}
    lost = a_pod("c", "Failed", containerStatuses=exited(1), metadata={"annotations": again})
    told = status_of(planned(indexed(**limits), pods[1], lost))
    assert told["failedIndexes"] == "0"


@pytest.mark.parametrize(
    ("spec", "done", "lost", "expected"),
    [
        ({"maxFailedIndexes": 0}, "", "1", ("FailureTarget", "MaxFailedIndexesExceeded")),
        ({}, "0,2", "1", None),
        ({}, "0,2,3", "1", ("FailureTarget", "FailedIndexes")),
        ({"successPolicy": {"rules": [{"succeededIndexes": "0-1"}]}}, "0", "", None),
        (
            {"successPolicy": {"rules": [{"succeededIndexes": "0-1"}]}},
            "0,1",
            "",
            BY_POLICY,
        ),
        ({"successPolicy": {"rules": [{"succeededCount": 2}]}}, "1,3", "", BY_POLICY),
        (
            {"successPolicy": {"rules": [{"succeededIndexes": "0-2", "succeededCount": 2}]}},
            "1,3",
            "",
            None,
        ),
    ],
)
def test_indexes_decide_the_end(spec: Object, done: str, lost: str, expected: tuple[str, str] | None) -> None:
    status = {"completedIndexes": done, "failedIndexes": lost, "startTime": START}
    found = planned(indexed(status, backoffLimitPerIndex=0, **spec), a_pod("x", index=9))
    assert conditions(found) == ([expected] if expected else [])


def test_a_suspended_job_lets_its_pods_go_uncounted() -> None:
    actions = planned(a_job({"startTime": START}, suspend=True), a_pod("a"))
    assert kinds(actions) == ["Patch", "Delete", "UpdateStatus", "Record"]
    assert conditions(actions) == [("Suspended", "JobSuspended")]
    assert "startTime" not in status_of(actions)
    resumed = planned(a_job(status_of(actions)))
    assert reasons(resumed) == ["Resumed"]
    assert status_of(resumed)["startTime"] == rfc3339(NOW)


def test_a_pod_that_is_going_is_replaced_at_once_or_when_it_is_gone() -> None:
    going = a_pod("a", metadata=DELETED)
    known = Failures()
    assert "Create" in kinds(planned(a_job(), going, failures=known))
    waits = planned(a_job(podReplacementPolicy="Failed"), going, failures=known)
    assert kinds(waits) == ["UpdateStatus"]
    assert status_of(waits)["terminating"] == 1


def test_what_others_manage_is_left_alone() -> None:
    assert not planned(a_job(managedBy="example.com/other")).actions
    assert planned(a_job(managedBy="kubernetes.io/job-controller")).actions


def test_pods_are_adopted_with_the_finalizer_and_released_without() -> None:
    orphan = a_pod("o", tracked=False, metadata={"ownerReferences": []})
    (patch,) = planned(a_job(), orphans=(orphan,)).actions
    assert isinstance(patch, Patch)
    assert patch.patch["metadata"]["finalizers"] == [TRACKING]
    (patch,) = planned(a_job(), a_pod("x", metadata={"labels": {}})).actions
    assert isinstance(patch, Patch)
    assert patch.patch["metadata"]["finalizers"] is None


def test_a_pod_that_cannot_be_made_hinders_no_count() -> None:
    found = planned(a_job(completions=2), a_pod("a", "Succeeded"))
    create = next(action for action in found.actions if isinstance(action, Create))
    instead: list[Action] = list(found.on_failure(create, Forbidden("exceeded quota")))
    assert [type(action).__name__ for action in instead] == ["UpdateStatus", "Patch"]


def test_any_success_ends_a_job_without_completions() -> None:
    found = a_job(parallelism=2, completions=None)
    first = planned(found, a_pod("a", "Succeeded"), a_pod("b"))
    assert "Create" not in kinds(first)
    assert conditions(first) == []
    assert conditions(planned(found, a_pod("a", "Succeeded"), a_pod("b", "Failed"))) == [
        ("SuccessCriteriaMet", "CompletionsReached")
    ]


@pytest.mark.parametrize(
    ("pod", "seconds"),
    [(a_pod("a", "Succeeded"), 0.25), (a_pod("a"), 1.0), (a_pod("a", metadata=DELETED), 0.25)],
)
def test_bursts_are_awaited(pod: Pod, seconds: float) -> None:
    assert settles(Change(PODS, None, pod.obj)) == seconds
    assert settles(Change(JOBS, None, a_job().obj)) == 0


def test_failures_are_forgotten_with_their_job() -> None:
    world = World((JOBS, a_job().obj))
    controller = job()
    assert controller.observe(world, Key("n", "j")).failures == Failures()
    world.objects.clear()
    assert controller.observe(world, Key("n", "j")) is None


@pytest.mark.parametrize(
    ("pod", "found", "is_left"),
    [
        (a_pod("a"), a_job(), False),
        (a_pod("a"), None, True),
        (a_pod("a", tracked=False), None, False),
        (a_pod("a"), a_job({"conditions": [{"type": "Failed", "status": "True"}]}), True),
        (a_pod("a", metadata={"ownerReferences": []}), a_job(), True),
        (a_pod("a", metadata={"ownerReferences": [{**OWNER, "kind": "Other"}]}), None, False),
        (a_pod("a", metadata={"ownerReferences": [{**OWNER, "uid": "former"}]}), a_job(), True),
    ],
)
def test_pods_that_nobody_counts_may_go(pod: Pod, found: Job | None, *, is_left: bool) -> None:
    world = World((PODS, pod.obj), *([(JOBS, found.obj)] if found else []))
    assert (job_orphans.observe(world, Key("n", "a")) is not None) == is_left


@pytest.mark.parametrize(("ttl", "expected"), [(None, (0, None)), (400, (0, 100.0)), (300, (1, None)), (0, (1, None))])
def test_a_job_is_deleted_so_long_after_its_end(ttl: int | None, expected: tuple[int, float | None]) -> None:
    ended = {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": START}]}
    found = ttl_after_finished.plan(a_job(ended, ttlSecondsAfterFinished=ttl), NOW)
    assert (len(found.actions), found.requeue_after) == expected
    assert not ttl_after_finished.plan(a_job(ttlSecondsAfterFinished=0), NOW).actions


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.integers(0, 70))
def test_indexes_are_sets(one: set[int], two: set[int], completions: int) -> None:
    a, b = Indexes.of(one), Indexes.of(two)
    assert Indexes.parse(str(a), 100) == a
    assert Indexes.parse(str(a), completions) == Indexes.of(index for index in one if index < completions)
    assert (a | b) == Indexes.of(one | two)
    assert (len(a), a.common(b)) == (len(one), len(one & two))
    assert all((index in a) == (index in one) for index in range(61))
    assert list(a.missing(completions)) == [index for index in range(completions) if index not in one]


@pytest.mark.parametrize(("text", "expected"), [("0-2,4", 4), ("x,1,2-y", 1), ("", 0), ("3-1", 0)])
def test_what_is_no_range_is_passed_over(text: str, expected: int) -> None:
    assert len(Indexes.parse(text, 10)) == expected


def test_what_fails_is_tried_again_after_a_second_and_then_ever_less_often() -> None:
    """As upstream has it, so that a quota that forbids pods is told of as often."""
    assert job().retries == (1.0, 60.0)
