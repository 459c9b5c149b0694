"""When a CronJob is due: every instant at which the clock on the wall of its time zone shows what the schedule names.

So an hour that the clocks skip has no run, and one that they repeat has two, as upstream's parser has it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from machinery.api.cron import Schedule
from machinery.structs import Struct

_MANY = 100


class Due(Struct, frozen=True):
    """The last time that has passed since the last look, and how many had in all (an estimate beyond two)."""

    latest: datetime | None = None
    missed: int = 0

    @property
    def is_too_many(self) -> bool:
        return self.missed > _MANY


class NeverDueError(ValueError):
    """No day is ever such a day."""

    def __init__(self) -> None:
        # What upstream's arithmetic makes of a schedule without a next time.
        super().__init__("time difference between two schedules is less than 1 second")


def next_after(schedule: Schedule, zone: tzinfo, moment: datetime) -> datetime:
    """The first due time after `moment`, in UTC; raises NeverDueError."""
    if schedule.every is not None:
        return (moment + schedule.every).replace(microsecond=0)
    from cronsim import CronSim, CronSimError

    fields = ("*" if each is None else ",".join(map(str, sorted(each))) for each in schedule.fields)
    try:
        # With seconds named the library keeps to the clock; else it would move runs out of skipped and repeated hours.
        return next(CronSim(f"0 {' '.join(fields)}", moment.astimezone(zone))).astimezone(UTC)
    except (CronSimError, StopIteration) as error:
        raise NeverDueError from error


def due(schedule: Schedule, zone: tzinfo, since: datetime, now: datetime) -> Due:
    """What has become due after `since`; raises NeverDueError.

    Times between are reckoned from the first two, so that years of them cost no more than a few.
    """
    if since > now:
        return Due()
    first = next_after(schedule, zone, since)
    if now < first:
        return Due()
    second = next_after(schedule, zone, first)
    if now < second:
        return Due(first, 1)
    between = timedelta(seconds=round((second - first) / timedelta(seconds=1)))
    missed = (now - first) // between + 1
    latest, moment = None, next_after(schedule, zone, first + (missed - 2) * between)
    while moment <= now:
        latest, moment = moment, next_after(schedule, zone, moment)
    return Due(latest, missed)
