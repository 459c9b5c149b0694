"""Jobs: pods until as many have succeeded as are wanted, or the Job has failed.

The status is written after the pods are made and before any of them may go, and what a pass writes wakes the next one:
so a Job ends in steps, each decided on what is stored (`job_status` says how pods are counted).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice

from controllers import job_backoff
from controllers.claiming import adopters, controlled, is_selected, orphans, selecting
from controllers.job_backoff import Failures
from controllers.job_indexes import Indexes
from controllers.job_pods import (
    adopted,
    finished_at,
    index_failures,
    index_of,
    is_ours,
    made_pod,
    made_pod_of_index,
    released,
    replaces_failed_only,
    surplus,
    untracked,
)
from controllers.job_policies import failure_of
from controllers.job_status import Account, Work, account, condition, put
from controllers.job_tally import State, Tally, Verdict, deadline_remaining, missing, tally, verdict, wanted
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
    key_of,
    selects_own,
    status_update,
)
from machinery.api import selectors
from machinery.api.errors import StatusError
from machinery.api.resources import JOBS, PODS
from machinery.api.timestamps import rfc3339
from machinery.api.views import Job, Pod
from machinery.client.cache import Cache, Change

BURST = 500
REACHED = Verdict("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
_COUNTS_SETTLE, _ENDS_SETTLE = 1.0, 0.25
_RETRIES = (1.0, 60.0)
"""Seconds: a quota that forbids pods is not soon another."""


def plan(state: State, now: datetime) -> Plan:
    job = state.job
    if not is_ours(job) or job.finished:
        return Plan()
    if job.completion_mode not in ("NonIndexed", "Indexed"):
        said = "Skipped Job sync because completion mode is unknown"
        return Plan([Record(job.obj, "Warning", "UnknownCompletionMode", said)])
    selector = selectors.stored_selector(job.selector)
    if not selects_own(selector, job.template):
        return Plan()
    claims = _claims(state, selector)
    # What they change is decided on once it is seen.
    return Plan(claims) if claims else _decided(state, now)


def _decided(state: State, now: datetime) -> Plan:
    """Pods are made or deleted, what has ended is counted, and it is told how the Job stands."""
    job = state.job
    counts, moment = tally(state), rfc3339(now)
    started = _started(job, moment)
    ends = verdict(state, counts, started, now)
    actions: list[Action] = []
    wait = None
    if ends is not None:
        actions = _deletions(job, counts.active)
    elif not job.deleted:
        actions, wait = _managed(state, counts, now)
    work = _work(counts, actions)
    if ends is None and _is_reached(job, counts, work):
        ends = REACHED
    accounted = account(state, counts, ends, work, started, moment)
    told = _ended(job, ends, accounted, work, moment) if ends else _suspended(job, accounted, moment)
    follow_up = _written(job, accounted, told)

    def on_failure(action: Action, error: StatusError) -> list[Action]:
        if not isinstance(action, Create | Delete):
            return []
        # Pods that can't be made or deleted are no reason to forget those that ended.
        seen = Work(len(counts.active), sum(pod.is_ready for pod in counts.active), len(counts.terminating))
        return _written(job, account(state, counts, None, seen, started, moment), [])

    waits = [each for each in (wait, deadline_remaining(job, started, now)) if each is not None]
    return Plan([*actions, *follow_up], min(waits) if waits and ends is None else None, on_failure)


def _claims(state: State, selector: selectors.LabelSelector) -> list[Action]:
    """Adopts pods that the selector matches, releases those that it no longer does."""
    job = state.job
    taken = [] if job.deleted else [adopted(job, pod) for pod in state.orphans]
    return [*taken, *(released(job, pod) for pod in state.pods if not selector.matches(pod.labels))]


def _started(job: Job, now: str) -> str:
    """Since when the Job is at work; anew when it is resumed, so that a deadline counts the time at work alone."""
    if job.suspend:
        return job.start_time
    return now if job.is_true("Suspended") else job.start_time or now


def _managed(state: State, counts: Tally, now: datetime) -> tuple[list[Action], float | None]:
    """Deletes surplus pods, or makes missing ones; seconds to wait where a back-off forbids that now."""
    job = state.job
    aim = 0 if job.suspend else wanted(job, counts)
    gone = surplus(job, counts.active, max(len(counts.active) - aim, 0))[:BURST]
    if gone or job.suspend:
        # They are not counted, so they are let go first.
        return [action for pod in gone for action in (untracked(pod), *_deletions(job, (pod,)))], None
    number = min(missing(job, counts), BURST)
    if not number:
        return [], None
    if job.backoff_limit_per_index is None and (wait := state.failures.remaining(now)):
        return [], wait
    if not job.is_indexed:
        return [Create(PODS, made_pod(job), job.obj) for _ in range(number)], None
    return _indexed(state, counts, number, now)


def _indexed(state: State, counts: Tally, number: int, now: datetime) -> tuple[list[Action], float | None]:
    """Pods of the first indexes that need one and whose own back-off has passed."""
    job = state.job
    busy = [*counts.active, *(counts.terminating if replaces_failed_only(job) else ())]
    settled = counts.done | (counts.lost or Indexes()) | Indexes.of(i for pod in busy if (i := index_of(pod)) >= 0)
    due = {
        index: _index_wait(counts.awaited.get(index), now)
        for index in islice(settled.missing(job.completions or 0), number)
    }
    ready = [index for index, wait in due.items() if not wait]
    creates: list[Action] = [
        Create(PODS, made_pod_of_index(job, index, _inherited(job, counts, index)), job.obj) for index in ready
    ]
    return creates, None if creates else min(due.values(), default=None)


def _index_wait(failed: Pod | None, now: datetime) -> float:
    if failed is None:
        return 0.0
    return job_backoff.remaining(sum(index_failures(failed)) + 1, finished_at(failed), now)


def _inherited(job: Job, counts: Tally, index: int) -> tuple[int, int] | None:
    """How often the index has failed, with the pod that is replaced."""
    if job.backoff_limit_per_index is None:
        return None
    failed = counts.awaited.get(index)
    if failed is None:
        return 0, 0
    counted, ignored = index_failures(failed)
    return (counted + 1, ignored) if failure_of(job, failed).counts else (counted, ignored + 1)


def _deletions(job: Job, pods: Iterable[Pod]) -> list[Action]:
    return [Delete(PODS, key_of(pod.obj), uid=pod.uid, about=job.obj) for pod in pods]


def _work(counts: Tally, actions: Iterable[Action]) -> Work:
    gone = {action.uid for action in actions if isinstance(action, Delete)}
    made = sum(isinstance(action, Create) for action in actions)
    left = [pod for pod in counts.active if pod.uid not in gone]
    return Work(len(left) + made, sum(pod.is_ready for pod in left), len(counts.terminating) + len(gone))


def _is_reached(job: Job, counts: Tally, work: Work) -> bool:
    least = 1 if job.completions is None else job.completions
    return counts.succeeded >= least and not work.active


def _ended(job: Job, ends: Verdict, accounted: Account, work: Work, now: str) -> list[Action]:
    """Says in the status that the Job has ended, once all is counted; the Events about it."""
    if not accounted.is_settled or work.terminating or not job.is_true(ends.interim):
        return []
    status = accounted.status
    # One that was suspended has none, and what has ended must have begun.
    status.setdefault("startTime", now)
    status["conditions"] = put(status["conditions"], condition(ends.final, "True", ends.reason, ends.message, now))
    if not ends.is_success:
        return [Record(job.obj, "Warning", ends.reason, ends.message)]
    status["completionTime"] = now
    too_many = job.completions is not None and status.get("succeeded", 0) > job.completions
    said = "Too many succeeded pods running after completion count reached"
    warning = [Record(job.obj, "Warning", "TooManySucceededPods", said)] if too_many else []
    return [*warning, Record(job.obj, "Normal", "Completed", "Job completed")]


def _suspended(job: Job, accounted: Account, now: str) -> list[Action]:
    """Says in the status whether the Job is suspended; the Event where that is new."""
    if job.deleted:
        return []
    word = "Suspended" if job.suspend else "Resumed"
    told = condition("Suspended", str(job.suspend), f"Job{word}", f"Job {word.lower()}", now)
    conditions = put(job.conditions, told)
    if conditions == job.conditions:
        return []
    accounted.status["conditions"] = conditions
    if job.suspend:
        # While it is unset the API takes changes of where the pods may go.
        accounted.status.pop("startTime", None)
    return [Record(job.obj, "Normal", word, f"Job {word.lower()}")]


def _written(job: Job, accounted: Account, told: Iterable[Action]) -> list[Action]:
    """The status before the pods may go, then what is told of it."""
    return [*status_update(JOBS, job.obj, accounted.status), *map(untracked, accounted.untracked), *told]


def observer() -> Callable[[Cache, Key], State | None]:
    """Looks at a Job and remembers the failures of pods that go before their back-off has passed."""
    seen: dict[Key, tuple[str, Failures]] = {}

    def observe(cache: Cache, key: Key) -> State | None:
        found = cache.get(JOBS, key.namespace, key.name)
        job = Job(found) if found is not None else None
        if job is None or job.finished:
            seen.pop(key, None)
            return None
        pods = tuple(map(Pod, controlled(cache, PODS, job.uid)))
        uid, before = seen.get(key, ("", Failures()))
        failures = job_backoff.after(before if uid == job.uid else Failures(), job, pods)
        seen[key] = job.uid, failures
        adoptable = tuple(map(Pod, orphans(cache, PODS, job.namespace, selecting(job.obj))))
        return State(job, pods, adoptable, failures)

    return observe


def settles(change: Change) -> float:
    """Pods end together often; whether they are ready hurries nobody."""
    if change.resource != PODS:
        return 0.0
    pod = Pod(change.object)
    return _ENDS_SETTLE if change.after is None or not pod.is_active else _COUNTS_SETTLE


def job() -> Controller:
    return Controller(
        "job",
        wakes={JOBS: itself, PODS: controller_owner("Job")},
        observe=observer(),
        plan=plan,
        related=adopters(JOBS, (PODS,), is_selected),
        settles=settles,
        retries=_RETRIES,
    )
