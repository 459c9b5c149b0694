"""Which pods a critical one drives off a node that has too little left: those whose loss hurts least. Pure.

Pods of the lowest quality of service go first, and of those as few as free enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from kubelet import podspec
from machinery.api.resource import Object

Requests = Callable[[Object], Mapping[str, int]]


class NoVictims(Exception):
    """All pods that may go would not free enough; the message says what is missing."""


def victims(candidates: Sequence[Object], wanted: Mapping[str, int], requests: Requests) -> list[Object]:
    """The pods to end, those first that hurt least; raises NoVictims. `wanted` is what is missing of each resource."""
    classes = ("BestEffort", "Burstable", "Guaranteed")
    tiers = [[pod for pod in candidates if podspec.qos_class(pod) == tier] for tier in classes]
    best_effort, burstable, guaranteed = tiers
    missing = _left(wanted, [pod for tier in tiers for pod in tier], requests)
    if missing:
        raise NoVictims(f"no set of running pods found to reclaim resources: {_listed(missing)}")
    dearest = _nearest(guaranteed, _left(wanted, [*best_effort, *burstable], requests), requests)
    middle = _nearest(burstable, _left(wanted, [*best_effort, *dearest], requests), requests)
    cheapest = _nearest(best_effort, _left(wanted, [*middle, *dearest], requests), requests)
    return [*cheapest, *middle, *dearest]


def _nearest(pods: Sequence[Object], wanted: Mapping[str, int], requests: Requests) -> list[Object]:
    """As few of the pods as free what is wanted, by taking each time the one that leaves least of it."""
    left, chosen = list(pods), []
    while wanted:
        best = min(left, key=lambda pod: _rank(requests(pod), wanted))
        left.remove(best)
        chosen.append(best)
        wanted = _left(wanted, [best], requests)
    return chosen


def _rank(has: Mapping[str, int], wanted: Mapping[str, int]) -> tuple[float, int, int]:
    """How much stays wanting, each resource weighing the same; of two alike the smaller pod goes."""
    shares = (max(amount - has.get(name, 0), 0) / amount for name, amount in wanted.items())
    return sum(share**2 for share in shares), has.get("memory", 0), has.get("cpu", 0)


def _left(wanted: Mapping[str, int], pods: Iterable[Object], requests: Requests) -> dict[str, int]:
    """What is still missing once these pods are gone."""
    freed = [requests(pod) for pod in pods]
    left = {name: amount - sum(each.get(name, 0) for each in freed) for name, amount in wanted.items()}
    return {name: amount for name, amount in left.items() if amount > 0}


def _listed(missing: Mapping[str, int]) -> str:
    return f"[{''.join(f'(res: {name}, q: {amount}), ' for name, amount in missing.items())}]"
