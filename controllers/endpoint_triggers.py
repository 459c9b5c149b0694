"""Since when endpoints ask to be changed: `endpoints.kubernetes.io/last-change-trigger-time`.

Upstream measures by it how long the network takes to follow. A memory of the last look, lost with the process.
"""

from __future__ import annotations

from collections.abc import Iterable

from controllers.plan import Key
from machinery.api.views import Pod, Service

TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"


class TriggerTimes:
    """Times are RFC 3339 in UTC as the API writes them, so they sort as text."""

    def __init__(self) -> None:
        self._seen: dict[Key, tuple[str, dict[str, str]]] = {}

    def look(self, key: Key, service: Service, pods: Iterable[Pod]) -> str:
        """The earliest cause among those new since the last look; "" where there is none."""
        created, times = service.created, {pod.name: since for pod in pods if (since := _ready_since(pod))}
        known = self._seen.get(key)
        self._seen[key] = created, times
        if known is None:
            return created
        fresh = [time for name, time in times.items() if time > known[1].get(name, "")]
        return min([*fresh, *([created] if created > known[0] else [])], default="")

    def forget(self, key: Key) -> None:
        self._seen.pop(key, None)


def _ready_since(pod: Pod) -> str:
    return (pod.condition("Ready") or {}).get("lastTransitionTime") or ""
