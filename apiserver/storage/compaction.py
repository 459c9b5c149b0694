"""Decides when a store forgets: five minutes stay readable, unless so much happened that a bounded past must do."""

from __future__ import annotations

INTERVAL = 300.0
MOST_REVISIONS = 10_000


class Compaction:
    """Told of the newest revision after each write, so that an idle store costs no timer."""

    def __init__(self, revision: int, *, most: int = 0) -> None:
        self._most = most
        self._marked = revision
        self._marked_at: float | None = None

    def due(self, revision: int, compacted: int, now: float) -> int:
        """The revision to compact to now, or 0; `most` bounds the revisions kept (0: time alone decides)."""
        if self._marked_at is None:
            self._marked_at = now
        target = 0
        if now - self._marked_at >= INTERVAL:
            target, self._marked, self._marked_at = self._marked, revision, now
        if self._most and revision - max(compacted, target) >= 2 * self._most:
            target = revision - self._most
        return target if target > compacted else 0
