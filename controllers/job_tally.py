"""What a Job's pods amount to: who is at work, what has ended and is not yet counted, and whether that ends the Job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from controllers.job_backoff import Failures
from controllers.job_indexes import Indexes
from controllers.job_pods import (
    finished_at,
    has_index_of,
    index_failures,
    index_of,
    is_failed,
    is_terminating,
    is_tracked,
    replaces_failed_only,
)
from controllers.job_policies import failure_of, success_of
from machinery.api.timestamps import parse_time
from machinery.api.views import Job, Pod
from machinery.structs import Struct, field

POD_FAILURE_POLICY = "PodFailurePolicy"


class State(Struct, frozen=True):
    """The Job, the pods that it controls, and pods that its selector matches and nobody controls."""

    job: Job
    pods: tuple[Pod, ...] = ()
    orphans: tuple[Pod, ...] = ()
    failures: Failures = Failures()


class Verdict(Struct, frozen=True):
    """That the Job ends, and why: `interim` is the condition that says so before all is counted."""

    interim: str
    reason: str
    message: str

    @property
    def is_success(self) -> bool:
        return self.interim == "SuccessCriteriaMet"

    @property
    def final(self) -> str:
        return "Complete" if self.is_success else "Failed"


class Tally(Struct, frozen=True):
    """`succeeded` and `failed` include what is not yet counted in the status.

    `lost` are the indexes that failed for good, None where they are not told apart; `awaited` are failed pods, by
    index, that stay until their replacement has taken over the number of failures.
    """

    active: tuple[Pod, ...]
    terminating: tuple[Pod, ...]
    succeeded: int
    failed: int
    done: Indexes = Indexes()
    lost: Indexes | None = None
    awaited: Mapping[int, Pod] = field(default_factory=dict)


def tally(state: State) -> Tally:
    job = state.job
    active = tuple(pod for pod in state.pods if pod.is_active)
    new = [pod for pod in state.pods if is_tracked(pod) and has_index_of(job, pod)]
    succeeded = [pod for pod in new if pod.phase == "Succeeded"]
    failed = [pod for pod in new if is_failed(job, pod)]
    told = set(job.uncounted_failed)
    counted = sum(failure_of(job, pod).counts for pod in failed if pod.uid not in told)
    done, lost, awaited = Indexes(), None, {}
    if job.is_indexed:
        completions = job.completions or 0
        done = Indexes.parse(job.completed_indexes, completions) | Indexes.of(map(index_of, succeeded))
        if job.backoff_limit_per_index is not None:
            gone = (index_of(pod) for pod in failed if _loses_index(job, pod))
            lost = Indexes.parse(job.failed_indexes, completions) | Indexes.of(gone)
            awaited = _awaited(failed, done | lost | Indexes.of(map(index_of, active)))
        total = len(done)
    else:
        total = job.succeeded + len({*job.uncounted_succeeded, *(pod.uid for pod in succeeded)})
    return Tally(
        active,
        tuple(filter(is_terminating, state.pods)),
        total,
        job.failed + counted + len(told),
        done,
        lost,
        awaited,
    )


def _loses_index(job: Job, pod: Pod) -> bool:
    failure = failure_of(job, pod)
    if failure.action == "FailIndex":
        return True
    return failure.counts and index_failures(pod)[0] >= (job.backoff_limit_per_index or 0)


def _awaited(failed: Iterable[Pod], settled: Indexes) -> dict[int, Pod]:
    """The last pod to fail of each index that still needs a new one."""
    found: dict[int, Pod] = {}
    for pod in sorted(failed, key=lambda pod: (sum(index_failures(pod)), finished_at(pod))):
        if index_of(pod) not in settled:
            found[index_of(pod)] = pod
    return found


def verdict(state: State, counts: Tally, started: str, now: datetime) -> Verdict | None:
    """Why the Job must end now; what was decided before stands. `started` is its start time, "" while it has none."""
    job = state.job
    for interim in ("SuccessCriteriaMet", "FailureTarget"):
        if job.is_true(interim):
            told = job.condition(interim) or {}
            return Verdict(interim, told.get("reason", ""), told.get("message", ""))
    reason, message = _failure(state, counts, started, now)
    if reason:
        return Verdict("FailureTarget", reason, message)
    met = success_of(job, counts.done) if job.is_indexed else ""
    return Verdict("SuccessCriteriaMet", "SuccessPolicy", met) if met else None


def _failure(state: State, counts: Tally, started: str, now: datetime) -> tuple[str, str]:
    job = state.job
    refused = _refused_by_policy(state)
    if refused:
        return POD_FAILURE_POLICY, refused
    if counts.failed > job.backoff_limit or _restarts_too_often(state):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    if deadline_remaining(job, started, now) == 0:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    if counts.lost is None:
        return "", ""
    if job.max_failed_indexes is not None and len(counts.lost) > job.max_failed_indexes:
        return "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
    if counts.lost and len(counts.lost) + len(counts.done) >= (job.completions or 0):
        return "FailedIndexes", "Job has failed indexes"
    return "", ""


def _refused_by_policy(state: State) -> str:
    if state.job.pod_failure_policy is None:
        return ""
    failed = (pod for pod in state.pods if is_failed(state.job, pod))
    return next((said for pod in failed if (said := failure_of(state.job, pod).message)), "")


def _restarts_too_often(state: State) -> bool:
    """Containers that are restarted in place count by their restarts."""
    if state.job.restart_policy != "OnFailure":
        return False
    running = [pod for pod in state.pods if pod.phase in ("Running", "Pending")]
    statuses = (status for pod in running for status in (*pod.init_container_statuses, *pod.container_statuses))
    restarts: int = sum(status.get("restartCount", 0) for status in statuses)
    return restarts >= max(state.job.backoff_limit, 1)


def deadline_remaining(job: Job, started: str, now: datetime) -> float | None:
    """Seconds until the active deadline, None where there is none or time does not run."""
    if job.active_deadline_seconds is None or not started or job.suspend:
        return None
    passed = (now - parse_time(started)) / timedelta(seconds=1)
    return max(job.active_deadline_seconds - passed, 0.0)


def wanted(job: Job, counts: Tally) -> int:
    """How many pods are to be at work."""
    if job.completions is None:
        # Once one pod has said that the work is done, the others end by themselves.
        return len(counts.active) if counts.succeeded else job.parallelism
    return max(min(job.completions - counts.succeeded, job.parallelism), 0)


def missing(job: Job, counts: Tally) -> int:
    leaving = len(counts.terminating) if replaces_failed_only(job) else 0
    return max(wanted(job, counts) - leaving - len(counts.active), 0)
