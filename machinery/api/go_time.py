"""Times as Go's `time.Parse` reads them, and what it says of those that it can't read. Pure."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from machinery.structs import Struct

Element = tuple[str, str]
"""What stands before it, and how Go's reference time writes it."""

_SECONDS: Sequence[Element] = (("", "2006"), ("-", "01"), ("-", "02"), ("T", "15"), (":", "04"), (":", "05"))
_ZONE: Element = ("", "Z07:00")
RFC3339: Sequence[Element] = (*_SECONDS, _ZONE)
RFC3339_MICRO: Sequence[Element] = (*_SECONDS, ("", ".000000"), _ZONE)
"""Of metav1.MicroTime: its six digits are not optional."""

_NAMES = {"01": "month", "15": "hour", "04": "minute", "05": "second"}
_RANGES = {"01": range(1, 13), "15": range(24), "04": range(60), "05": range(60)}


class _Bad(Exception):
    """The text does not go on with the element."""


class _OutOfRange(Exception):
    """It does, with a number that there is not."""


class _Reading(Struct):
    """What is left of the text, and what was read."""

    rest: str
    numbers: dict[str, int]
    nanoseconds: int = 0
    offset: timedelta = timedelta()


def parse(text: str, layout: Sequence[Element] = RFC3339) -> datetime:
    """The moment in UTC, to the microsecond; raises ValueError with Go's words."""
    reading = _Reading(text, {})
    for index, (prefix, element) in enumerate(layout):
        _skip(reading, prefix, text, layout)
        held = reading.rest
        try:
            _READERS.get(element, _number)(reading, element)
            if element == "05" and layout[index + 1][1] == _ZONE[1]:
                _fraction_unasked(reading)
        except _OutOfRange as error:
            raise ValueError(f'parsing time "{text}": {error} out of range') from None
        except _Bad:
            raise _unread(text, layout, held, element) from None
    if reading.rest:
        raise ValueError(f'parsing time "{text}": extra text: "{reading.rest}"')
    return _moment(reading, text)


def _moment(reading: _Reading, text: str) -> datetime:
    year, month, day, hour, minute, second = (reading.numbers[element] for _, element in _SECONDS)
    if not 1 <= day <= monthrange(year or 4, month)[1]:
        raise ValueError(f'parsing time "{text}": day out of range')
    try:
        local = datetime(year, month, day, hour, minute, second, reading.nanoseconds // 1000, UTC)
        return local - reading.offset
    except (OverflowError, ValueError):
        # Go knows other years, too; nobody has asked for one yet.
        raise ValueError(f'parsing time "{text}": year out of range') from None


def _unread(text: str, layout: Sequence[Element], rest: str, element: str) -> ValueError:
    written = "".join(prefix + each for prefix, each in layout)
    return ValueError(f'parsing time "{text}" as "{written}": cannot parse "{rest}" as "{element}"')


def _skip(reading: _Reading, prefix: str, text: str, layout: Sequence[Element]) -> None:
    if not reading.rest.startswith(prefix):
        raise _unread(text, layout, reading.rest, prefix)
    reading.rest = reading.rest[len(prefix) :]


def _digits(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise _Bad
    return int(text)


def _number(reading: _Reading, element: str) -> None:
    # Go takes an hour of one digit; of the others each has as many as in the layout.
    size = len(element)
    if element == "15" and not reading.rest[1:2].isdigit():
        size = 1
    text, rest = reading.rest[:size], reading.rest[size:]
    if len(text) < size:
        raise _Bad
    value = reading.numbers[element] = _digits(text)
    reading.rest = rest
    if element in _RANGES and value not in _RANGES[element]:
        raise _OutOfRange(_NAMES[element])


def _fraction_unasked(reading: _Reading) -> None:
    """Seconds may have a fraction of any length also where the layout has none."""
    if reading.rest[:1] not in (".", ",") or not reading.rest[1:2].isdigit():
        return
    size = 1
    while reading.rest[size : size + 1].isdigit():
        size += 1
    _take_fraction(reading, size)


def _fraction(reading: _Reading, element: str) -> None:
    if reading.rest[:1] not in (".", ",") or len(reading.rest) < len(element):
        raise _Bad
    _take_fraction(reading, len(element))


def _take_fraction(reading: _Reading, size: int) -> None:
    digits = reading.rest[1 : min(size, 10)]
    reading.nanoseconds = _digits(digits) * 10 ** (9 - len(digits))
    reading.rest = reading.rest[size:]


def _zone(reading: _Reading, element: str) -> None:
    if reading.rest[:1] == "Z":
        reading.rest = reading.rest[1:]
        return
    text = reading.rest[:6]
    if len(text) < 6 or text[3] != ":" or text[0] not in "+-":
        raise _Bad
    hours, minutes = _digits(text[1:3]), _digits(text[4:6])
    # An offset of 24 hours or 60 minutes is written by some, so Go lets it pass.
    if hours > 24:
        raise _OutOfRange("time zone offset hour")
    if minutes > 60:
        raise _OutOfRange("time zone offset minute")
    offset = timedelta(hours=hours, minutes=minutes)
    reading.offset = offset if text[0] == "+" else -offset
    reading.rest = reading.rest[6:]


_READERS: dict[str, Callable[[_Reading, str], None]] = {".000000": _fraction, "Z07:00": _zone}
