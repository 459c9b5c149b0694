"""Where a pod goes: nodes that every filter lets pass, the best by weighted scores; else why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from machinery.api.views import Pod
from scheduler.plugins.affinity import filter_affinity, score_affinity
from scheduler.plugins.placement import filter_node_name, filter_ports, score_images
from scheduler.plugins.resources import (
    exceeds_capacity,
    filter_resources,
    score_balanced,
    score_least_allocated,
)
from scheduler.plugins.taints import filter_taints, filter_unschedulable, score_taints
from scheduler.plugins.volumes import filter_claims, refuse_claims
from scheduler.snapshot import NodeInfo, Snapshot

Filter = Callable[[Pod, NodeInfo], list[str]]
Score = Callable[[Pod, NodeInfo], int]

# In upstream's order: the first filter that refuses a node is the one that its message tells.
FILTERS: tuple[Filter, ...] = (
    filter_unschedulable,
    filter_node_name,
    filter_taints,
    filter_affinity,
    filter_ports,
    filter_resources,
)
SCORES: tuple[tuple[Score, int, bool], ...] = (
    (score_taints, 3, True),
    (score_affinity, 2, True),
    (score_least_allocated, 1, False),
    (score_balanced, 1, False),
    (score_images, 1, False),
)
"""(score, weight, whether it is stretched to 0 to 100 over the nodes)."""


_MOVABLE = ("Insufficient", "Too many", "node(s) didn't have free ports")


@dataclass(frozen=True)
class Decision:
    """`node` is empty where no node fits; `reasons` then tells why, node by node, and `message` as upstream does."""

    node: str
    reasons: Mapping[str, tuple[str, ...]]
    message: str = ""


def schedule(pod: Pod, snapshot: Snapshot) -> Decision:
    if (reason := refuse_claims(pod, snapshot)) and snapshot.nodes:
        return Decision("", dict.fromkeys(snapshot.nodes, (reason,)), _refusal(reason, len(snapshot.nodes)))
    refused: dict[str, tuple[str, ...]] = {}
    fitting: list[NodeInfo] = []
    for name, info in snapshot.nodes.items():
        reasons = next((found for check in FILTERS if (found := check(pod, info))), [])
        reasons = reasons or filter_claims(pod, info, snapshot)
        if reasons:
            refused[name] = tuple(reasons)
        else:
            fitting.append(info)
    if not fitting:
        return Decision("", refused, failure_message(pod, snapshot, refused))
    totals = _totals(pod, fitting)
    best = max(fitting, key=lambda info: totals[info.node.name])
    return Decision(best.node.name, refused)


def _totals(pod: Pod, fitting: list[NodeInfo]) -> dict[str, int]:
    totals = dict.fromkeys((info.node.name for info in fitting), 0)
    if len(fitting) == 1:
        return totals
    for score, weight, stretched in SCORES:
        found = {info.node.name: score(pod, info) for info in fitting}
        low, high = min(found.values()), max(found.values())
        for name, value in found.items():
            points = (100 * (value - low) // (high - low) if high > low else 0) if stretched else value
            totals[name] += weight * points
    return totals


def failure_message(pod: Pod, snapshot: Snapshot, refused: Mapping[str, tuple[str, ...]]) -> str:
    """`FailedScheduling`'s message: how many nodes were refused for what, and whether preemption could help."""
    total = len(snapshot.nodes)
    if not total:
        return "no nodes available to schedule pods"
    counts = Counter(reason for reasons in refused.values() for reason in reasons)
    said = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
    hopeless = sum(_is_hopeless(pod, snapshot.nodes[name], reasons) for name, reasons in refused.items())
    parts = []
    if hopeless:
        parts.append(f"{hopeless} Preemption is not helpful for scheduling")
    if hopeless < total:
        parts.append(f"{total - hopeless} No preemption victims found for incoming pod")
    preemption = f"0/{total} nodes are available: {', '.join(sorted(parts))}."
    return f"0/{total} nodes are available: {said}. no new claims to deallocate, preemption: {preemption}"


def _refusal(reason: str, total: int) -> str:
    """The message where the pod itself is refused, before any node is looked at."""
    said = f"0/{total} nodes are available: {reason}."
    if reason.endswith(" not found"):
        # Upstream's look for victims ends with the claim's own error.
        return f"{said} not found"
    preemption = f"0/{total} nodes are available: {total} Preemption is not helpful for scheduling."
    return f"{said} no new claims to deallocate, preemption: {preemption}"


def _is_hopeless(pod: Pod, info: NodeInfo, reasons: tuple[str, ...]) -> bool:
    """Whether no eviction could make the node fit: it is refused for what it is, or it is too small."""
    movable = all(reason.startswith(_MOVABLE) for reason in reasons)
    return not movable or exceeds_capacity(pod, info)
