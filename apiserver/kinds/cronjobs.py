"""CronJobs: defaults of batch/v1."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values, drop_status, keep_status
from apiserver.rules.pods.pod_spec import default_template
from apiserver.rules.pods.template_warnings import update_warnings_of, warnings_of
from apiserver.rules.workloads.cron_rules import (
    cron_job_errors,
    cron_job_update_errors,
    cron_job_update_warnings,
    cron_job_warnings,
)
from apiserver.rules.workloads.job_policies import default_failure_policy
from machinery.api.resource import Object


def default(cron_job: Object) -> None:
    spec = cron_job.setdefault("spec", {})
    spec["concurrencyPolicy"] = spec.get("concurrencyPolicy") or "Allow"
    default_values(spec, suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    job_spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    default_failure_policy(job_spec)
    default_template(job_spec.get("template"))


RULES = Rules(
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=cron_job_errors,
    validate_update=cron_job_update_errors,
    rechecked="never",
    warnings=warnings_of("spec.jobTemplate.spec.template", cron_job_warnings),
    update_warnings=update_warnings_of("spec.jobTemplate.spec.template", cron_job_update_warnings),
    has_generation=True,
)
