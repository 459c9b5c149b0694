"""`FailedScheduling`'s words: how many nodes were refused for what, and what an eviction would help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from scheduler.framework import Refusal

NO_NODES = "no nodes available to schedule pods"
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"


def failure_message(nodes: Collection[str], refused: Mapping[str, Refusal], pod_refused: Refusal | None = None) -> str:
    """What is said of the attempt itself; `after_preemption` adds what was found out then."""
    if not nodes:
        return NO_NODES
    if pod_refused is not None:
        return f"0/{len(nodes)} nodes are available: {', '.join(pod_refused.reasons)}."
    return _histogram(len(nodes), (reason for refusal in refused.values() for reason in refusal.reasons))


def after_preemption(message: str, outcome: str) -> str:
    """The whole message, where preemption made no room."""
    return f"{message} no new claims to deallocate, preemption: {outcome}"


def preemption_message(total: int, tried: Mapping[str, Refusal]) -> str:
    """Why no node can be made to fit; for nodes that were not `tried` no eviction would help."""
    reasons = [reason for refusal in tried.values() for reason in refusal.reasons]
    return _histogram(total, [*reasons, *[NOT_HELPFUL] * (total - len(tried))])


def _histogram(total: int, reasons: object) -> str:
    counts = Counter(reasons)  # type: ignore[call-overload]
    said = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
    return f"0/{total} nodes are available: {said}." if said else f"0/{total} nodes are available:"
