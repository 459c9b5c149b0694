"""How fast an autoscaler may go: recommendations are held for a while, policies limit the change within a period."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

from machinery.api.resource import Object
from machinery.api.views import HorizontalPodAutoscaler
from machinery.structs import Struct

_DOWN_WINDOW = 300
_FACTOR, _LEAST = 2, 4
"""Without rules of its own an autoscaler at most doubles, and may always go to 4."""
_MEMORY = timedelta(hours=1)
"""The longest window and period that the API takes."""


class Memory(Struct, frozen=True):
    """What an autoscaler has recommended and changed of late, each with its time; negative changes are down."""

    recommendations: tuple[tuple[datetime, int], ...] = ()
    changes: tuple[tuple[datetime, int], ...] = ()

    def recommended(self, now: datetime, replicas: int) -> Memory:
        return Memory((*_recent(self.recommendations, now), (now, replicas)), self.changes)

    def changed(self, now: datetime, by: int) -> Memory:
        return Memory(self.recommendations, (*_recent(self.changes, now), (now, by)))


def _recent(entries: Iterable[tuple[datetime, int]], now: datetime) -> Iterable[tuple[datetime, int]]:
    return (entry for entry in entries if entry[0] > now - _MEMORY)


class Limited(Struct, frozen=True):
    """What is left of a recommendation, and the conditions that tell of it: (status, reason, message)."""

    replicas: int
    able: tuple[str, str, str]
    limited: tuple[str, str, str]


_READY = ("True", "ReadyForNewScale", "recommended size matches current size")
_HIGHER = "recent recommendations were higher than current one, applying the highest recent recommendation"
_LOWER = "recent recommendations were lower than current one, applying the lowest recent recommendation"
_WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_LIMIT = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN_LIMIT = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")


def limit(autoscaler: HorizontalPodAutoscaler, memory: Memory, current: int, desired: int, now: datetime) -> Limited:
    """`desired` as far as windows, policies and bounds let it; `memory` is from before."""
    stable = _stable(autoscaler, memory, current, desired, now)
    able = _READY
    if stable != desired:
        # Without rules of its own only the way down is held.
        is_up = autoscaler.behavior is not None and desired >= current
        able = ("True", "ScaleUpStabilized", _LOWER) if is_up else ("True", "ScaleDownStabilized", _HIGHER)
    replicas, (reason, message) = _bounded(autoscaler, memory, current, stable, now)
    return Limited(replicas, able, (str(replicas != stable), reason, message))


def _stable(autoscaler: HorizontalPodAutoscaler, memory: Memory, current: int, desired: int, now: datetime) -> int:
    """Down goes no further than the highest recommendation of the window, up no further than the lowest of its own."""
    behavior = autoscaler.behavior
    if behavior is None:
        return max([desired, *_within(memory, _DOWN_WINDOW, now)])
    up = min([desired, *_within(memory, _window(behavior.get("scaleUp"), 0), now)])
    down = max([desired, *_within(memory, _window(behavior.get("scaleDown"), _DOWN_WINDOW), now)])
    return min(max(current, up), down)


def _window(rules: Object | None, otherwise: int) -> int:
    seconds = (rules or {}).get("stabilizationWindowSeconds")
    return otherwise if seconds is None else int(seconds)


def _within(memory: Memory, seconds: int, now: datetime) -> list[int]:
    return [replicas for at, replicas in memory.recommendations if at > now - timedelta(seconds=seconds)]


def _bounded(
    autoscaler: HorizontalPodAutoscaler, memory: Memory, current: int, desired: int, now: datetime
) -> tuple[int, tuple[str, str]]:
    least, most = autoscaler.min_replicas, autoscaler.max_replicas
    if autoscaler.behavior is None:
        fastest = max(_FACTOR * current, _LEAST)
        highest, why = (fastest, _UP_LIMIT) if most > fastest else (most, _TOO_MANY)
        if desired < least:
            return least, _TOO_FEW
        return (highest, why) if desired > highest else (desired, _WITHIN)
    if desired > current:
        fastest = max(_up_limit(autoscaler.behavior.get("scaleUp") or {}, memory, current, now), current)
        highest, why = (fastest, _UP_LIMIT) if most > fastest else (most, _TOO_MANY)
        return (highest, why) if desired > highest else (desired, _WITHIN)
    if desired < current:
        fastest = min(_down_limit(autoscaler.behavior.get("scaleDown") or {}, memory, current, now), current)
        lowest, why = (fastest, _DOWN_LIMIT) if least < fastest else (least, _TOO_FEW)
        return (lowest, why) if desired < lowest else (desired, _WITHIN)
    return desired, _WITHIN


def _up_limit(rules: Object, memory: Memory, current: int, now: datetime) -> int:
    if rules.get("selectPolicy") == "Disabled":
        return current
    found = [_raised(policy, _began(policy, memory, current, now)) for policy in rules.get("policies") or []]
    return min(found) if rules.get("selectPolicy") == "Min" else max(found, default=current)


def _raised(policy: Object, began: int) -> int:
    if policy["type"] == "Pods":
        return began + int(policy["value"])
    # Rounded up, as a few percent of a few pods must not be none for ever.
    return math.ceil(began * (100 + int(policy["value"])) / 100)


def _down_limit(rules: Object, memory: Memory, current: int, now: datetime) -> int:
    if rules.get("selectPolicy") == "Disabled":
        return current
    found = [_lowered(policy, _began(policy, memory, current, now)) for policy in rules.get("policies") or []]
    return max(found) if rules.get("selectPolicy") == "Min" else min(found, default=current)


def _lowered(policy: Object, began: int) -> int:
    if policy["type"] == "Pods":
        return began - int(policy["value"])
    return began * (100 - int(policy["value"])) // 100


def _began(policy: Object, memory: Memory, current: int, now: datetime) -> int:
    """How many there were when the policy's period began."""
    since = now - timedelta(seconds=policy["periodSeconds"])
    return current - sum(by for at, by in memory.changes if at > since)
