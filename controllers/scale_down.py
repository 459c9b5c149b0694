"""Which pods go when a set shrinks: those that are missed least, in upstream's order.

Ages count by powers of two (KEP-2185), so that of pods of about one age not always the youngest goes: that would take
them from the node, or the zone, that came last.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from controllers.pods import standing
from machinery.api.timestamps import parse_time
from machinery.api.views import Pod


def missed_least(pods: Sequence[Pod], related: Iterable[Pod], count: int, now: datetime) -> list[Pod]:
    """`count` of the pods; `related` are those of all sets of the same owner, of which no node should keep many."""
    beside = Counter(pod.node_name for pod in related if pod.is_active)
    return sorted(pods, key=lambda pod: _order(pod, beside[pod.node_name], now))[:count]


def _order(pod: Pod, beside: int, now: datetime) -> tuple[object, ...]:
    """Upstream's, but that pods which have been ready for about as long are told apart by restarts before uids."""
    ready = pod.condition("Ready") or {}
    ready_since = ready.get("lastTransitionTime") if pod.is_ready else ""
    return *standing(pod), -beside, _scale(ready_since, now), -pod.restarts, _scale(pod.created, now), pod.uid


def _scale(since: str | None, now: datetime) -> int:
    """The power of two of the seconds passed; what has no time is as young as can be."""
    seconds = (now - parse_time(since)).total_seconds() if since else 0.0
    return int(math.log2(seconds * 1e9)) if seconds > 0 else -1
