"""What upstream refuses in a CronJob: schedules that its parser doesn't take, in that parser's words, and the Job's."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apiserver.rules.field_errors import choice, invalid_value, not_negative, not_supported, required
from apiserver.rules.workloads.job_rules import job_spec_errors, job_warnings
from apiserver.rules.workloads.workload_rules import name_warnings
from machinery.api import names
from machinery.api.cron import parse_schedule
from machinery.api.errors import Cause
from machinery.api.resource import Object

_POLICIES = ("Allow", "Forbid", "Replace")
_LONGEST_NAME = 52
"""A Job's name must have room for the minute that it was made for."""
_SURE_ZONE = "Europe/London"
"""Where even this is unknown, the machine has no zones to tell good names by."""
_ZONE_PREFIXES = ("TZ=", "CRON_TZ=")


def cron_job_errors(cron_job: Object) -> list[Cause]:
    name = cron_job["metadata"].get("name") or ""
    errors = _spec_errors(cron_job.get("spec") or {}, {})
    if len(name) > _LONGEST_NAME:
        errors.append(invalid_value("metadata.name", name, names.too_long(_LONGEST_NAME)))
    return errors


def cron_job_update_errors(new: Object, old: Object) -> list[Cause]:
    """All of an update: names that were too long and zones in schedules stay possible where they are."""
    return _spec_errors(new.get("spec") or {}, old.get("spec") or {})


def _spec_errors(spec: Object, before: Object) -> list[Cause]:
    errors = list(_schedule_errors(spec, may_have_zone="TZ" in (before.get("schedule") or "")))
    errors += not_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    zone = spec.get("timeZone")
    if zone is not None and zone != before.get("timeZone"):
        errors += _zone_errors(zone)
    errors += choice("spec.concurrencyPolicy", spec.get("concurrencyPolicy") or "", _POLICIES)
    template = (spec.get("jobTemplate") or {}).get("spec") or {}
    errors += job_spec_errors(template, "spec.jobTemplate.spec")
    if template.get("selector") is not None:
        detail = "`selector` will be auto-generated"
        errors.append(invalid_value("spec.jobTemplate.spec.selector", template["selector"], detail))
    if manual := template.get("manualSelector"):
        errors.append(not_supported("spec.jobTemplate.spec.manualSelector", manual, ("nil", "false")))
    for limit in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        errors += not_negative(f"spec.{limit}", spec.get(limit))
    return errors


def _schedule_errors(spec: Object, *, may_have_zone: bool) -> Iterator[Cause]:
    path, schedule = "spec.schedule", spec.get("schedule") or ""
    if not schedule:
        yield required(path)
        return
    if complaint := schedule_complaint(schedule):
        yield invalid_value(path, schedule, complaint)
    if "TZ" not in schedule:
        return
    if not may_have_zone:
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield invalid_value(path, schedule, detail)
    elif spec.get("timeZone") is not None:
        yield invalid_value(path, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule")


def _zone_errors(zone: str) -> Iterator[Cause]:
    if not zone:
        yield invalid_value("spec.timeZone", zone, "timeZone must be nil or non-empty string")
    elif zone.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield invalid_value("spec.timeZone", zone, detail)
    elif not _is_zone(zone):
        yield invalid_value("spec.timeZone", zone, f"unknown time zone {zone}")


def _is_zone(name: str) -> bool:
    return _is_found(name) or not _is_found(_SURE_ZONE)


def _is_found(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def schedule_complaint(schedule: str) -> str:
    """What is wrong with a schedule, empty for a good one."""
    if schedule.startswith(_ZONE_PREFIXES):
        told, _, schedule = schedule.partition(" ")
        zone = told.partition("=")[2]
        if not _is_zone(zone):
            return f"provided bad location {zone}: unknown time zone {zone}"
        schedule = schedule.strip()
    try:
        parse_schedule(schedule)
    except ValueError as error:
        return str(error)
    return ""


def cron_job_warnings(cron_job: Object) -> list[str]:
    template = ((cron_job.get("spec") or {}).get("jobTemplate") or {}).get("spec") or {}
    return [*name_warnings(cron_job), *cron_job_update_warnings(cron_job, cron_job), *job_warnings(template)]


def cron_job_update_warnings(new: Object, old: Object) -> list[str]:
    if "TZ" not in ((new.get("spec") or {}).get("schedule") or ""):
        return []
    return [
        "CRON_TZ or TZ used in spec.schedule is not officially supported, see"
        " https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
    ]
