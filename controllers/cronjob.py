"""CronJobs: a Job for each time that its schedule names, named by its minute so that none is made twice.

A pass makes the Job, the next one sees it and writes the status: whatever happens in between, the Job itself tells
when it was due.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from controllers.cronjob_schedule import Due, NeverDueError, due, next_after
from controllers.plan import (
    Action,
    Controller,
    Create,
    Delete,
    Key,
    Plan,
    Record,
    controller_owner,
    itself,
    owner_reference,
    status_update,
)
from machinery.api.cron import Schedule, parse_schedule
from machinery.api.errors import StatusError
from machinery.api.resource import Object
from machinery.api.resources import CRON_JOBS, JOBS
from machinery.api.timestamps import parse_time, rfc3339
from machinery.api.views import CronJob, Job
from machinery.client.cache import Cache
from machinery.structs import Struct

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_TOO_MANY = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
_ACTIVE = "Not starting job because prior execution is running and concurrency policy is Forbid"
_SLACK = 0.1
"""Seconds after the full minute, so that a clock that is a little early does not wake twice."""
_LONGEST = 600.0
"""A machine that sleeps passes a time without having waited for it: the clock of waits stands still meanwhile."""


class State(Struct, frozen=True):
    """The CronJob, the Jobs that it controls, and the names that other Jobs of the namespace have."""

    cron_job: CronJob
    jobs: tuple[Job, ...] = ()
    taken: frozenset[str] = frozenset()


class Ledger(Struct):
    """The status as it will be, and what is told of the changes."""

    cron_job: CronJob
    active: list[Object]
    last_scheduled: str
    last_successful: str
    told: list[Action]

    def tell(self, type_: str, reason: str, message: str) -> None:
        self.told.append(Record(self.cron_job.obj, type_, reason, message))

    @property
    def status(self) -> Object:
        fields = {
            "active": self.active,
            "lastScheduleTime": self.last_scheduled,
            "lastSuccessfulTime": self.last_successful,
        }
        return {name: value for name, value in fields.items() if value}


def plan(state: State, now: datetime) -> Plan:
    cron_job = state.cron_job
    ledger = Ledger(cron_job, list(cron_job.active), cron_job.last_schedule_time, cron_job.last_successful_time, [])
    surplus = _surplus(state)
    _follow(state, ledger, {job.uid for job in surplus})
    started, wait = _started(state, ledger, now)
    told = status_update(CRON_JOBS, cron_job.obj, ledger.status)
    # A Job that goes before the status tells of it would be made again.
    cleaned = [action for job in surplus for action in _deleted(cron_job, job.name, job.uid)]
    actions = [*ledger.told, *started, *told, *cleaned]

    def on_failure(action: Action, error: StatusError) -> Sequence[Action]:
        if isinstance(action, Create) and not error.is_of_a_namespace_that_ends:
            return [Record(cron_job.obj, "Warning", "FailedCreate", f"Error creating job: {error.message}")]
        if isinstance(action, Delete):
            return [Record(cron_job.obj, "Warning", "FailedDelete", f"Deleted job: {error.message}")]
        return ()

    return Plan(actions, wait, on_failure)


def _follow(state: State, ledger: Ledger, going: Container[str]) -> None:
    """Brings the list of running Jobs up to what the Jobs are; that those `going` (uids) have ended is not told."""
    known = {ref["uid"] for ref in ledger.active}
    for job in sorted(state.jobs, key=lambda job: (job.annotations.get(SCHEDULED, ""), job.name)):
        if job.uid not in known:
            _meet(job, ledger)
        if job.finished and (job.uid in known or _is_new(job, state.cron_job)):
            ledger.active = [ref for ref in ledger.active if ref["uid"] != job.uid]
            if job.uid not in going:
                ledger.tell("Normal", "SawCompletedJob", f"Saw completed job: {job.name}, condition: {job.finished}")
        if job.finished == "Complete" and job.completion_time > ledger.last_successful:
            ledger.last_successful = job.completion_time
    new = [ref for ref in ledger.active if ref["uid"] not in known]
    if new and state.cron_job.concurrency_policy == "Replace":
        # The pass that made it deleted the others.
        ledger.active = new
    present = {job.uid for job in state.jobs}
    for ref in ledger.active:
        if ref["uid"] not in present:
            ledger.tell("Normal", "MissingJob", f"Active job went missing: {ref['name']}")
    ledger.active = [ref for ref in ledger.active if ref["uid"] in present]


def _meet(job: Job, ledger: Ledger) -> None:
    """A Job that the status does not list: one that a former pass made, or somebody else did."""
    if _is_new(job, ledger.cron_job):
        ledger.last_scheduled = max(ledger.last_scheduled, _scheduled(job))
        ledger.active.append(_reference(job))
    elif not job.finished:
        said = f"Saw a job that the controller did not create or forgot: {job.name}"
        ledger.tell("Warning", "UnexpectedJob", said)


def _scheduled(job: Job) -> str:
    """When it was due, in UTC; empty for a Job that somebody made by hand."""
    try:
        return rfc3339(parse_time(job.annotations.get(SCHEDULED, "")))
    except ValueError:
        return ""


def _is_new(job: Job, cron_job: CronJob) -> bool:
    """Whether a pass made it whose status was not written."""
    moment = _scheduled(job)
    return moment > cron_job.last_schedule_time and job.name == _job_name(cron_job, parse_time(moment))


def _reference(job: Job) -> Object:
    found = {"apiVersion": JOBS.api_version, "kind": JOBS.kind, "name": job.name, "namespace": job.namespace}
    return {**found, "uid": job.uid, "resourceVersion": job.resource_version}


def _started(state: State, ledger: Ledger, now: datetime) -> tuple[list[Action], float | None]:
    """The Job that is due now, and the seconds until the next one is."""
    cron_job = state.cron_job
    if cron_job.deleted:
        return [], None
    try:
        zone = _zone(cron_job.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        said = f'invalid timeZone: "{cron_job.time_zone}": unknown time zone {cron_job.time_zone}'
        ledger.tell("Warning", "UnknownTimeZone", said)
        return [], None
    if cron_job.suspend:
        return [], None
    try:
        schedule = parse_schedule(cron_job.schedule)
    except ValueError as error:
        said = f'unparseable schedule: "{cron_job.schedule}" : {error}'
        ledger.tell("Warning", "UnparseableSchedule", said)
        return [], None
    try:
        found = due(schedule, zone, _since(cron_job, ledger, now), now)
        actions = _due(state, ledger, found, zone, now)
        return actions, _wait(schedule, zone, ledger, now)
    except NeverDueError as error:
        ledger.tell("Warning", "InvalidSchedule", f"invalid schedule: {cron_job.schedule} : {error}")
        return [], None


def _zone(name: str) -> tzinfo:
    return ZoneInfo(name) if name else UTC


def _since(cron_job: CronJob, ledger: Ledger, now: datetime) -> datetime:
    """From when on runs count that were missed: the last one, or the deadline before now."""
    last = parse_time(ledger.last_scheduled or cron_job.created)
    if cron_job.starting_deadline_seconds is None:
        return last
    return max(last, now - timedelta(seconds=cron_job.starting_deadline_seconds))


def _wait(schedule: Schedule, zone: tzinfo, ledger: Ledger, now: datetime) -> float:
    """Seconds until the next time after those that have passed, whether they were started or not; not too many."""
    last = parse_time(ledger.last_scheduled or ledger.cron_job.created)
    passed = due(schedule, zone, last, now)
    since = passed.latest or (now if passed.missed else last)
    left = max((next_after(schedule, zone, since) - now) / timedelta(seconds=1), 0.0)
    return min(left + _SLACK, _LONGEST)


def _due(state: State, ledger: Ledger, found: Due, zone: tzinfo, now: datetime) -> list[Action]:
    cron_job, moment = state.cron_job, found.latest
    if moment is None:
        return []
    if found.is_too_many:
        ledger.tell("Warning", "TooManyMissedTimes", _TOO_MANY)
    deadline = cron_job.starting_deadline_seconds
    if deadline is not None and moment + timedelta(seconds=deadline) < now:
        said = f"Missed scheduled time to start a job: {moment:%a, %d %b %Y %H:%M:%S} +0000"
        ledger.tell("Warning", "MissSchedule", said)
        return []
    name = _job_name(cron_job, moment)
    if name in state.taken or any(job.name == name for job in state.jobs):
        return []
    if cron_job.concurrency_policy == "Forbid" and ledger.active:
        ledger.tell("Normal", "JobAlreadyActive", _ACTIVE)
        return []
    gone: list[Action] = []
    if cron_job.concurrency_policy == "Replace":
        # They are listed until the pass that lists their successor.
        gone = [action for ref in ledger.active for action in _deleted(cron_job, ref["name"], ref["uid"])]
    made = Create(JOBS, _job(cron_job, name, moment, zone))
    return [*gone, made, Record(cron_job.obj, "Normal", "SuccessfulCreate", f"Created job {name}")]


def _job_name(cron_job: CronJob, moment: datetime) -> str:
    return f"{cron_job.name}-{int(moment.timestamp()) // 60}"


def _job(cron_job: CronJob, name: str, moment: datetime, zone: tzinfo) -> Object:
    template = cron_job.job_template
    metadata = template.get("metadata") or {}
    local = moment.astimezone(zone).isoformat().replace("+00:00", "Z")
    made: Object = {
        "name": name,
        "namespace": cron_job.namespace,
        "annotations": {**(metadata.get("annotations") or {}), SCHEDULED: local},
        "ownerReferences": [owner_reference(CRON_JOBS, cron_job.obj)],
    }
    if metadata.get("labels"):
        made["labels"] = metadata["labels"]
    return {"apiVersion": JOBS.api_version, "kind": JOBS.kind, "metadata": made, "spec": template.get("spec") or {}}


def _surplus(state: State) -> list[Job]:
    """The oldest Jobs that have ended beyond the history limits."""
    cron_job = state.cron_job
    limits = (
        ("Complete", cron_job.successful_jobs_history_limit),
        ("Failed", cron_job.failed_jobs_history_limit),
    )
    surplus: list[Job] = []
    for kind, limit in limits:
        ended = [job for job in state.jobs if job.finished == kind and not job.deleted]
        oldest = sorted(ended, key=lambda job: (job.start_time, job.name))
        surplus += oldest[: max(len(ended) - limit, 0)]
    return surplus


def _deleted(cron_job: CronJob, name: str, uid: str) -> list[Action]:
    gone = Delete(JOBS, Key(cron_job.namespace, name), uid=uid, propagation="Background")
    return [gone, Record(cron_job.obj, "Normal", "SuccessfulDelete", f"Deleted job {name}")]


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(CRON_JOBS, key.namespace, key.name)
    if found is None:
        return None
    cron_job = CronJob(found)
    own: list[Job] = []
    others: list[Job] = []
    for job in map(Job, cache.list(JOBS, key.namespace)):
        is_own = (job.controller or {}).get("uid") == cron_job.uid
        (own if is_own else others).append(job)
    return State(cron_job, tuple(own), frozenset(job.name for job in others))


CRON_JOB = Controller(
    "cronjob",
    wakes={CRON_JOBS: itself, JOBS: controller_owner("CronJob")},
    observe=observe,
    plan=plan,
)
