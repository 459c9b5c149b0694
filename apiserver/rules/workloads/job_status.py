"""What upstream refuses in a Job's status: it ends once, in order, and its counts never go back (batch/v1).

Since others may manage a Job (KEP-4368), each rule is asked only where what it is about changes: a status that is odd
already doesn't keep the rest from being written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from apiserver.rules.field_errors import duplicate, invalid_value, not_negative, required
from apiserver.rules.immutability import IMMUTABLE
from apiserver.rules.workloads.job_indexes import overlap, read_indexes
from apiserver.rules.workloads.job_policies import wrong
from machinery.api.errors import Cause
from machinery.api.resource import Object

_CONDITIONS = "status.conditions"
_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")


class _View(NamedTuple):
    """A Job's status as the rules read it."""

    spec: Object
    status: Object
    complete: bool
    failed: bool
    failing: bool
    """It is about to fail."""
    succeeding: bool
    suspended: bool

    @property
    def finished(self) -> bool:
        return self.complete or self.failed


def _view(job: Object, spec: Object) -> _View:
    status = job.get("status") or {}
    true = {each.get("type") for each in status.get("conditions") or () if each.get("status") == "True"}
    known = ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet", "Suspended")
    return _View(spec, status, *(kind in true for kind in known))


def job_status_errors(new: Object, old: Object) -> list[Cause]:
    now, was = _view(new, new.get("spec") or {}), _view(old, old.get("spec") or {})
    errors = list(_count_errors(now.status))
    errors += _end_errors(now, was)
    errors += _finished_errors(now, was)
    errors += _index_errors(now, was)
    errors += _pod_errors(now, was)
    errors += _success_errors(now)
    return [*errors, *_change_errors(now, was)]


def _count_errors(status: Object) -> Iterator[Cause]:
    for field in _COUNTS:
        if status.get(field) is not None:
            yield from not_negative(f"status.{field}", status[field])
    seen: set[str] = set()
    for part in ("succeeded", "failed"):
        for index, uid in enumerate((status.get("uncountedTerminatedPods") or {}).get(part) or ()):
            path = f"status.uncountedTerminatedPods.{part}[{index}]"
            if not uid:
                yield invalid_value(path, uid, "must not be empty")
            elif uid in seen:
                yield duplicate(path, uid)
            seen.add(uid)


