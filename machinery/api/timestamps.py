"""Times as the API writes them, and ages as kubectl prints them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import floor

from machinery.api import go_time

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)",
    re.ASCII,
)
_MICRO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST = len("2026-01-02T03:04:05.123456789+01:00")


def rfc3339(moment: datetime) -> str:
    """`2026-01-02T03:04:05Z`: what metav1.Time writes; fractions are cut."""
    return _written(floor(moment.timestamp()))


@lru_cache(maxsize=64)
def _written(second: int) -> str:
    # All that happens within a second is stamped alike.
    return f"{datetime.fromtimestamp(second, UTC).isoformat()[:19]}Z"


def rfc3339_micro(moment: datetime) -> str:
    """`2026-01-02T03:04:05.000006Z`: what metav1.MicroTime writes."""
    return f"{moment.astimezone(UTC).isoformat(timespec='microseconds')[:26]}Z"


def parse_time(text: str) -> datetime:
    """The moment in UTC; raises ValueError, in Go's words, on anything but RFC 3339."""
    return _known(text) if len(text) <= _LONGEST else go_time.parse(text)


@lru_cache(maxsize=1024)
def _known(text: str) -> datetime:
    match = _RFC3339.fullmatch(text)
    if match is None:
        return go_time.parse(text)
    day, clock, fraction, zone = match.groups()
    micros = (fraction or "").ljust(6, "0")[:6]
    offset = "+00:00" if zone == "Z" else zone
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{micros}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return go_time.parse(text)


def parse_micro_time(text: str) -> datetime:
    """As `parse_time`, of a MicroTime: six digits after the second, no more and no less."""
    return parse_time(text) if _MICRO.fullmatch(text) else go_time.parse(text, go_time.RFC3339_MICRO)


def age(moment: datetime, now: datetime) -> str:
    """How long ago, in kubectl's short words: `90s`, `5m30s`, `3h4m`, `2d5h`, `1y20d`."""
    return human_duration(now - moment)


def human_duration(span: timedelta) -> str:
    """The span with at most two significant units."""
    seconds = int(span.total_seconds())
    if seconds < 0:
        return "<invalid>" if seconds < -1 else "0s"
    minutes, hours, days, years = seconds // 60, seconds // 3600, seconds // 86400, seconds // (86400 * 365)
    # The first row whose limit lies above the span: below it two units are shown, or one.
    rows = (
        (120, seconds, "s", 0, ""),
        (600, minutes, "m", seconds % 60, "s"),
        (3 * 3600, minutes, "m", 0, ""),
        (8 * 3600, hours, "h", minutes % 60, "m"),
        (48 * 3600, hours, "h", 0, ""),
        (8 * 86400, days, "d", hours % 24, "h"),
        (2 * 365 * 86400, days, "d", 0, ""),
        (8 * 365 * 86400, years, "y", days % 365, "d"),
    )
    for limit, large, large_unit, small, small_unit in rows:
        if seconds < limit:
            return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
    return f"{years}y"
