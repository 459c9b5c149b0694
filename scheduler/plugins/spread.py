"""Pods spread evenly over zones, nodes or any label of nodes (PodTopologySpread)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from machinery.api.selectors import LabelSelector
from machinery.structs import Struct, replace
from scheduler.cluster_events import ClusterEvent, Happened
from scheduler.framework import BEST, Hint, Plugin, Refusal
from scheduler.memo import Share
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
    shapes = Counter([pod.shape for pod in info.pods.values() if not pod.is_going])
    return sum(
        count
        for shape, count in shapes.items()
        if shape.example.namespace == namespace and selector.matches(shape.labels)
    )


def _counts(pod: PodInfo, constraint: SpreadConstraint, snapshot: Snapshot) -> Mapping[str, int]:
    """By node."""
    namespace, selector = pod.key.namespace, constraint.selector
    return snapshot.memo.answers(("spread", namespace, selector), snapshot, partial(matching, namespace, selector))


def _included(pod: PodInfo, constraint: SpreadConstraint, info: NodeInfo) -> bool:
    """Whether the node counts as one of those over which is spread (KEP-3094)."""
    if constraint.honors_affinity and not fits(pod.shape.example, info.node):
        return False
    return not constraint.honors_taints or untolerated(pod, info.node) is None


def _counted(pod: PodInfo, constraint: SpreadConstraint, keys: frozenset[str], info: NodeInfo) -> tuple[Share, ...]:
    """The selected pods on a node that counts: one that has all the labels."""
    if not keys <= info.node.labels.keys() or not _included(pod, constraint, info):
        return ()
    count = matching(pod.key.namespace, constraint.selector, info)
    return ((constraint.topology_key, info.node.labels.get(constraint.topology_key, ""), count),)


def _domains(pod: PodInfo, constraint: SpreadConstraint, keys: frozenset[str], snapshot: Snapshot) -> Mapping[str, int]:
    """How many selected pods are in each domain of the nodes that have these labels."""
    question = ("over", pod.shape, constraint, keys)
    sums = snapshot.memo.sums(question, snapshot, partial(_counted, pod, constraint, keys))
    return dict(sums.get(constraint.topology_key, {}))


def _keys(constraints: Iterable[SpreadConstraint]) -> frozenset[str]:
    return frozenset(constraint.topology_key for constraint in constraints)


class _Limit(Struct, frozen=True):
    """`most`: how many selected pods a domain may have before this pod comes."""

    topology_key: str
    domains: Mapping[str, int]
    most: int


def _pre_filter(pod: PodInfo, snapshot: Snapshot) -> Any:
    constraints = pod.shape.hard_spread
    if not constraints:
        return None
    keys = _keys(constraints)
    return [_limit(pod, constraint, _domains(pod, constraint, keys, snapshot)) for constraint in constraints]


def _limit(pod: PodInfo, constraint: SpreadConstraint, domains: Mapping[str, int]) -> _Limit:
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


def _limited(state: list[_Limit]) -> list[str]:
    return [limit.topology_key for limit in state]


class _Spreading(Struct, frozen=True):
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
    keys = _keys(constraints) if is_strict else frozenset()
    counted = [info for info in nodes if keys <= info.node.labels.keys()] if keys else list(nodes)
    found: list[tuple[SpreadConstraint, Mapping[str, int], float]] = []
    for constraint in constraints:
        if constraint.topology_key == HOSTNAME:
            found.append((constraint, _counts(pod, constraint, snapshot), math.log(len(counted) + 2)))
            continue
        key, everywhere = constraint.topology_key, _domains(pod, constraint, keys, snapshot)
        domains = {value: everywhere.get(value, 0) for value in {info.node.labels.get(key, "") for info in counted}}
        found.append((constraint, domains, math.log(len(domains) + 2)))
    there = {info.node.name for info in counted}
    order = tuple(info.node.name for info in nodes)
    return _Spreading(tuple(found), frozenset(name for name in order if name not in there), order)


def _scores(state: _Spreading, pod: PodInfo, infos: Sequence[NodeInfo]) -> Sequence[int]:
    """How many selected pods are where this one would come, few domains weighing less; fewer is better."""
    nodes = [info.node for info in infos]
    totals = [0.0] * len(nodes)
    for constraint, domains, weight in state.constraints:
        key, more = constraint.topology_key, constraint.max_skew - 1
        worth: dict[str | None, float] = {value: count * weight + more for value, count in domains.items()}
        if key == HOSTNAME:
            # Counted by the node, whatever it is called; one without the label takes no part.
            totals = [
                total + worth[node.name] if key in node.labels else total
                for total, node in zip(totals, nodes, strict=True)
            ]
        else:
            worth[None] = 0.0
            totals = [total + worth[node.labels.get(key)] for total, node in zip(totals, nodes, strict=True)]
    if state.ignored:
        totals = [0.0 if node.name in state.ignored else total for total, node in zip(totals, nodes, strict=True)]
    return [math.floor(total + 0.5) for total in totals]


def _score(state: _Spreading, pod: PodInfo, info: NodeInfo) -> int:
    return _scores(state, pod, (info,))[0]


def _normalize(state: _Spreading, found: Sequence[int]) -> Sequence[int]:
    if state.ignored:
        counted = {score for name, score in zip(state.order, found, strict=True) if name not in state.ignored}
    else:
        counted = set(found)
    most, least = max(counted, default=0), min(counted, default=0)
    turned = {score: BEST * (most + least - score) // most if most else BEST for score in counted}
    if not state.ignored:
        return [turned[score] for score in found]
    return [0 if name in state.ignored else turned[score] for name, score in zip(state.order, found, strict=True)]


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
        scores=_scores,
        normalize=_normalize,
        topology_keys=_limited,
        hint=_HINT,
    )


TOPOLOGY_SPREAD = topology_spread(SYSTEM_DEFAULTS)
