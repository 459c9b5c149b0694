"""The quality of service class that a pod's resources give it (core/v1): it orders pods when memory runs out."""

from __future__ import annotations

from collections.abc import Iterable

from machinery.api import quantity
from machinery.api.quantity import ZERO, Quantity
from machinery.api.resource import Object

_COMPUTE = ("cpu", "memory")


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort, by cpu and memory of the pod as a whole, else of all its containers."""
    spec = pod["spec"]
    if (whole := spec.get("resources")) is not None:
        holders = [whole]
    else:
        parts = ("initContainers", "containers")
        holders = [each.get("resources") or {} for part in parts for each in spec.get(part) or ()]
    requests, limits = _sums(holders, "requests"), _sums(holders, "limits")
    if not requests and not limits:
        return "BestEffort"
    limited = all(_is_limited(each) for each in holders if whole is None or each.get("limits"))
    return "Guaranteed" if limited and requests == limits else "Burstable"


def _is_limited(resources: Object) -> bool:
    limits = resources.get("limits") or {}
    return all(quantity.of(limits.get(name, 0)) > ZERO for name in _COMPUTE)


def _sums(holders: Iterable[Object], tier: str) -> dict[str, Quantity]:
    total: dict[str, Quantity] = {}
    for resources in holders:
        for name, value in (resources.get(tier) or {}).items():
            if name in _COMPUTE and (amount := quantity.of(value)) > ZERO:
                total[name] = total[name] + amount if name in total else amount
    return total
