"""The status of a Job, and how pods are counted in it exactly once.

A pod that has ended is first told in `uncountedTerminatedPods`, then loses its finalizer, and is counted once it is
seen without it: wherever the process dies in between, the next look goes on from what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence

from controllers.job_indexes import Indexes
from controllers.job_pods import has_index_of, index_of, is_failed, is_tracked
from controllers.job_policies import failure_of
from controllers.job_tally import State, Tally, Verdict
from machinery.api.resource import Object
from machinery.api.views import Job, Pod
from machinery.structs import Struct

MOST_UNCOUNTED = 500
"""So the lists of uids stay below 20 KB, and one big Job lets others have their turn."""


class Work(Struct, frozen=True):
    """What is at work once the plan's actions are done."""

    active: int
    ready: int
    terminating: int


class Account(Struct, frozen=True):
    """The status to write, and the pods that may go once it is written."""

    status: Object
    untracked: Sequence[Pod]

    @property
    def is_settled(self) -> bool:
        return not self.untracked and not any(self.status["uncountedTerminatedPods"].values())


def condition(kind: str, status: str, reason: str, message: str, now: str) -> Object:
    times = {"lastProbeTime": now, "lastTransitionTime": now}
    return {"type": kind, "status": status, **times, "reason": reason, "message": message}


def put(conditions: Sequence[Object], new: Object) -> list[Object]:
    """The conditions with `new`, unless it says what is there; that something never was is not worth telling."""
    before = next((each for each in conditions if each["type"] == new["type"]), None)
    if before is None:
        return [*conditions, new] if new["status"] == "True" else list(conditions)
    if all(before.get(name) == new[name] for name in ("status", "reason", "message")):
        return list(conditions)
    return [new if each is before else each for each in conditions]


def account(state: State, counts: Tally, verdict: Verdict | None, work: Work, started: str, now: str) -> Account:
    """Counts what has gone, and tells of what has ended; with the interim condition where the Job ends."""
    job = state.job
    present = {pod.uid for pod in state.pods if is_tracked(pod)}
    succeeded = [uid for uid in job.uncounted_succeeded if uid in present]
    failed = [uid for uid in job.uncounted_failed if uid in present]
    counted = {
        "succeeded": job.succeeded + len(job.uncounted_succeeded) - len(succeeded),
        "failed": job.failed + len(job.uncounted_failed) - len(failed),
    }
    untracked, new_indexes = _end(state, counts, verdict, succeeded, failed)
    status: Object = {**job.status, "ready": work.ready, "terminating": work.terminating}
    if job.is_indexed:
        done = Indexes.parse(job.completed_indexes, job.completions or 0) | Indexes.of(new_indexes)
        counted["succeeded"] = len(done)
        _set(status, "completedIndexes", str(done))
        if counts.lost is not None:
            status["failedIndexes"] = str(counts.lost)
    _set(status, "startTime", started)
    for name, number in (("active", work.active), *counted.items()):
        _set(status, name, number)
    uncounted = {"succeeded": succeeded, "failed": failed}
    status["uncountedTerminatedPods"] = {name: uids for name, uids in uncounted.items() if uids}
    if verdict is not None:
        interim = condition(verdict.interim, "True", verdict.reason, verdict.message, now)
        status["conditions"] = put(job.conditions, interim)
    return Account(status, untracked)


def _end(
    state: State, counts: Tally, verdict: Verdict | None, succeeded: list[str], failed: list[str]
) -> tuple[list[Pod], list[int]]:
    """The pods that may go and the indexes that succeeded by them; uids yet to be counted join the lists."""
    job = state.job
    untracked: list[Pod] = []
    indexes: list[int] = []
    for pod in sorted(filter(is_tracked, state.pods), key=index_of):
        if len(indexes) + len(succeeded) + len(failed) >= MOST_UNCOUNTED:
            break
        if not _may_go(job, counts, verdict, pod):
            continue
        untracked.append(pod)
        if pod.phase == "Succeeded" and pod.uid not in failed:
            if job.is_indexed:
                # The index itself tells what is counted.
                indexes += [index_of(pod)] if has_index_of(job, pod) else []
            elif pod.uid not in succeeded:
                succeeded.append(pod.uid)
        elif _counts_as_failed(job, verdict, pod) and pod.uid not in failed:
            failed.append(pod.uid)
    return untracked, indexes


def _may_go(job: Job, counts: Tally, verdict: Verdict | None, pod: Pod) -> bool:
    if job.deleted or verdict is not None or pod.phase == "Succeeded":
        return True
    awaited = counts.awaited.get(index_of(pod))
    return is_failed(job, pod) and (awaited is None or awaited.uid != pod.uid)


def _counts_as_failed(job: Job, verdict: Verdict | None, pod: Pod) -> bool:
    """With a Job that fails every pod fails that has not ended."""
    is_lost = verdict is not None and not verdict.is_success
    return (is_lost or is_failed(job, pod)) and has_index_of(job, pod) and failure_of(job, pod).counts


def _set(status: Object, name: str, value: int | str) -> None:
    """Zero and empty values are left out, as the API writes them."""
    if value:
        status[name] = value
    else:
        status.pop(name, None)
