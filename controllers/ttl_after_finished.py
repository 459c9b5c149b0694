"""Jobs with `ttlSecondsAfterFinished` are deleted, pods first, so long after they have ended."""

from __future__ import annotations

from datetime import datetime, timedelta

from controllers.plan import Controller, Delete, Key, Plan, itself, key_of
from machinery.api.resources import JOBS
from machinery.api.timestamps import parse_time
from machinery.api.views import Job
from machinery.client.cache import Cache


def plan(job: Job, now: datetime) -> Plan:
    if job.ttl_seconds_after_finished is None or not job.finished or job.deleted:
        return Plan()
    ended = (job.condition(job.finished) or {}).get("lastTransitionTime")
    if not ended:
        return Plan()
    left = parse_time(ended) + timedelta(seconds=job.ttl_seconds_after_finished) - now
    if left > timedelta():
        return Plan(requeue_after=left / timedelta(seconds=1))
    gone = Delete(JOBS, key_of(job.obj), uid=job.uid, resource_version=job.resource_version, propagation="Foreground")
    return Plan([gone])


def observe(cache: Cache, key: Key) -> Job | None:
    found = cache.get(JOBS, key.namespace, key.name)
    return Job(found) if found is not None else None


TTL_AFTER_FINISHED = Controller("ttl-after-finished", wakes={JOBS: itself}, observe=observe, plan=plan)