def _end_errors(now: _View, was: _View) -> Iterator[Cause]:
    """How it ends: one way alone, each announced before."""
    completes, fails = now.complete != was.complete, now.failed != was.failed
    ends, starts = now.status.get("completionTime"), now.status.get("startTime")
    is_new_end, is_new_start = ends != was.status.get("completionTime"), starts != was.status.get("startTime")
    if (completes or fails) and now.complete and now.failed:
        yield wrong(_CONDITIONS, "cannot set Complete=True and Failed=true conditions")
    if (completes or now.failing != was.failing) and now.complete and now.failing:
        yield wrong(_CONDITIONS, "cannot set Complete=True and FailureTarget=true conditions")
    path = "status.completionTime"
    if (completes or is_new_end) and ends and not now.complete:
        yield invalid_value(path, ends, "cannot set completionTime when there is no Complete=True condition")
    if (completes or is_new_end) and now.complete and not ends:
        yield required(path, "completionTime is required for Complete jobs")
    if (is_new_start or is_new_end) and starts and ends and ends < starts:
        yield invalid_value(path, ends, "must be equal to or after `startTime`")
    is_new_failure = now.status.get("failedIndexes") != was.status.get("failedIndexes")
    if (fails or is_new_failure) and now.failed and not now.failing:
        yield wrong(_CONDITIONS, "cannot set Failed=True condition without the FailureTarget=true condition")
    if (completes or now.succeeding != was.succeeding) and now.complete and not now.succeeding:
        yield wrong(_CONDITIONS, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition")


def _finished_errors(now: _View, was: _View) -> Iterator[Cause]:
    """What has ended has begun, and nothing of it runs or waits to be counted."""
    if not now.finished:
        return
    ends, status, before = now.finished != was.finished, now.status, was.status
    active, uncounted = status.get("active") or 0, status.get("uncountedTerminatedPods")
    if (ends or active != (before.get("active") or 0)) and active > 0:
        yield invalid_value("status.active", active, "active>0 is invalid for finished job")
    is_idle = bool(now.spec.get("suspend")) and now.spec.get("completions") == 0
    starts = status.get("startTime")
    if (ends or starts != before.get("startTime")) and not starts and not is_idle:
        yield required("status.startTime", "startTime is required for finished job")
    waiting = [uid for part in (uncounted or {}).values() for uid in part or ()]
    if (ends or uncounted != before.get("uncountedTerminatedPods")) and waiting:
        shown = {"Succeeded": (uncounted or {}).get("succeeded"), "Failed": (uncounted or {}).get("failed")}
        yield invalid_value("status.uncountedTerminatedPods", shown, "must be empty for finished job")


def _index_errors(now: _View, was: _View) -> Iterator[Cause]:
    done, lost = now.status.get("completedIndexes") or "", now.status.get("failedIndexes")
    is_new_done = done != (was.status.get("completedIndexes") or "")
    is_new_lost = lost != was.status.get("failedIndexes")
    completions, limit = now.spec.get("completions"), now.spec.get("backoffLimitPerIndex")
    if is_new_done and completions is not None:
        yield from _format_errors("completedIndexes", done, completions)
    if is_new_lost and lost is not None and completions is not None and limit is not None:
        yield from _format_errors("failedIndexes", lost, completions)
    if is_new_done and done and now.spec.get("completionMode") != "Indexed":
        detail = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield invalid_value("status.completedIndexes", done, detail)
    if is_new_lost and lost is not None and limit is None:
        detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield invalid_value("status.failedIndexes", lost, detail)
    if (is_new_done or is_new_lost) and lost and completions is not None:
        shared = overlap(done, lost, completions)
        if shared is not None:
            detail = f"failedIndexes and completedIndexes overlap at index: {shared}"
            yield invalid_value("status.failedIndexes", lost, detail)


def _format_errors(field: str, text: str, completions: int) -> Iterator[Cause]:
    try:
        read_indexes(text, completions)
    except ValueError as error:
        yield invalid_value(f"status.{field}", text, f"error parsing {field}: {error}")


def _pod_errors(now: _View, was: _View) -> Iterator[Cause]:
    status, before = now.status, was.status
    going, ready, active = status.get("terminating"), status.get("ready"), status.get("active") or 0
    if now.finished and (now.finished != was.finished or going != before.get("terminating")) and (going or 0) > 0:
        yield invalid_value("status.terminating", going, "terminating>0 is invalid for finished job")
    is_changed = ready != before.get("ready") or active != (before.get("active") or 0)
    if is_changed and ready is not None and ready > active:
        yield invalid_value("status.ready", ready, "cannot set more ready pods than active")


def _success_errors(now: _View) -> Iterator[Cause]:
    if now.succeeding and now.failed:
        yield wrong(_CONDITIONS, "cannot set SuccessCriteriaMet=True and Failed=true conditions")
    if now.succeeding and now.failing:
        yield wrong(_CONDITIONS, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
    if now.complete and not now.succeeding and now.spec.get("successPolicy") is not None:
        detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        yield wrong(_CONDITIONS, detail)


def _change_errors(now: _View, was: _View) -> Iterator[Cause]:
    """What has been reached is not taken back."""
    status, before = now.status, was.status
    for kind, then, still in (
        ("Failed", was.failed, now.failed),
        ("Complete", was.complete, now.complete),
        ("FailureTarget", was.failing, now.failing),
    ):
        if then and not still:
            yield wrong(_CONDITIONS, f"cannot disable the terminal {kind}=True condition")
    yield from _counters_go_on(now.spec, status, before)
    end, had = status.get("completionTime"), before.get("completionTime")
    if end and had and end != had:
        yield invalid_value("status.completionTime", end, IMMUTABLE)
    start, resumes = before.get("startTime"), was.suspended and not now.suspended
    if start and status.get("startTime") != start and not now.spec.get("suspend") and not resumes:
        yield required("status.startTime", "startTime cannot be removed for unsuspended job")
    if was.succeeding and not now.succeeding:
        yield wrong(_CONDITIONS, "cannot disable the SuccessCriteriaMet=True condition")
    if was.complete and not was.succeeding and now.succeeding:
        detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        yield wrong(_CONDITIONS, detail)


def _counters_go_on(spec: Object, status: Object, before: Object) -> Iterator[Cause]:
    """A Job that is scaled down has fewer successes."""
    is_elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for field in ("failed",) if is_elastic else ("failed", "succeeded"):
        count: Any = status.get(field) or 0
        if count < (before.get(field) or 0):
            yield invalid_value(f"status.{field}", count, f"cannot decrease the {field} counter")
