"""Since when something has been so: what a controller remembers where nothing in the API says it. It is lost with the
process, and then begins anew."""

from __future__ import annotations

from datetime import datetime

from controllers.plan import Key
from machinery.structs import Struct, field


class Since(Struct):
    """By key, the first moment at which its mark was told."""

    _seen: dict[Key, tuple[str, datetime]] = field(default_factory=dict)

    def of(self, key: Key, mark: str, now: datetime) -> datetime:
        """Since when the key has had this mark; `now` where it had another, or none."""
        before = self._seen.get(key)
        since = before[1] if before is not None and before[0] == mark else now
        self._seen[key] = (mark, since)
        return since

    def forget(self, key: Key) -> None:
        self._seen.pop(key, None)
