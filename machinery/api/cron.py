"""Schedules of CronJobs as upstream reads them: five fields or a descriptor, and what is wrong with those that are not.

`fields` holds the numbers that each field allows, None where it allows all, so that day of month and day of week are
told apart from `*`: where both are limited, either suffices.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from machinery.structs import Struct, field

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)")


class Schedule(Struct, frozen=True):
    """Minute, hour, day of month, month, day of week (0 is Sunday); or `every` so long, with no fields."""

    fields: tuple[frozenset[int] | None, ...] = ()
    every: timedelta | None = None


class _Bounds(Struct, frozen=True):
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


def parse_schedule(text: str) -> Schedule:
    """The schedule; raises ValueError in the words of upstream's parser."""
    if text.startswith("@every "):
        return Schedule(every=_every(text))
    words = _DESCRIPTORS.get(text, text).split()
    if text.startswith("@") and text not in _DESCRIPTORS:
        raise ValueError(f"unrecognized descriptor: {text}")
    if len(words) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(words)}: [{' '.join(words)}]")
    return Schedule(tuple(_allowed(word, bounds) for word, bounds in zip(words, _FIELDS, strict=True)))


def _every(text: str) -> timedelta:
    """Whole seconds, at least one."""
    span = text.removeprefix("@every ")
    if not re.fullmatch(rf"(?:{_SPAN.pattern})+", span):
        raise ValueError(f"unrecognized descriptor: {text}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _SPAN.findall(span))
    return timedelta(seconds=max(int(seconds), 1))


def _allowed(word: str, bounds: _Bounds) -> frozenset[int] | None:
    ranges = [_range(part, bounds) for part in word.split(",") if part]
    if any(each is None for each in ranges):
        return None
    return frozenset(number for each in ranges if each is not None for number in each)


def _range(text: str, bounds: _Bounds) -> range | None:
    """The numbers of a part such as `1-5/2`, None where it is all; raises ValueError where it leaves its bounds."""
    span, *steps = text.split("/")
    low, *high = span.split("-")
    start, end = bounds.least, bounds.most
    is_all = low in ("*", "?")
    if not is_all:
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
    _check(text, start, end, step, bounds)
    return None if is_all and step == 1 else range(start, end + 1, step)


def _check(text: str, start: int, end: int, step: int, bounds: _Bounds) -> None:
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
