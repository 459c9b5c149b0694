"""What upstream refuses in a CronJob: schedules that its parser doesn't take, in that parser's words, and the Job's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apiserver.kinds.field_errors import invalid_value, not_negative, not_supported, required
from apiserver.kinds.workload_rules import job_spec_errors
from machinery.api.errors import Cause
from machinery.api.resource import Object

_POLICIES = ("Allow", "Forbid", "Replace")
_DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_NAME = 52
_SURE_ZONE = "Europe/London"
"""Where even this is unknown, the machine has no zones to tell good names by."""


@dataclass(frozen=True)
class _Bounds:
    least: int
    most: int
    names: Mapping[str, int] = field(default_factory=dict)


_FIELDS = (
    _Bounds(0, 59),
    _Bounds(0, 23),
    _Bounds(1, 31),
    _Bounds(1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Bounds(0, 6, {name: number for number, name in enumerate(_DAYS)}),
)


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
    if schedule.startswith("@"):
        is_known = schedule in _DESCRIPTORS or re.fullmatch(r"@every (\d+(\.\d+)?(h|m|s|ms|us|ns))+", schedule)
        return "" if is_known else f"unrecognized descriptor: {schedule}"
    words = schedule.split()
    if len(words) != len(_FIELDS):
        return f"expected exactly 5 fields, found {len(words)}: [{' '.join(words)}]"
    try:
        for word, bounds in zip(words, _FIELDS, strict=True):
            for part in word.split(","):
                if part:
                    _check_range(part, bounds)
    except ValueError as error:
        return str(error)
    return ""


def _check_range(text: str, bounds: _Bounds) -> None:
    """Raises ValueError for a part such as `1-5/2` that is out of its field's bounds."""
    span, *steps = text.split("/")
    low, *high = span.split("-")
    start, end = bounds.least, bounds.most
    if low not in ("*", "?"):
        start = end = _number(low, bounds.names)
        if len(high) > 1:
            raise ValueError(f"too many hyphens: {text}")
        if high:
            end = _number(high[0], bounds.names)
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    step = _number(steps[0], {}) if steps else 1
    if steps and not high:
        end = bounds.most
    if start < bounds.least:
        raise ValueError(f"beginning of range ({start}) below minimum ({bounds.least}): {text}")
    if end > bounds.most:
        raise ValueError(f"end of range ({end}) above maximum ({bounds.most}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")


def _number(text: str, names: Mapping[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if int(text) < 0:
        raise ValueError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)
