"""CronJobs as tables: when they are due, and what is done then, without any server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers import cronjob
from controllers.cronjob import SCHEDULED, State, plan
from controllers.cronjob_schedule import Due, NeverDueError, due, next_after
from controllers.plan import Action, Create, Delete, Key, Plan, Record, UpdateStatus
from machinery.api.cron import parse_schedule
from machinery.api.errors import Forbidden
from machinery.api.resource import Object
from machinery.api.resources import CRON_JOBS, JOBS
from machinery.api.timestamps import rfc3339
from machinery.api.views import CronJob, Job
from tests.endpoint_world import World

NOW = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
MINUTE = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MINUTES = int(MINUTE.timestamp()) // 60
NAME = f"c-{MINUTES}"
OWNER = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": "c-uid", "controller": True}
NEW_YORK = "America/New_York"


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "expected"),
    [
        ("*/5 * * * *", "UTC", "2026-01-01T00:03:00", "2026-01-01T00:05:00"),
        ("@hourly", "UTC", "2026-01-01T00:00:00", "2026-01-01T01:00:00"),
        ("@every 1h30m", "UTC", "2026-01-01T00:00:10", "2026-01-01T01:30:10"),
        ("0 0 13 * 5", "UTC", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("0 0 13 * *", "UTC", "2026-01-01T00:00:00", "2026-01-13T00:00:00"),
        ("0 0 */2 * mon", "UTC", "2026-01-01T00:00:00", "2026-01-03T00:00:00"),
        ("0 9 * * *", "Asia/Tokyo", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        # An hour that the clocks skip has no run.
        ("30 2 * * *", NEW_YORK, "2026-03-07T12:00:00", "2026-03-09T06:30:00"),
        # One that they repeat has two.
        ("30 1 * * *", NEW_YORK, "2026-11-01T05:00:00", "2026-11-01T05:30:00"),
        ("30 1 * * *", NEW_YORK, "2026-11-01T05:30:00", "2026-11-01T06:30:00"),
    ],
)
def test_the_next_time(schedule: str, zone: str, after: str, expected: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    found = next_after(parse_schedule(schedule), ZoneInfo(zone), moment)
    assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_day_that_never_comes() -> None:
    with pytest.raises(NeverDueError, match="less than 1 second"):
        next_after(parse_schedule("0 0 31 2 *"), UTC, NOW)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2 * 365 * 24 * 60),
    st.lists(st.integers(0, 59), min_size=1, max_size=4),
    st.lists(st.integers(0, 23), min_size=1, max_size=8),
    st.sampled_from([NEW_YORK, "UTC", "Australia/Lord_Howe", "Europe/Berlin"]),
)
def test_it_is_due_whenever_the_wall_clock_says_so(later: int, minutes: list[int], hours: list[int], name: str) -> None:
    """A brute force over the minutes of two days agrees."""
    zone, moment = ZoneInfo(name), datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=later)
    schedule = parse_schedule(f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *")
    first = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    walls = ((at, at.astimezone(zone)) for at in (first + timedelta(minutes=n) for n in range(60 * 48)))
    expected = next(at for at, wall in walls if wall.minute in minutes and wall.hour in hours)
    assert next_after(schedule, zone, moment) == expected


@pytest.mark.parametrize(
    ("schedule", "ago", "expected"),
    [
        ("0 * * * *", timedelta(minutes=20), Due(MINUTE, 1)),
        ("30 * * * *", timedelta(minutes=20), Due()),
        ("* * * * *", timedelta(minutes=90), Due(MINUTE, 90)),
        ("* * * * *", timedelta(minutes=200), Due(MINUTE, 200)),
        ("* * * * *", timedelta(days=3000), Due(MINUTE, 3000 * 24 * 60)),
        ("@every 7m", timedelta(minutes=20), Due(NOW - timedelta(minutes=6), 2)),
    ],
)
def test_what_was_missed(schedule: str, ago: timedelta, expected: Due) -> None:
    assert due(parse_schedule(schedule), UTC, NOW - ago, NOW) == expected


def a_cron_job(status: Object | None = None, **spec: Any) -> CronJob:
    created = rfc3339(NOW - timedelta(minutes=5))
    metadata = {"name": "c", "namespace": "n", "uid": "c-uid", "creationTimestamp": created}
    template = {"metadata": {"labels": {"a": "b"}, "annotations": {"x": "y"}}, "spec": {"template": {}}}
    wanted = {"schedule": "0 * * * *", "jobTemplate": template, **spec}
    found = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": wanted, "status": status or {}}
    return CronJob(found)


def a_job(name: str, finished: str = "", *, at: datetime | None = None, start: str = "") -> Job:
    metadata: Object = {"name": name, "namespace": "n", "uid": f"{name}-uid", "ownerReferences": [OWNER]}
    if at is not None:
        metadata["annotations"] = {SCHEDULED: rfc3339(at)}
    status: Object = {"startTime": start}
    if finished:
        status["conditions"] = [{"type": finished, "status": "True"}]
        status["completionTime"] = rfc3339(NOW)
    return Job({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {}, "status": status})


def running(name: str) -> Object:
    return {"apiVersion": "batch/v1", "kind": "Job", "name": name, "namespace": "n", "uid": f"{name}-uid"}


def planned(found: CronJob, *jobs: Job, taken: frozenset[str] = frozenset()) -> Plan:
    return plan(State(found, jobs, taken), NOW)


def reasons(actions: Plan | list[Action]) -> list[str]:
    found = actions.actions if isinstance(actions, Plan) else actions
    return [action.reason for action in found if isinstance(action, Record)]


def status_of(actions: Plan) -> Object:
    (written,) = [action.obj["status"] for action in actions.actions if isinstance(action, UpdateStatus)]
    found: Object = written
    return found


def test_a_job_is_made_when_it_is_due_and_told_when_it_is_seen() -> None:
    first = planned(a_cron_job())
    made = next(action.obj for action in first.actions if isinstance(action, Create))
    assert made["metadata"]["name"] == NAME
    assert made["metadata"]["labels"] == {"a": "b"}
    assert made["metadata"]["annotations"] == {"x": "y", SCHEDULED: "2026-01-01T12:00:00Z"}
    assert reasons(first) == ["SuccessfulCreate"]
    then = planned(a_cron_job(), a_job(NAME, at=MINUTE))
    assert [ref["name"] for ref in status_of(then)["active"]] == [NAME]
    assert status_of(then)["lastScheduleTime"] == rfc3339(MINUTE)
    assert not [action for action in then.actions if not isinstance(action, UpdateStatus)]


@pytest.mark.parametrize(("schedule", "expected"), [("5 12 * * *", 4 * 60 + 30 + 0.1), ("0 * * * *", 600)])
def test_it_sleeps_until_the_next_time_but_not_as_long_as_a_machine_may(schedule: str, expected: float) -> None:
    found = planned(a_cron_job({"lastScheduleTime": rfc3339(MINUTE)}, schedule=schedule))
    assert not found.actions
    assert found.requeue_after == expected


def test_the_annotation_tells_the_time_of_the_zone() -> None:
    made = next(a.obj for a in planned(a_cron_job(timeZone="Asia/Tokyo")).actions if isinstance(a, Create))
    assert made["metadata"]["annotations"][SCHEDULED] == "2026-01-01T21:00:00+09:00"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"suspend": True}, []),
        ({"startingDeadlineSeconds": 31}, ["SuccessfulCreate"]),
        ({"startingDeadlineSeconds": 29}, []),
        ({"timeZone": "No/Where"}, ["UnknownTimeZone"]),
        ({"schedule": "x"}, ["UnparseableSchedule"]),
        ({"schedule": "0 0 31 2 *"}, ["InvalidSchedule"]),
    ],
)
def test_what_is_started_and_what_is_not(spec: Object, expected: list[str]) -> None:
    assert reasons(planned(a_cron_job(**spec))) == expected


def test_too_many_missed_runs_are_told_and_the_last_is_made() -> None:
    status = {"lastScheduleTime": rfc3339(NOW - timedelta(minutes=200))}
    found = planned(a_cron_job(status, schedule="* * * * *"))
    assert reasons(found) == ["TooManyMissedTimes", "SuccessfulCreate"]


@pytest.mark.parametrize(
    ("policy", "expected", "deleted"),
    [
        ("Allow", ["SuccessfulCreate"], []),
        ("Forbid", ["JobAlreadyActive"], []),
        ("Replace", ["SuccessfulDelete", "SuccessfulCreate"], ["old"]),
    ],
)
def test_the_concurrency_policies(policy: str, expected: list[str], deleted: list[str]) -> None:
    status = {"active": [running("old")], "lastScheduleTime": rfc3339(MINUTE - timedelta(hours=1))}
    found = planned(a_cron_job(status, concurrencyPolicy=policy), a_job("old"))
    assert reasons(found) == expected
    assert [action.key.name for action in found.actions if isinstance(action, Delete)] == deleted


@pytest.mark.parametrize(
    ("job", "is_active", "expected"),
    [
        (a_job("old"), True, []),
        (a_job("old"), False, ["UnexpectedJob"]),
        (a_job("old", "Complete"), True, ["SawCompletedJob"]),
        (a_job("old", "Failed"), True, ["SawCompletedJob"]),
        (a_job("old", "Complete"), False, []),
        (None, True, ["MissingJob"]),
        (a_job(f"c-{MINUTES + 1}", "Complete", at=MINUTE + timedelta(minutes=1)), False, ["SawCompletedJob"]),
    ],
)
def test_the_list_of_running_jobs_follows_them(job: Job | None, is_active: bool, expected: list[str]) -> None:  # noqa: FBT001
    status = {"lastScheduleTime": rfc3339(MINUTE), **({"active": [running("old")]} if is_active else {})}
    assert reasons(planned(a_cron_job(status), *([job] if job else []))) == expected


def test_a_replaced_job_is_listed_until_its_successor_is() -> None:
    """So that the status changes once, and nothing is missed that went for good reason."""
    status = {"active": [running("old")], "lastScheduleTime": rfc3339(MINUTE - timedelta(hours=1))}
    found = a_cron_job(status, concurrencyPolicy="Replace")
    assert not [action for action in planned(found, a_job("old")).actions if isinstance(action, UpdateStatus)]
    for there in ([], [a_job("old")]):
        then = planned(found, a_job(NAME, at=MINUTE), *there)
        assert [ref["name"] for ref in status_of(then)["active"]] == [NAME]
        assert reasons(then) == []
    assert reasons(planned(found)) == ["MissingJob", "SuccessfulCreate"]


def test_the_last_success_is_told() -> None:
    status = {"lastScheduleTime": rfc3339(MINUTE), "active": [running("old")]}
    told = status_of(planned(a_cron_job(status), a_job("old", "Complete")))
    assert told == {"lastScheduleTime": rfc3339(MINUTE), "lastSuccessfulTime": rfc3339(NOW)}


def test_history_keeps_the_youngest() -> None:
    jobs = [
        a_job(name, kind, start=name) for kind, names in (("Complete", "abcde"), ("Failed", "xyz")) for name in names
    ]
    found = planned(a_cron_job({"lastScheduleTime": rfc3339(MINUTE), "lastSuccessfulTime": rfc3339(NOW)}), *jobs)
    assert [action.key.name for action in found.actions if isinstance(action, Delete)] == ["a", "b", "x", "y"]


def test_of_a_job_that_goes_at_once_only_that_is_told() -> None:
    status = {"lastScheduleTime": rfc3339(MINUTE), "active": [running("old")]}
    found = planned(a_cron_job(status, successfulJobsHistoryLimit=0), a_job("old", "Complete"))
    assert reasons(found) == ["SuccessfulDelete"]
    assert status_of(found) == {"lastScheduleTime": rfc3339(MINUTE), "lastSuccessfulTime": rfc3339(NOW)}


def test_a_name_that_is_taken_is_nobodys_run() -> None:
    assert not planned(a_cron_job(), taken=frozenset({NAME})).actions


def test_a_job_that_cannot_be_made_is_told() -> None:
    found = planned(a_cron_job())
    create = next(action for action in found.actions if isinstance(action, Create))
    assert reasons(list(found.on_failure(create, Forbidden("exceeded quota")))) == ["FailedCreate"]


def test_no_run_is_lost_or_made_twice_whatever_dies() -> None:
    """Each pass sees what the former wrote, or died before it wrote: names and times tell the rest."""
    world = World((CRON_JOBS, a_cron_job(schedule="* * * * *").obj))
    seen: list[str] = []
    now = NOW
    for step in range(12):
        state = cronjob.observe(world, Key("n", "c"))
        assert state is not None
        for number, action in enumerate(plan(state, now).actions):
            if number == step % 3:
                break
            if isinstance(action, Create):
                name = action.obj["metadata"]["name"]
                made = {**action.obj, "metadata": {**action.obj["metadata"], "uid": f"{name}-uid"}, "status": {}}
                world.put(JOBS, made)
                seen.append(name)
            elif isinstance(action, UpdateStatus):
                world.put(CRON_JOBS, action.obj)
        now += timedelta(seconds=20)
    numbers = [int(name.removeprefix("c-")) for name in seen]
    assert all(after > before for before, after in pairwise(numbers))
    assert len(seen) >= 3
