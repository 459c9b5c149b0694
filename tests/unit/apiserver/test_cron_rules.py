"""Schedules of CronJobs: what the server's parser takes, and its words for what it doesn't."""

from __future__ import annotations

import pytest

from apiserver.rules.pods.pod_spec import default_template
from apiserver.rules.workloads.cron_rules import cron_job_errors, schedule_complaint
from machinery.api.resource import Object


@pytest.mark.parametrize(
    "schedule", ["*/5 * * * *", "0 0 1 jan sun", "@daily", "@every 1h30m", "1,2,3-5/2 ? * * 1-5", "59 23 31 12 6"]
)
def test_a_good_schedule_has_no_complaint(schedule: str) -> None:
    assert schedule_complaint(schedule) == ""


@pytest.mark.parametrize(
    ("schedule", "complaint"),
    [
        ("x", "expected exactly 5 fields, found 1: [x]"),
        ("61 * * * *", "end of range (61) above maximum (59): 61"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("a * * * *", 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("@never", "unrecognized descriptor: @never"),
    ],
)
def test_a_bad_schedule_is_refused_in_the_parsers_words(schedule: str, complaint: str) -> None:
    assert schedule_complaint(schedule) == complaint


def test_the_job_of_a_cron_job_is_checked_where_it_stands() -> None:
    template: Object = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}
    default_template(template)
    job = {"parallelism": -1, "template": template}
    spec = {"schedule": "@daily", "concurrencyPolicy": "Allow", "timeZone": "No/Where", "jobTemplate": {"spec": job}}
    fields = [cause.field for cause in cron_job_errors({"metadata": {"name": "c"}, "spec": spec})]
    assert fields == [
        "spec.timeZone",
        "spec.jobTemplate.spec.parallelism",
        "spec.jobTemplate.spec.template.spec.containers[0].image",
    ]
