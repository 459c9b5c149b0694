"""Where a pod goes: of the nodes that every filter lets pass the best by weighted scores; else why there is none."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from scheduler.diagnosis import failure_message
from scheduler.filtering import Check, Fit, feasible
from scheduler.framework import Decision, Outcome, Plugin, Profile, Refusal, Reservation
from scheduler.node_info import NodeInfo
from scheduler.pod_info import PodInfo
from scheduler.profile import DEFAULT
from scheduler.snapshot import Snapshot


def schedule(pod: PodInfo, snapshot: Snapshot, profile: Profile = DEFAULT) -> Decision:
    check = Check.of(pod, snapshot, profile)
    if isinstance(check, Refusal):
        message = failure_message(snapshot.nodes, {}, check)
        return Decision("", pod_refused=check, message=message)
    fit, refused = feasible(check, snapshot, profile)
    looked_at = len(fit.infos) + len(refused)
    if not fit.infos:
        return Decision("", refused, message=failure_message(snapshot.nodes, refused), looked_at=looked_at)
    best = fit.infos[0] if len(fit.infos) == 1 else _best(pod, snapshot, profile, fit)
    if refusal := _permit(pod, best, profile):
        refused = {**refused, best.node.name: refusal}
        return Decision("", refused, message=failure_message([best.node.name], {"": refusal}), looked_at=looked_at)
    return Decision(best.node.name, refused, looked_at=looked_at)


def _permit(pod: PodInfo, info: NodeInfo, profile: Profile) -> Refusal | None:
    for plugin in profile.plugins:
        if plugin.permit is not None and (refusal := plugin.permit(pod, info)):
            return Refusal(refusal.reasons, refusal.is_final, plugin.name)
    return None


def reserve(pod: PodInfo, snapshot: Snapshot, node: str, profile: Profile) -> Reservation:
    """What is to be done for a pod that goes to this node, before it is bound."""
    found = [plugin.reserve(pod, snapshot, snapshot.nodes[node]) for plugin in profile.plugins if plugin.reserve]
    return Reservation(
        tuple(binding for each in found for binding in each.bindings),
        tuple(claim for each in found for claim in each.provisions),
    )


def post_filter(
    pod: PodInfo, snapshot: Snapshot, decision: Decision, profile: Profile
) -> Generator[None, None, Outcome]:
    """Whether room can be made for a pod that fits nowhere, in steps; the first plugin that finds a way decides."""
    outcome = Outcome(decision.message)
    for plugin in profile.plugins:
        if plugin.post_filter is not None:
            outcome = yield from plugin.post_filter(pod, snapshot, decision, profile)
            if outcome.chosen is not None:
                break
    return outcome


def _best(pod: PodInfo, snapshot: Snapshot, profile: Profile, fit: Fit) -> NodeInfo:
    """The best by weighted scores; of those equally good one in turn."""
    totals = totals_of(pod, snapshot, profile, fit)
    most = max(totals)
    best = [at for at, total in enumerate(totals) if total == most]
    return fit.infos[best[snapshot.turn % len(best)]]


def totals_of(pod: PodInfo, snapshot: Snapshot, profile: Profile, fit: Fit) -> Sequence[int]:
    totals = fit.points
    for plugin, weight in profile.other_scorers:
        state = plugin.pre_score(pod, snapshot, fit.infos)
        if state is None:
            continue
        found = _scores(plugin, state, pod, fit.infos)
        points = plugin.normalize(state, found)
        totals = [total + weight * each for total, each in zip(totals, points, strict=True)]
    return totals


def _scores(plugin: Plugin, state: Any, pod: PodInfo, infos: Sequence[NodeInfo]) -> Sequence[int]:
    if plugin.scores is not None:
        return plugin.scores(state, pod, infos)
    score = plugin.score
    assert score is not None
    return [score(state, pod, info) for info in infos]
