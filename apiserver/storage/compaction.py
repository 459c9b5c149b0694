"""Decides when a store forgets: five minutes stay readable, unless so much happened that a bounded past must do."""

from __future__ import annotations

INTERVAL = 300.0
MOST_REVISIONS = 10_000


class Compaction:
    """Told of the newest revision after each write, so that an idle store costs no timer."""

    def __init__(self, revision: int) -> None:
        self._marked = revision
        self._marked_at: float | None = None

    def due(self, revision: int, compacted: int, now: float) -> int:
        """The revision to compact to now, or 0."""
        if self._marked_at is None:
            self._marked_at = now
        if now - self._marked_at >= INTERVAL:
            target, self._marked, self._marked_at = self._marked, revision, now
        elif revision - compacted >= 2 * MOST_REVISIONS:
            target = revision - MOST_REVISIONS
        else:
            return 0
        return target if target > compacted else 0
