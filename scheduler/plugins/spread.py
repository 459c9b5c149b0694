"""Pods spread evenly over zones, nodes or any label of nodes (PodTopologySpread)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from machinery.api.selectors import LabelSelector
from scheduler.cluster_events import ClusterEvent, Happened
from scheduler.framework import BEST, Hint, Plugin, Refusal
from scheduler.memo import Memo
from scheduler.node_info import NodeInfo
from scheduler.plugins.node_affinity import fits
from scheduler.plugins.taints import untolerated
from scheduler.pod_info import PodInfo
from scheduler.pod_terms import HOSTNAME, SYSTEM_DEFAULTS, SpreadConstraint
from scheduler.snapshot import Snapshot

_SKEWED = Refusal(("node(s) didn't match pod topology spread constraints",))
_UNLABELLED = Refusal(("node(s) didn't match pod topology spread constraints (missing required label)",), is_final=True)


def matching(namespace: str, selector: LabelSelector, info: NodeInfo) -> int:
    """How many pods on the node are selected; those on their way out are not counted."""
    return sum(
        pod.key.namespace == namespace and not pod.is_going and selector.matches(pod.shape.labels)
        for pod in info.pods.values()
    )


def _counts(pod: PodInfo, constraint: SpreadConstraint, memo: Memo, infos: Sequence[NodeInfo]) -> list[int]:
    namespace, selector = pod.key.namespace, constraint.selector
    return memo.each(("spread", namespace, selector), infos, partial(matching, namespace, selector))


def _included(pod: PodInfo, constraint: SpreadConstraint, info: NodeInfo) -> bool:
    """Whether the node counts as one of those over which is spread (KEP-3094)."""
    if constraint.honors_affinity and not fits(pod.shape.example, info.node):
        return False
    return not constraint.honors_taints or untolerated(pod, info.node) is None


def _counted(pod: PodInfo, constraint: SpreadConstraint, info: NodeInfo) -> tuple[str, int] | None:
    """(value of the topology key, selected pods), None where the node does not count."""
    if not _included(pod, constraint, info):
        return None
    count = matching(pod.key.namespace, constraint.selector, info)
    return info.node.labels.get(constraint.topology_key, ""), count


def _over(
    pod: PodInfo, constraint: SpreadConstraint, memo: Memo, infos: Sequence[NodeInfo]
) -> list[tuple[str, int] | None]:
    """What each node counts for."""
    return memo.each(("over", pod.shape, constraint), infos, partial(_counted, pod, constraint))


def _labelled(constraints: Iterable[SpreadConstraint], infos: Iterable[NodeInfo]) -> list[NodeInfo]:
    """Nodes that have the label of every constraint."""
    keys = {constraint.topology_key for constraint in constraints}
    return [info for info in infos if keys <= info.node.labels.keys()]


@dataclass(frozen=True)
class _Limit:
    """`most`: how many selected pods a domain may have before this pod comes."""

    topology_key: str
    domains: Mapping[str, int]
    most: int


def _pre_filter(pod: PodInfo, snapshot: Snapshot) -> Any:
    constraints = pod.shape.hard_spread
    if not constraints:
        return None
    infos = _labelled(constraints, snapshot.nodes.values())
    return [_limit(pod, constraint, snapshot.memo, infos) for constraint in constraints]


def _limit(pod: PodInfo, constraint: SpreadConstraint, memo: Memo, infos: Sequence[NodeInfo]) -> _Limit:
    domains: dict[str, int] = {}
    for counted in _over(pod, constraint, memo, infos):
        if counted is not None:
            domains[counted[0]] = domains.get(counted[0], 0) + counted[1]
    fewest = 0 if len(domains) < constraint.min_domains else min(domains.values())
    itself = constraint.selector.matches(pod.shape.labels)
    return _Limit(constraint.topology_key, domains, constraint.max_skew + fewest - itself)


def _filter(state: list[_Limit], pod: PodInfo, info: NodeInfo) -> Refusal | None:
    for limit in state:
        value = info.node.labels.get(limit.topology_key)
        if value is None:
            return _UNLABELLED
        if limit.domains.get(value, 0) > limit.most:
            return _SKEWED
    return None


@dataclass(frozen=True)
class _Spreading:
    """What `score` needs: for each constraint the pods in its domains, by name where each node is one, and a weight."""

    constraints: tuple[tuple[SpreadConstraint, Mapping[str, int], float], ...]
    ignored: frozenset[str]
    """Nodes that lack some label."""
    order: tuple[str, ...]


def _pre_score(
    defaults: tuple[SpreadConstraint, ...], pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]
) -> Any:
    constraints = pod.shape.soft_spread
    has_own = bool(pod.shape.example.obj["spec"].get("topologySpreadConstraints"))
    if not has_own and snapshot.owner_selector is not None:
        constraints = tuple(replace(each, selector=snapshot.owner_selector) for each in defaults)
    if not constraints:
        return None
    # Where nobody said anything, nodes without zones are spread over nevertheless.
    is_strict = has_own or defaults is not SYSTEM_DEFAULTS
    counted = _labelled(constraints, nodes) if is_strict else list(nodes)
    everywhere = list(snapshot.nodes.values())
    everywhere = _labelled(constraints, everywhere) if is_strict else everywhere
    found: list[tuple[SpreadConstraint, Mapping[str, int], float]] = []
    for constraint in constraints:
        if constraint.topology_key == HOSTNAME:
            counts = _counts(pod, constraint, snapshot.memo, counted)
            by_name = {info.node.name: count for info, count in zip(counted, counts, strict=True)}
            found.append((constraint, by_name, math.log(len(counted) + 2)))
            continue
        domains = {info.node.labels.get(constraint.topology_key, ""): 0 for info in counted}
        for of_node in _over(pod, constraint, snapshot.memo, everywhere):
            if of_node is not None and of_node[0] in domains:
                domains[of_node[0]] += of_node[1]
        found.append((constraint, domains, math.log(len(domains) + 2)))
    there = {info.node.name for info in counted}
    order = tuple(info.node.name for info in nodes)
    return _Spreading(tuple(found), frozenset(name for name in order if name not in there), order)


def _score(state: _Spreading, pod: PodInfo, info: NodeInfo) -> int:
    """How many selected pods are where this one would come, few domains weighing less; fewer is better."""
    if info.node.name in state.ignored:
        return 0
    total = 0.0
    for constraint, domains, weight in state.constraints:
        value = info.node.labels.get(constraint.topology_key)
        if value is None:
            continue
        count = domains[info.node.name if constraint.topology_key == HOSTNAME else value]
        total += count * weight + constraint.max_skew - 1
    return math.floor(total + 0.5)


def _normalize(state: _Spreading, found: Sequence[int]) -> Sequence[int]:
    counted = [score for name, score in zip(state.order, found, strict=True) if name not in state.ignored]
    most, least = max(counted, default=0), min(counted, default=0)
    return [
        0 if name in state.ignored else BEST * (most + least - score) // most if most else BEST
        for name, score in zip(state.order, found, strict=True)
    ]


def _helps(pod: PodInfo, event: ClusterEvent) -> bool:
    """Pods that are counted came or went, or a node that may be another domain did."""
    keys = {constraint.topology_key for constraint in pod.shape.hard_spread}
    if event.happened in (Happened.NODE_ADDED, Happened.NODE_LABELS, Happened.NODE_TAINTS):
        return keys <= (event.object["metadata"].get("labels") or {}).keys()
    if event.object["metadata"].get("namespace", "") != pod.key.namespace:
        return False
    states = [event.object] if event.before is None else [event.object, event.before]
    return any(
        constraint.selector.matches(state["metadata"].get("labels"))
        for state in states
        for constraint in pod.shape.hard_spread
    )


_HINT = Hint.on(
    Happened.NODE_ADDED,
    Happened.NODE_LABELS,
    Happened.NODE_TAINTS,
    Happened.POD_PLACED,
    Happened.POD_LABELS,
    Happened.POD_GONE,
    if_=_helps,
)


def topology_spread(defaults: tuple[SpreadConstraint, ...]) -> Plugin:
    """`defaults` are for pods that say nothing; their selectors are those of the pod's Services and owner."""
    return Plugin(
        "PodTopologySpread",
        pre_filter=_pre_filter,
        filter=_filter,
        pre_score=partial(_pre_score, defaults),
        score=_score,
        normalize=_normalize,
        hint=_HINT,
    )


TOPOLOGY_SPREAD = topology_spread(SYSTEM_DEFAULTS)
