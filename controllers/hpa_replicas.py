"""How many replicas a metric asks for: pods that are not ready or tell nothing are reckoned so that none is too hasty.

Values are milli-units, as upstream's: thousandths of a core, of a byte, of whatever a metric counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from machinery.api import quantity
from machinery.api.resource import Object
from machinery.api.timestamps import parse_time
from machinery.api.views import Pod
from machinery.structs import Struct

_INITIALIZATION = timedelta(minutes=5)
_READINESS_DELAY = timedelta(seconds=30)
_NO_PODS = "no pods returned by selector while calculating replica count"


class MetricError(Exception):
    """Why a metric tells nothing, as Events and conditions word it."""


class Sample(Struct, frozen=True):
    """What a pod uses, seen over `window` until `at`."""

    value: int
    at: datetime
    window: timedelta


class Tolerance(Struct, frozen=True):
    """Which ratios of usage to target are near enough to 1: down to 1 - `down`, up to 1 + `up`."""

    up: float = 0.1
    down: float = 0.1

    def allows(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class Proposal(Struct, frozen=True):
    """`utilization` is the percentage of the requests, None where the target is a plain value."""

    replicas: int
    value: int
    utilization: int | None = None


class _Groups(Struct, frozen=True):
    ready: Mapping[str, int]
    unready: frozenset[str]
    missing: frozenset[str]


def by_value(
    pods: Sequence[Pod], samples: Mapping[str, Sample], target: int, current: int, tolerance: Tolerance,
    *, now: datetime, is_cpu: bool = False,
) -> Proposal:  # fmt: skip
    """For a target that each pod shall use on average; raises MetricError."""
    groups = _grouped(pods, samples, now=now, is_cpu=is_cpu)
    value = _mean(groups.ready)
    fallback = dict.fromkeys(groups.missing, target)
    replicas = _replicas(groups, value / target, current, tolerance, fallback, lambda values: _mean(values) / target)
    return Proposal(replicas, value)


def by_utilization(
    pods: Sequence[Pod], samples: Mapping[str, Sample], target: int, current: int, tolerance: Tolerance,
    requests: Mapping[str, int], *, now: datetime, is_cpu: bool,
) -> Proposal:  # fmt: skip
    """For a target percentage of what the pods request; raises MetricError."""
    groups = _grouped(pods, samples, now=now, is_cpu=is_cpu)

    def percentage(values: Mapping[str, int]) -> int:
        requested = sum(requests[name] for name in values)
        if not requested:
            raise MetricError("no metrics returned matched known pods")
        return sum(values.values()) * 100 // requested

    utilization = percentage(groups.ready)
    fallback = {name: requests[name] * max(100, target) // 100 for name in groups.missing}
    replicas = _replicas(
        groups, utilization / target, current, tolerance, fallback, lambda values: percentage(values) / target
    )
    return Proposal(replicas, _mean(groups.ready), utilization)


def by_ratio(pods: Sequence[Pod], value: int, target: int, current: int, tolerance: Tolerance) -> Proposal:
    """For a target of one value for all pods together; raises MetricError. From none it grows by the ratio alone."""
    ratio = value / target
    if not current:
        return Proposal(math.ceil(ratio), value)
    if tolerance.allows(ratio):
        return Proposal(current, value)
    if not pods:
        raise MetricError(f"unable to calculate ready pods: {_NO_PODS}")
    ready = sum(pod.phase == "Running" and pod.is_ready for pod in pods)
    return Proposal(math.ceil(ratio * ready), value)


def by_share(value: int, target: int, there: int, tolerance: Tolerance) -> Proposal:
    """For a target that each pod's share shall have on average, where `there` pods share the value."""
    if there and tolerance.allows(value / (target * there)):
        return Proposal(there, math.ceil(value / there))
    return Proposal(math.ceil(value / target), math.ceil(value / there) if there else value)


def _replicas(
    groups: _Groups,
    ratio: float,
    current: int,
    tolerance: Tolerance,
    fallback: Mapping[str, int],
    ratio_of: Callable[[Mapping[str, int]], float],
) -> int:
    has_unready = bool(groups.unready) and ratio > 1.0
    if not has_unready and not groups.missing:
        return current if tolerance.allows(ratio) else math.ceil(ratio * len(groups.ready))
    values = dict(groups.ready)
    if ratio < 1.0:
        # On the way down what tells nothing is taken for busy, on the way up for idle.
        values |= fallback
    elif ratio > 1.0:
        values |= dict.fromkeys(groups.missing, 0)
    if has_unready:
        values |= dict.fromkeys(groups.unready, 0)
    again = ratio_of(values)
    if tolerance.allows(again) or (ratio < 1.0 < again) or (again < 1.0 < ratio):
        return current
    replicas = math.ceil(again * len(values))
    turns = (again < 1.0 and replicas > current) or (again > 1.0 and replicas < current)
    return current if turns else replicas


def _mean(values: Mapping[str, int]) -> int:
    return sum(values.values()) // len(values)


def _grouped(pods: Sequence[Pod], samples: Mapping[str, Sample], *, now: datetime, is_cpu: bool) -> _Groups:
    if not pods:
        raise MetricError(_NO_PODS)
    ready: dict[str, int] = {}
    unready: set[str] = set()
    missing: set[str] = set()
    for pod in pods:
        if pod.deleted or pod.phase == "Failed":
            continue
        sample = samples.get(pod.name)
        if pod.phase == "Pending":
            unready.add(pod.name)
        elif sample is None:
            missing.add(pod.name)
        elif is_cpu and _is_starting(pod, sample, now):
            unready.add(pod.name)
        else:
            ready[pod.name] = sample.value
    if not ready:
        raise MetricError("did not receive metrics for targeted pods (pods might be unready)")
    return _Groups(ready, frozenset(unready), frozenset(missing))


def _is_starting(pod: Pod, sample: Sample, now: datetime) -> bool:
    """Whether its use of processors is that of its start and tells nothing of its work."""
    ready = pod.condition("Ready")
    if ready is None or not pod.start_time:
        return True
    started, changed = parse_time(pod.start_time), parse_time(ready.get("lastTransitionTime") or pod.start_time)
    is_unready = ready["status"] == "False"
    if started + _INITIALIZATION > now:
        return is_unready or sample.at < changed + sample.window
    return is_unready and started + _READINESS_DELAY > changed


def requests_of(pods: Sequence[Pod], resource: str, container: str = "") -> dict[str, int]:
    """What each pod, or its container, requests; raises MetricError where one requests nothing."""
    return {pod.name: _requested(pod, resource, container) for pod in pods}


def _requested(pod: Pod, resource: str, container: str) -> int:
    whole = (pod.resources.get("requests") or {}) if not container else {}
    if whole:
        if resource not in whole:
            raise MetricError(f"missing pod-level request for {resource} in Pod {pod.name}")
        return quantity.milli(whole[resource])
    sidecars = [each for each in pod.init_containers if each.get("restartPolicy") == "Always"]
    meant = [each for each in (*pod.containers, *sidecars) if container in ("", each["name"])]
    if not meant:
        raise MetricError(f"container {container} not found in Pod {pod.name}")
    return sum(_request(pod, each, resource) for each in meant)


def _request(pod: Pod, container: Object, resource: str) -> int:
    requested = ((container.get("resources") or {}).get("requests") or {}).get(resource)
    if requested is None:
        raise MetricError(f"missing request for {resource} in container {container['name']} of Pod {pod.name}")
    return quantity.milli(requested)
