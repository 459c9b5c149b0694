"""Which nodes a pod may go to: the filters that have something to say about it, run over as many nodes as suffice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from scheduler.framework import OnlyNodes, Plugin, Profile, Refusal
from scheduler.node_info import NodeInfo
from scheduler.pod_info import PodInfo
from scheduler.snapshot import Snapshot

_FEWEST, _LEAST_PERCENT = 100, 5


@dataclass(frozen=True)
class Check:
    """The filters that have something to say about a pod, with what each found out about it beforehand."""

    pod: PodInfo
    local: tuple[tuple[Plugin, Any], ...]
    others: tuple[tuple[Plugin, Any], ...]
    only: frozenset[str] | None = None
    narrowed_by: tuple[str, ...] = ()

    @classmethod
    def of(cls, pod: PodInfo, snapshot: Snapshot, profile: Profile) -> Check | Refusal:
        """A Refusal where a plugin refuses the pod itself."""
        local: list[tuple[Plugin, Any]] = []
        others: list[tuple[Plugin, Any]] = []
        only, narrowed_by = None, []
        for plugin in profile.filters:
            state = plugin.pre_filter(pod, snapshot)
            if state is None:
                continue
            if isinstance(state, Refusal):
                return Refusal(state.reasons, state.is_final, plugin.name)
            if isinstance(state, OnlyNodes):
                only = state.names if only is None else only & state.names
                narrowed_by.append(plugin.name)
                state = state.state
            (local if plugin.is_local else others).append((plugin, state))
        return cls(pod, tuple(local), tuple(others), only, tuple(sorted(narrowed_by)))

    def alone(self, info: NodeInfo) -> Refusal | None:
        """What the filters say that look at one node alone."""
        return _first(self.local, self.pod, info)

    def among(self, info: NodeInfo) -> Refusal | None:
        """What those say that look at where the node stands among the others."""
        return _first(self.others, self.pod, info) if self.others else None


def _first(filters: Sequence[tuple[Plugin, Any]], pod: PodInfo, info: NodeInfo) -> Refusal | None:
    for plugin, state in filters:
        assert plugin.filter is not None
        refusal = plugin.filter(state, pod, info)
        if refusal is not None:
            return Refusal(refusal.reasons, refusal.is_final, plugin.name)
    return None


@dataclass(frozen=True)
class Fit:
    """Nodes that every filter lets pass, with the points that they have whatever the others are."""

    infos: list[NodeInfo]
    points: list[int]


def enough_nodes(total: int, percentage: int = 0) -> int:
    """How many feasible nodes suffice: all below 100, half of some hundreds, one in twenty of very many."""
    if total < _FEWEST:
        return total
    percent = percentage or max(50 - total // 125, _LEAST_PERCENT)
    return min(max(total * percent // 100, _FEWEST), total)


def feasible(check: Check, snapshot: Snapshot, profile: Profile) -> tuple[Fit, dict[str, Refusal]]:
    """The first nodes, as many as suffice, that fit, from where the last look ended; and those that do not."""
    infos: list[NodeInfo] = []
    points: list[int] = []
    refused: dict[str, Refusal] = {}
    enough = enough_nodes(len(snapshot.nodes), profile.percentage_of_nodes)
    table = snapshot.memo.table((profile.name, check.pod.shape))
    nominated, others = snapshot.nominated, check.others
    for name, info in _in_turn(check, snapshot, refused):
        known = table.get(name)
        if known is None or known[0] is not info:
            known = table[name] = (info, _alone(check, info, snapshot, profile))
        refusal, sum_of_points = known[1]
        if refusal is None and others:
            refusal = check.among(info)
        if refusal is None and name in nominated:
            refusal = refuse_beside_nominated(check.pod, info, snapshot, profile)
        if refusal is not None:
            refused[name] = refusal
            continue
        infos.append(info)
        points.append(sum_of_points)
        if len(infos) >= enough:
            break
    return Fit(infos, points), refused


def _alone(check: Check, info: NodeInfo, snapshot: Snapshot, profile: Profile) -> tuple[Refusal | None, int]:
    """What follows from the pod's shape and the NodeInfo alone: a refusal, or points."""
    refusal = check.alone(info)
    if refusal is not None:
        return refusal, 0
    points = 0
    for plugin, weight in profile.alone_scorers:
        state = plugin.pre_score(check.pod, snapshot, (info,))
        if state is not None and plugin.score is not None:
            points += weight * plugin.score(state, check.pod, info)
    return None, points


def _in_turn(check: Check, snapshot: Snapshot, refused: dict[str, Refusal]) -> Any:
    nodes = snapshot.nodes
    if check.only is not None:
        named = f"node(s) didn't satisfy plugin(s) [{' '.join(check.narrowed_by)}]"
        other = Refusal((named,), is_final=True, plugin=check.narrowed_by[0])
        refused.update((name, other) for name in nodes if name not in check.only)
        return [(name, nodes[name]) for name in sorted(check.only) if name in nodes]
    if len(nodes) < _FEWEST or not snapshot.start:
        return nodes.items()
    items = list(nodes.items())
    at = snapshot.start % len(items)
    return chain(items[at:], items[:at])


def refuse_beside_nominated(pod: PodInfo, info: NodeInfo, snapshot: Snapshot, profile: Profile) -> Refusal | None:
    """What the filters say once the pods that were promised room on the node, and are no less important, are there."""
    waiting = [
        other
        for other in snapshot.nominated.get(info.node.name, ())
        if other.key != pod.key and other.priority >= pod.priority and other.key not in info.pods
    ]
    if not waiting:
        return None
    for other in waiting:
        info = info.plus(other, info.generation)
    return refuse(pod, info, snapshot, profile)


def refuse(pod: PodInfo, info: NodeInfo, snapshot: Snapshot, profile: Profile) -> Refusal | None:
    """What the filters say of the node if it were as `info` says, all others as they are."""
    check = Check.of(pod, snapshot.having(info), profile)
    if isinstance(check, Refusal):
        return check
    return check.alone(info) or check.among(info)
