"""Whether a pod fits into what a node has left, and how well (NodeResourcesFit, NodeResourcesBalancedAllocation)."""

from __future__ import annotations

import math

from machinery.api.views import Pod
from scheduler.snapshot import NodeInfo, requests

_SCORED = ("cpu", "memory")
# What a container that asks for nothing is taken to use when nodes are compared (upstream's non-zero requests).
_ASSUMED = {"cpu": 100, "memory": 200 << 20}


def filter_resources(pod: Pod, info: NodeInfo) -> list[str]:
    """Each resource that is lacking, as `Insufficient cpu`; `Too many pods` where their number is the limit."""
    short = []
    if len(info.pods) + 1 > info.allocatable.get("pods", 0):
        short.append("Too many pods")
    for name, wanted in requests(pod).items():
        if wanted and wanted > info.allocatable.get(name, 0) - info.requested.get(name, 0):
            short.append(f"Insufficient {name}")
    return short


def exceeds_capacity(pod: Pod, info: NodeInfo) -> bool:
    """Whether the pod would not fit even into the empty node: then evicting others can't help."""
    return any(wanted > info.allocatable.get(name, 0) for name, wanted in requests(pod).items())


def score_least_allocated(pod: Pod, info: NodeInfo) -> int:
    """0 to 100: the mean share of cpu and memory that stays free."""
    shares = [max(1.0 - used, 0.0) for used in _shares(pod, info)]
    return int(100 * sum(shares) / len(shares)) if shares else 0


def score_balanced(pod: Pod, info: NodeInfo) -> int:
    """0 to 100: how evenly cpu and memory would be used."""
    shares = [min(used, 1.0) for used in _shares(pod, info)]
    if len(shares) < 2:
        return 100
    mean = sum(shares) / len(shares)
    return int(100 * (1 - math.sqrt(sum((share - mean) ** 2 for share in shares) / len(shares))))


def _shares(pod: Pod, info: NodeInfo) -> list[float]:
    wanted = _assumed(pod)
    used = {name: sum(_assumed(other)[name] for other in info.pods) for name in _SCORED}
    return [(used[name] + wanted[name]) / info.allocatable[name] for name in _SCORED if info.allocatable.get(name)]


def _assumed(pod: Pod) -> dict[str, int]:
    said = requests(pod)
    return {name: said.get(name) or _ASSUMED[name] * len(pod.containers) for name in _SCORED}
