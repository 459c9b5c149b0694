"""What upstream refuses in a CronJob: schedules that its parser doesn't take, in that parser's words, and the Job's."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apiserver.kinds.field_errors import invalid_value, not_negative, not_supported, required
from apiserver.kinds.workload_rules import job_spec_errors
from machinery.api.cron import parse_schedule
from machinery.api.errors import Cause
from machinery.api.resource import Object

_POLICIES = ("Allow", "Forbid", "Replace")
_LONGEST_NAME = 52
_SURE_ZONE = "Europe/London"
"""Where even this is unknown, the machine has no zones to tell good names by."""


def cron_job_errors(cron_job: Object) -> list[Cause]:
    spec, name = cron_job.get("spec") or {}, cron_job["metadata"].get("name") or ""
    errors: list[Cause] = []
    schedule = spec.get("schedule") or ""
    if not schedule:
        errors.append(required("spec.schedule"))
    elif "TZ" in schedule:
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errors.append(invalid_value("spec.schedule", schedule, detail))
    elif complaint := schedule_complaint(schedule):
        errors.append(invalid_value("spec.schedule", schedule, complaint))
    errors += not_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    errors += _zone_errors(spec.get("timeZone"))
    policy = spec.get("concurrencyPolicy") or ""
    if policy not in _POLICIES:
        errors.append(not_supported("spec.concurrencyPolicy", policy, _POLICIES))
    template = (spec.get("jobTemplate") or {}).get("spec") or {}
    errors += job_spec_errors(template, "spec.jobTemplate.spec")
    if template.get("selector") is not None:
        detail = "`selector` will be auto-generated"
        errors.append(invalid_value("spec.jobTemplate.spec.selector", template["selector"], detail))
    if manual := template.get("manualSelector"):
        errors.append(not_supported("spec.jobTemplate.spec.manualSelector", manual, ("nil", "false")))
    for limit in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        errors += not_negative(f"spec.{limit}", spec.get(limit))
    if len(name) > _LONGEST_NAME:
        errors.append(invalid_value("metadata.name", name, f"must be no more than {_LONGEST_NAME} characters"))
    return errors


def _zone_errors(zone: str | None) -> Iterator[Cause]:
    if zone is None:
        return
    if not zone:
        yield invalid_value("spec.timeZone", zone, "timeZone must be nil or non-empty string")
    elif zone.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield invalid_value("spec.timeZone", zone, detail)
    elif not _is_zone(zone) and _is_zone(_SURE_ZONE):
        yield invalid_value("spec.timeZone", zone, f"unknown time zone {zone}")


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def schedule_complaint(schedule: str) -> str:
    """What is wrong with a schedule, empty for a good one."""
    try:
        parse_schedule(schedule)
    except ValueError as error:
        return str(error)
    return ""
