"""Pods that want to be near others, or away from them, as required or as preferred (InterPodAffinity)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from machinery.api.views import Pod
from scheduler.cluster_events import ClusterEvent, Happened
from scheduler.framework import BEST, Hint, Plugin, Refusal
from scheduler.node_info import NodeInfo
from scheduler.pod_info import PodInfo
from scheduler.pod_terms import Term, pod_terms
from scheduler.snapshot import Snapshot

Domain = tuple[str, str]
"""A label of nodes: its key and a value."""

_NOT_NEAR = Refusal(("node(s) didn't match pod affinity rules",), is_final=True)
_NOT_AWAY = Refusal(("node(s) didn't match pod anti-affinity rules",))
_UNWANTED = Refusal(("node(s) didn't satisfy existing pods anti-affinity rules",))
OF_REQUIRED = 1
"""What a required term of a pod that is there counts for, when nodes are compared."""


def _matching(terms: tuple[Term, ...], info: NodeInfo) -> int:
    """How many pods on the node all of the terms are about; their selectors of namespaces are resolved."""
    return sum(
        all(term.matches(pod.key.namespace, {}, pod.shape.labels) for term in terms) for pod in info.pods.values()
    )


def _about(pod: PodInfo, namespace_labels: Mapping[str, str], terms: Sequence[Term]) -> Iterator[str]:
    """The topology keys of those terms that are about the pod."""
    for term in terms:
        if term.matches(pod.key.namespace, namespace_labels, pod.shape.labels):
            yield term.topology_key


def _against(pod: PodInfo, namespace_labels: Mapping[str, str], info: NodeInfo) -> frozenset[str]:
    """The topology keys by which some pod on the node wants this one away."""
    return frozenset(
        key for other in info.affine.values() for key in _about(pod, namespace_labels, other.shape.terms.away)
    )


@dataclass(frozen=True)
class _Rules:
    near: tuple[Term, ...]
    near_domains: Mapping[Domain, int]
    is_first: bool
    """No pod is what the terms want, but this one is itself: it may start a group."""
    away: tuple[Term, ...]
    away_domains: frozenset[Domain]
    unwanted: frozenset[Domain]


def _pre_filter(pod: PodInfo, snapshot: Snapshot) -> Any:
    terms, memo = pod.shape.terms, snapshot.memo
    unwanted = _unwanted(pod, snapshot)
    if not terms.near and not terms.away and not unwanted:
        return None
    infos = list(snapshot.nodes.values())
    near = tuple(term.resolved(snapshot.namespaces) for term in terms.near)
    away = tuple(term.resolved(snapshot.namespaces) for term in terms.away)
    near_domains: dict[Domain, int] = {}
    if near:
        counts = memo.each(("matching", near), infos, partial(_matching, near))
        for info, count in zip(infos, counts, strict=True):
            for term in near if count else ():
                if (value := info.node.labels.get(term.topology_key)) is not None:
                    domain = (term.topology_key, value)
                    near_domains[domain] = near_domains.get(domain, 0) + count
    taken = set()
    for term in away:
        counts = memo.each(("matching", (term,)), infos, partial(_matching, (term,)))
        taken |= _domains(term.topology_key, infos, counts)
    is_first = not near_domains and all(term.matches(pod.key.namespace, {}, pod.shape.labels) for term in near)
    return _Rules(near, near_domains, is_first, away, frozenset(taken), unwanted)


def _unwanted(pod: PodInfo, snapshot: Snapshot) -> frozenset[Domain]:
    affine = snapshot.affine
    if not affine:
        return frozenset()
    labels = snapshot.namespaces.get(pod.key.namespace, {})
    question = ("against", pod.shape, frozenset(labels.items()))
    found = snapshot.memo.each(question, affine, partial(_against, pod, labels))
    return frozenset(
        (key, value)
        for info, keys in zip(affine, found, strict=True)
        for key in keys
        if (value := info.node.labels.get(key)) is not None
    )


def _domains(key: str, infos: Sequence[NodeInfo], counts: Sequence[int]) -> set[Domain]:
    return {
        (key, value)
        for info, count in zip(infos, counts, strict=True)
        if count and (value := info.node.labels.get(key)) is not None
    }


def _filter(state: _Rules, pod: PodInfo, info: NodeInfo) -> Refusal | None:
    labels = info.node.labels
    for term in state.near:
        value = labels.get(term.topology_key)
        if value is None or not (state.is_first or (term.topology_key, value) in state.near_domains):
            return _NOT_NEAR
    if any((term.topology_key, labels.get(term.topology_key, "")) in state.away_domains for term in state.away):
        return _NOT_AWAY
    if state.unwanted and any(domain in state.unwanted for domain in labels.items()):
        return _UNWANTED
    return None


def _liked(of_required: int, pod: PodInfo, namespace_labels: Mapping[str, str], info: NodeInfo) -> dict[str, int]:
    """By topology key, how much the pods on the node want this one near them."""
    found: dict[str, int] = {}
    for other in info.affine.values():
        terms = other.shape.terms
        weighted = [*terms.preferred, *((term, of_required) for term in terms.near if of_required)]
        for term, weight in weighted:
            if term.matches(pod.key.namespace, namespace_labels, pod.shape.labels):
                found[term.topology_key] = found.get(term.topology_key, 0) + weight
    return found


Points = dict[str, dict[str, int]]
"""By topology key and value."""


def _pre_score(of_required: int, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Any:
    """Points of each domain; nothing where no pod is liked or disliked."""
    points: Points = {}
    preferred = pod.shape.terms.preferred
    infos = list(snapshot.nodes.values()) if preferred else []
    for term, weight in preferred:
        resolved = (term.resolved(snapshot.namespaces),)
        counts = snapshot.memo.each(("matching", resolved), infos, partial(_matching, resolved))
        key = term.topology_key
        of_key = points.setdefault(key, {})
        for info, count in zip(infos, counts, strict=True):
            if count and (value := info.node.labels.get(key)) is not None:
                of_key[value] = of_key.get(value, 0) + weight * count
    affine = snapshot.affine
    if affine:
        labels = snapshot.namespaces.get(pod.key.namespace, {})
        question = ("liked", of_required, pod.shape, frozenset(labels.items()))
        likings = snapshot.memo.each(question, affine, partial(_liked, of_required, pod, labels))
        for info, liking in zip(affine, likings, strict=True):
            for key, weight in liking.items():
                if (value := info.node.labels.get(key)) is not None:
                    of_key = points.setdefault(key, {})
                    of_key[value] = of_key.get(value, 0) + weight
    return points if any(points.values()) else None


def _score(state: Points, pod: PodInfo, info: NodeInfo) -> int:
    labels, total = info.node.labels, 0
    for key, of_key in state.items():
        value = labels.get(key)
        if value is not None:
            total += of_key.get(value, 0)
    return total


def _normalize(state: Any, found: Sequence[int]) -> Sequence[int]:
    """Stretched to 0 to 100; what is neither liked nor disliked counts as 0 before."""
    most, least = max(0, *found), min(0, *found)
    return [int(BEST * ((score - least) / (most - least))) if most > least else 0 for score in found]


def _helps(pod: PodInfo, event: ClusterEvent) -> bool:
    if event.happened in (Happened.NODE_ADDED, Happened.NODE_LABELS):
        return True
    states = [event.object] if event.before is None else [event.object, event.before]
    return any(_concerns(pod, Pod(state)) for state in states)


def _concerns(pod: PodInfo, other: Pod) -> bool:
    """Whether one of the two may have a say about the other; selectors of namespaces are taken to match."""
    terms = pod.shape.terms
    if any(_may_match(term, other.namespace, other.labels) for term in (*terms.near, *terms.away)):
        return True
    return any(_may_match(term, pod.key.namespace, pod.shape.labels) for term in pod_terms(other).away)


def _may_match(term: Term, namespace: str, labels: Mapping[str, str]) -> bool:
    return (namespace in term.namespaces or term.namespace_selector is not None) and term.selector.matches(labels)


_HINT = Hint.on(
    Happened.NODE_ADDED,
    Happened.NODE_LABELS,
    Happened.POD_PLACED,
    Happened.POD_LABELS,
    Happened.POD_GONE,
    if_=_helps,
)


def inter_pod_affinity(of_required: int) -> Plugin:
    return Plugin(
        "InterPodAffinity",
        pre_filter=_pre_filter,
        filter=_filter,
        pre_score=partial(_pre_score, of_required),
        score=_score,
        normalize=_normalize,
        hint=_HINT,
    )


INTER_POD_AFFINITY = inter_pod_affinity(OF_REQUIRED)
