"""Whether a pod fits into what a node has left, and how well (NodeResourcesFit, NodeResourcesBalancedAllocation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from machinery.api.views import Node, Pod
from scheduler.cluster_events import ClusterEvent, Happened
from scheduler.framework import BEST, Plugin, Refusal
from scheduler.node_info import NodeInfo
from scheduler.pod_info import MEMORY, MILLI_CPU, PodInfo, amounts, requests
from scheduler.snapshot import Snapshot

_PODS = "pods"


def _filter(state: Any, pod: PodInfo, info: NodeInfo) -> Refusal | None:
    """Each resource that is lacking, as `Insufficient cpu`; `Too many pods` where their number is the limit."""
    allocatable, requested = info.node.allocatable, info.requested
    short, is_final = [], False
    if len(info.pods) + 1 > allocatable.get(_PODS, 0):
        short.append("Too many pods")
    for name, wanted in pod.shape.requests.items():
        if wanted and wanted > allocatable.get(name, 0) - requested.get(name, 0):
            short.append(f"Insufficient {name}")
            # Not even the empty node would do: evicting others can't help.
            is_final = is_final or wanted > allocatable.get(name, 0)
    return Refusal(tuple(short), is_final) if short else None


def _score_least_allocated(state: Any, pod: PodInfo, info: NodeInfo) -> int:
    """0 to 100: the mean share of cpu and memory that stays free."""
    allocatable = info.node.allocatable
    used_cpu, used_memory = info.non_zero
    cpu, memory = pod.shape.non_zero
    points, counted = 0, 0
    for name, used in ((MILLI_CPU, used_cpu + cpu), (MEMORY, used_memory + memory)):
        there = allocatable.get(name, 0)
        if there:
            counted += 1
            points += (there - used) * BEST // there if used <= there else 0
    return points // counted if counted else 0


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
    if event.happened in (Happened.NODE_ADDED, Happened.NODE_ALLOCATABLE):
        there = amounts(Node(event.object).allocatable)
        return all(wanted <= there.get(name, 0) for name, wanted in pod.shape.requests.items())
    if event.happened is Happened.POD_GONE:
        return True
    if event.happened is Happened.POD_SHRUNK and event.before is not None:
        before, after = requests(Pod(event.before)), requests(Pod(event.object))
        return any(before.get(name, 0) > after.get(name, 0) for name in pod.shape.requests)
    return False


RESOURCES_FIT = Plugin("NodeResourcesFit", filter=_filter, score=_score_least_allocated, is_local=True, helps=_helps)
BALANCED_ALLOCATION = Plugin(
    "NodeResourcesBalancedAllocation", pre_score=_asks_for_something, score=_score_balanced, is_local=True
)
