"""Whether a pod fits into what a node has left, and how well (NodeResourcesFit, NodeResourcesBalancedAllocation)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from machinery.api.views import Node, Pod
from machinery.structs import Struct
from scheduler.cluster_events import ClusterEvent, Happened
from scheduler.framework import BEST, Hint, Plugin, Refusal
from scheduler.node_info import NodeInfo
from scheduler.pod_info import MEMORY, MILLI_CPU, PodInfo, amounts, requests
from scheduler.snapshot import Snapshot

_PODS = "pods"


def _filter(ignored: frozenset[str], state: Any, pod: PodInfo, info: NodeInfo) -> Refusal | None:
    """Each resource that is lacking, as `Insufficient cpu`; `Too many pods` where their number is the limit."""
    allocatable, requested = info.node.allocatable, info.requested
    short, is_final = [], False
    if len(info.pods) + 1 > allocatable.get(_PODS, 0):
        short.append("Too many pods")
    for name, wanted in pod.shape.requests.items():
        if wanted and name not in ignored and wanted > allocatable.get(name, 0) - requested.get(name, 0):
            short.append(f"Insufficient {name}")
            # Not even the empty node would do: evicting others can't help.
            is_final = is_final or wanted > allocatable.get(name, 0)
    return Refusal(tuple(short), is_final) if short else None


class Strategy(Struct, frozen=True):
    """How a node's use is turned into points: by `points` of the percentage used, weighted over the resources."""

    points: Callable[[int, int], int]
    """(used, there), both whole, to 0 to 100."""
    weights: tuple[tuple[str, int], ...] = ((MILLI_CPU, 1), (MEMORY, 1))


def least_allocated(used: int, there: int) -> int:
    return (there - used) * BEST // there if used <= there else 0


def most_allocated(used: int, there: int) -> int:
    return min(used, there) * BEST // there


def by_shape(shape: tuple[tuple[int, int], ...], used: int, there: int) -> int:
    """Between the points (percentage, score of 0 to 10) of a broken line."""
    percent = used * BEST // there if used <= there else BEST
    (last_at, last), *rest = shape
    if percent <= last_at:
        return last * 10
    for at, score in rest:
        if percent <= at:
            return last * 10 + (score - last) * 10 * (percent - last_at) // (at - last_at)
        last_at, last = at, score
    return last * 10


def _score(strategy: Strategy, state: Any, pod: PodInfo, info: NodeInfo) -> int:
    """0 to 100: the weighted mean of what the strategy gives for each resource of the node."""
    allocatable, requested = info.node.allocatable, info.requested
    # Containers that ask for nothing are taken to use a little cpu and memory.
    assumed = dict(zip((MILLI_CPU, MEMORY), zip(info.non_zero, pod.shape.non_zero, strict=True), strict=True))
    points, weights = 0, 0
    for name, weight in strategy.weights:
        there, wanted = allocatable.get(name, 0), pod.shape.requests.get(name, 0)
        if name in assumed:
            used = sum(assumed[name])
        elif wanted:
            used = requested.get(name, 0) + wanted
        else:
            continue
        if there:
            points += weight * strategy.points(used, there)
            weights += weight
    return points // weights if weights else 0


def _asks_for_something(pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Any:
    """A pod that asks for nothing changes no balance."""
    return any(pod.shape.requests.get(name) for name in (MILLI_CPU, MEMORY)) or None


def _score_balanced(state: Any, pod: PodInfo, info: NodeInfo) -> int:
    """0 to 100: how evenly cpu and memory would be used."""
    allocatable, requested, wanted = info.node.allocatable, info.requested, pod.shape.requests
    shares = [
        min((requested.get(name, 0) + wanted.get(name, 0)) / allocatable[name], 1.0)
        for name in (MILLI_CPU, MEMORY)
        if allocatable.get(name)
    ]
    # The standard deviation of two numbers is half their distance.
    return int((1 - abs(shares[0] - shares[1]) / 2) * BEST) if len(shares) == 2 else BEST


def _helps(pod: PodInfo, event: ClusterEvent) -> bool:
    if event.happened is Happened.POD_GONE:
        return True
    if event.happened is Happened.POD_SHRUNK:
        before, after = requests(Pod(event.before or event.object)), requests(Pod(event.object))
        return any(before.get(name, 0) > after.get(name, 0) for name in pod.shape.requests)
    there = amounts(Node(event.object).allocatable)
    return all(wanted <= there.get(name, 0) for name, wanted in pod.shape.requests.items())


_HINT = Hint.on(Happened.NODE_ADDED, Happened.NODE_ALLOCATABLE, Happened.POD_GONE, Happened.POD_SHRUNK, if_=_helps)


def resources_fit(strategy: Strategy, ignored: frozenset[str] = frozenset()) -> Plugin:
    """`ignored` are extended resources that some other scheduler's extension accounts for."""
    return Plugin(
        "NodeResourcesFit",
        filter=partial(_filter, ignored),
        score=partial(_score, strategy),
        is_local=True,
        hint=_HINT,
    )


RESOURCES_FIT = resources_fit(Strategy(least_allocated))
BALANCED_ALLOCATION = Plugin(
    "NodeResourcesBalancedAllocation", pre_score=_asks_for_something, score=_score_balanced, is_local=True
)
