"""CronJobs under a controller that dies between any two actions: no run is made twice, and each one is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.cronjob import CRON_JOB, SCHEDULED
from controllers.plan import Key
from machinery.api.resource import Object
from machinery.api.resources import CRON_JOBS, JOBS
from machinery.api.timestamps import parse_time, rfc3339
from machinery.api.views import CronJob, Job
from tests.mortal_controller import House, Mortal, served


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with served() as found:
        yield found


def cron_job(policy: str, kept: int) -> Object:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    template = {"spec": {"template": {"spec": pod}}}
    limits = {"successfulJobsHistoryLimit": kept, "failedJobsHistoryLimit": kept}
    spec = {"schedule": "*/2 * * * *", "concurrencyPolicy": policy, "jobTemplate": template, **limits}
    return {"metadata": {"name": "c"}, "spec": spec}


async def finish(house: House, job: Job, kind: str, now: datetime) -> None:
    """The Job ends, as its controller tells it."""
    moment = rfc3339(now)
    interim = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
    conditions = [{"type": each, "status": "True", "lastTransitionTime": moment} for each in (interim, kind)]
    status: Object = {"startTime": moment, "conditions": conditions}
    if kind == "Complete":
        status["completionTime"] = moment
    await house.client.patch(JOBS, job.name, {"status": status}, job.namespace, subresource="status")


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_run_is_made_once_and_told(house: House, data: st.DataObject) -> None:
    house.run(_every_run_is_made_once_and_told(house, data))


async def _every_run_is_made_once_and_told(house: House, data: st.DataObject) -> None:
    client, namespace = house.client, await house.namespace()
    policy, kept = data.draw(st.sampled_from(["Allow", "Forbid", "Replace"])), data.draw(st.integers(0, 2))
    await client.create(CRON_JOBS, cron_job(policy, kept), namespace)
    controller, key = Mortal(house.server, CRON_JOB), Key(namespace, "c")
    made: Counter[str] = Counter()
    seen: set[str] = set()

    def jobs() -> list[Job]:
        found = list(map(Job, house.server.cache.list(JOBS, namespace)))
        made.update(job.name for job in found if job.uid not in seen)
        seen.update(job.uid for job in found)
        return found

    for _ in range(data.draw(st.integers(1, 12))):
        await controller.clock.sleep(data.draw(st.integers(0, 150)))
        await controller.look(key, data.draw(st.integers(0, 5)))
        running = [job for job in jobs() if not job.finished]
        if policy != "Allow":
            assert len(running) <= 1
        if running and data.draw(st.booleans()):
            job = data.draw(st.sampled_from(sorted(running, key=lambda job: job.name)))
            await finish(house, job, data.draw(st.sampled_from(["Complete", "Failed"])), controller.clock.now())
    await controller.at_rest(key)
    _check(CronJob(await client.get(CRON_JOBS, "c", namespace)), jobs(), kept, controller.clock.now())
    assert set(made.values()) <= {1}


def _check(found: CronJob, jobs: list[Job], kept: int, now: datetime) -> None:
    running = {job.uid for job in jobs if not job.finished}
    assert {reference["uid"] for reference in found.active} == running
    for kind in ("Complete", "Failed"):
        assert sum(job.finished == kind for job in jobs) <= kept
    times = [parse_time(job.annotations[SCHEDULED]) for job in jobs]
    assert all(each.minute % 2 == 0 and each <= now for each in times)
    if times:
        assert parse_time(found.last_schedule_time) >= max(times)
        assert now - parse_time(found.last_schedule_time) < timedelta(minutes=2) or running
