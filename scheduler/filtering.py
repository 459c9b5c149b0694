"""Which nodes a pod may go to: the filters that have something to say about it, run over as many nodes as suffice."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from machinery.structs import Struct
from scheduler.framework import OnlyNodes, Plugin, Profile, Refusal
from scheduler.memo import Answers, Nodes
from scheduler.node_info import NodeInfo
from scheduler.pod_info import PodInfo
from scheduler.pod_terms import HOSTNAME
from scheduler.snapshot import Snapshot

_FEWEST, _LEAST_PERCENT = 100, 5


class Check(Struct, frozen=True):
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

    @property
    def topology_keys(self) -> tuple[str, ...] | None:
        """The labels of nodes on which alone `among` depends, None where it asks for more or each node has its own."""
        keys: set[str] = set()
        for plugin, state in self.others:
            if plugin.topology_keys is None:
                return None
            keys.update(plugin.topology_keys(state))
        return None if HOSTNAME in keys else tuple(sorted(keys))


def _first(filters: Sequence[tuple[Plugin, Any]], pod: PodInfo, info: NodeInfo) -> Refusal | None:
    for plugin, state in filters:
        assert plugin.filter is not None
        refusal = plugin.filter(state, pod, info)
        if refusal is not None:
            return Refusal(refusal.reasons, refusal.is_final, plugin.name)
    return None


class Fit(Struct, frozen=True):
    """Nodes that every filter lets pass, with the points that they have whatever the others are."""

    infos: Sequence[NodeInfo]
    points: Sequence[int]


_Verdict = tuple[Refusal | None, int]
"""What follows for a node from itself alone: a refusal, or points."""


class _Verdicts(Answers):
    """The verdict on each node. Refusals and points are both in the order of the nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.points: dict[str, int] = {}
        self.refused: dict[str, Refusal] = {}
        self._is_disordered = False

    def follow(self, at: Nodes, answer: Callable[[NodeInfo], Any]) -> None:
        super().follow(at, answer)
        if self._is_disordered:
            self.points = {name: self.points[name] for name in at.nodes}
            self._is_disordered = False

    def fit(self, nodes: Mapping[str, NodeInfo], others: Mapping[str, Refusal]) -> tuple[Fit, dict[str, Refusal]]:
        """The nodes that neither are refused alone nor are among `others`, and those that are."""
        refused = {**others, **self.refused}
        if not refused:
            return Fit(list(nodes.values()), list(self.points.values())), refused
        fitting = [name for name in self.points if name not in refused]
        return Fit([nodes[name] for name in fitting], [self.points[name] for name in fitting]), refused

    def about(self, info: NodeInfo) -> _Verdict:
        found: _Verdict = self.of[info.node.name]
        return found

    def _put(self, name: str, found: _Verdict) -> None:
        self.of[name] = found
        refusal, points = found
        self._is_disordered = self._is_disordered or name not in self.points
        self.points[name] = points
        if refusal is None:
            self.refused.pop(name, None)
        else:
            self.refused[name] = refusal

    def _take(self, name: str) -> None:
        del self.of[name], self.points[name]
        self.refused.pop(name, None)


def enough_nodes(total: int, percentage: int = 0) -> int:
    """How many feasible nodes suffice: all below 100, half of some hundreds, one in twenty of very many."""
    if total < _FEWEST:
        return total
    percent = percentage or max(50 - total // 125, _LEAST_PERCENT)
    return min(max(total * percent // 100, _FEWEST), total)


def feasible(check: Check, snapshot: Snapshot, profile: Profile) -> tuple[Fit, dict[str, Refusal]]:
    """The nodes that fit, and those that do not.

    Where each node decides for itself, or with those in its domain, all of them: what is known of them is kept up from
    pod to pod. Else the first from where the last look ended, as many as suffice. Where a pod names its nodes, as each
    of a DaemonSet does, nothing is found out about any other.
    """
    answer: Callable[[NodeInfo], _Verdict] = partial(_alone, check, snapshot, profile)
    if check.only is None:
        verdicts = snapshot.memo.table(_Verdicts, (profile.name, check.pod.shape), snapshot, answer)
        keys = check.topology_keys
        if keys is not None and not snapshot.nominated and not profile.percentage_of_nodes:
            return verdicts.fit(snapshot.nodes, _refused_places(check, keys, snapshot))
        answer = verdicts.about
    refused: dict[str, Refusal] = {}
    in_turn = _in_turn(check, snapshot, refused)
    return _sample(check, snapshot, profile, in_turn, answer, refused), refused


def _refused_places(check: Check, keys: tuple[str, ...], snapshot: Snapshot) -> dict[str, Refusal]:
    """The nodes that are refused for the domains in which they are: one of each place is asked."""
    if not keys:
        return {}
    places = snapshot.memo.answers(("place", keys), snapshot, partial(_place, keys))
    examples = {places[name]: info for name, info in snapshot.nodes.items()}
    refused = {place: refusal for place, info in examples.items() if (refusal := check.among(info))}
    return {name: refused[place] for name, place in places.items() if place in refused} if refused else {}


def _place(keys: tuple[str, ...], info: NodeInfo) -> Hashable:
    return tuple([info.node.labels.get(key) for key in keys])


def _sample(
    check: Check,
    snapshot: Snapshot,
    profile: Profile,
    in_turn: Iterable[tuple[str, NodeInfo]],
    alone: Callable[[NodeInfo], _Verdict],
    refused: dict[str, Refusal],
) -> Fit:
    infos: list[NodeInfo] = []
    points: list[int] = []
    enough = enough_nodes(len(snapshot.nodes), profile.percentage_of_nodes)
    nominated, among = snapshot.nominated, check.among if check.others else None
    for name, info in in_turn:
        refusal, sum_of_points = alone(info)
        if refusal is None and among is not None:
            refusal = among(info)
        if refusal is None and name in nominated:
            refusal = refuse_beside_nominated(check.pod, info, snapshot, profile)
        if refusal is not None:
            refused[name] = refusal
            continue
        infos.append(info)
        points.append(sum_of_points)
        if len(infos) >= enough:
            break
    return Fit(infos, points)


def _alone(check: Check, snapshot: Snapshot, profile: Profile, info: NodeInfo) -> _Verdict:
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


def _in_turn(check: Check, snapshot: Snapshot, refused: dict[str, Refusal]) -> Iterable[tuple[str, NodeInfo]]:
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
