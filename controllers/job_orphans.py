"""Pods that no Job will count any more lose the finalizer that would keep them: their Job is gone or has ended."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from controllers.job_pods import is_ours, is_tracked, untracked
from controllers.plan import Controller, Key, Plan, key_of, nobody
from machinery.api.resources import JOBS, PODS
from machinery.api.views import Job, Pod
from machinery.client.cache import Cache, Change
from machinery.structs import replace


def plan(pod: Pod, now: datetime) -> Plan:
    """Only as it was seen: one that a Job adopts meanwhile is that Job's to count."""
    freed = untracked(pod)
    seen = {"resourceVersion": pod.resource_version}
    return Plan([replace(freed, patch={"metadata": {**freed.patch["metadata"], **seen}})])


def observe(cache: Cache, key: Key) -> Pod | None:
    """The pod, where nobody will count it."""
    found = cache.get(PODS, key.namespace, key.name)
    return Pod(found) if found is not None and _is_left(cache, Pod(found)) else None


def _is_left(cache: Cache, pod: Pod) -> bool:
    if not is_tracked(pod):
        return False
    owner = pod.controller
    if owner is None:
        # One that a Job is about to adopt comes again with the finalizer.
        return True
    if owner["kind"] != "Job" or owner["apiVersion"] != JOBS.api_version:
        return False
    found = cache.get(JOBS, pod.namespace, owner["name"])
    job = Job(found) if found is not None else None
    if job is None or job.uid != owner["uid"]:
        return True
    return bool(job.finished) and is_ours(job)


def _left(cache: Cache, change: Change) -> Iterable[Key]:
    """The pod itself, or those of a Job that has ended or gone."""
    if change.resource == PODS:
        if change.after is not None and _is_left(cache, Pod(change.after)):
            yield key_of(change.after)
    elif change.after is None or Job(change.after).finished:
        for found in cache.owned_by(PODS, Job(change.object).uid):
            if is_tracked(Pod(found)):
                yield key_of(found)


JOB_ORPHANS = Controller(
    "job-orphans",
    wakes={PODS: nobody, JOBS: nobody},
    observe=observe,
    plan=plan,
    identity="job-controller",
    component="job-controller",
    related=_left,
)
