"""Back-off by key, doubling from 10 s to 5 min: for crashing containers and for images that can't be pulled."""

from __future__ import annotations

from datetime import datetime, timedelta

from machinery.structs import Struct

INITIAL = timedelta(seconds=10)
LONGEST = timedelta(minutes=5)


class _Entry(Struct, frozen=True):
    delay: timedelta
    since: datetime


class Backoff:
    """A key unknown, or quiet for twice the longest delay, starts anew with no delay at all."""

    def __init__(self, initial: timedelta = INITIAL, longest: timedelta = LONGEST) -> None:
        self._initial, self._longest = initial, longest
        self._entries: dict[str, _Entry] = {}

    def until(self, key: str, since: datetime) -> datetime | None:
        """When the key may be tried again, counted from `since`; None: at once is fine."""
        entry = self._entries.get(key)
        if entry is None or since - entry.since > 2 * self._longest:
            return None
        return since + entry.delay

    def delay(self, key: str) -> timedelta:
        entry = self._entries.get(key)
        return entry.delay if entry else timedelta(0)

    def advance(self, key: str, now: datetime) -> None:
        """A try begins: the next one waits twice as long as this one had to."""
        entry = self._entries.get(key)
        if entry is None or now - entry.since > 2 * self._longest:
            self._entries[key] = _Entry(self._initial, now)
        else:
            self._entries[key] = _Entry(min(entry.delay * 2, self._longest), now)

    def forget(self, prefix: str) -> None:
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]


def duration(delta: timedelta) -> str:
    """`10s`, `2m40s`: as Go prints it in `back-off 2m40s restarting failed container`."""
    seconds = int(delta.total_seconds())
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
