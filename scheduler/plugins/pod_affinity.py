"""Pods that want to be near others, or away from them, as required or as preferred (InterPodAffinity)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from machinery.api.views import Pod
from machinery.structs import Struct
from scheduler.cluster_events import ClusterEvent, Happened
from scheduler.framework import BEST, Hint, Plugin, Refusal
from scheduler.memo import Share, Sums
from scheduler.node_info import NodeInfo
from scheduler.pod_info import PodInfo, PodShape
from scheduler.pod_terms import Term, pod_terms
from scheduler.snapshot import Snapshot

_NOT_NEAR = Refusal(("node(s) didn't match pod affinity rules",), is_final=True)
_NOT_AWAY = Refusal(("node(s) didn't match pod anti-affinity rules",))
_UNWANTED = Refusal(("node(s) didn't satisfy existing pods anti-affinity rules",))
OF_REQUIRED = 1
"""What a required term of a pod that is there counts for, when nodes are compared."""


def _matching(terms: tuple[Term, ...], info: NodeInfo) -> Iterator[Share]:
    """How many pods on the node all terms are about, by the terms' keys; selectors of namespaces are resolved."""
    count = sum(
        count
        for shape, count in _shapes(info.pods.values())
        if all(term.matches(shape.example.namespace, {}, shape.labels) for term in terms)
    )
    for key in {term.topology_key for term in terms} if count else ():
        if (value := info.node.labels.get(key)) is not None:
            yield key, value, count


def _shapes(pods: Iterable[PodInfo]) -> Iterable[tuple[PodShape, int]]:
    """How many of the pods have each shape; pods of one shape are of one namespace."""
    return Counter([pod.shape for pod in pods]).items()


def _placed(terms: tuple[Term, ...], snapshot: Snapshot) -> Sums:
    return snapshot.memo.kept_sums(("matching", terms), snapshot, partial(_matching, terms))


def _about(pod: PodInfo, namespace_labels: Mapping[str, str], terms: Sequence[Term]) -> Iterator[str]:
    """The topology keys of those terms that are about the pod."""
    for term in terms:
        if term.matches(pod.key.namespace, namespace_labels, pod.shape.labels):
            yield term.topology_key


def _against(pod: PodInfo, namespace_labels: Mapping[str, str], info: NodeInfo) -> Iterator[Share]:
    """The domains of the node from which some pod there wants this one away."""
    others = _shapes(info.affine.values())
    keys = {key for shape, _ in others for key in _about(pod, namespace_labels, shape.terms.away)}
    for key in keys:
        if (value := info.node.labels.get(key)) is not None:
            yield key, value, 1


class _Rules(Struct, frozen=True):
    near: tuple[Term, ...]
    near_domains: Sums
    is_first: bool
    """No pod is what the terms want, but this one is itself: it may start a group."""
    away: tuple[tuple[Term, Sums], ...]
    unwanted: Sums


def _pre_filter(pod: PodInfo, snapshot: Snapshot) -> Any:
    terms = pod.shape.terms
    unwanted = _unwanted(pod, snapshot)
    if not terms.near and not terms.away and not unwanted:
        return None
    near = tuple(term.resolved(snapshot.namespaces) for term in terms.near)
    away = tuple(term.resolved(snapshot.namespaces) for term in terms.away)
    near_domains = _placed(near, snapshot) if near else {}
    taken = tuple((term, _placed((term,), snapshot)) for term in away)
    is_first = not any(near_domains.values()) and all(
        term.matches(pod.key.namespace, {}, pod.shape.labels) for term in near
    )
    return _Rules(near, near_domains, is_first, taken, unwanted)


def _unwanted(pod: PodInfo, snapshot: Snapshot) -> Sums:
    if not snapshot.marks.affine:
        return {}
    labels = snapshot.namespaces.get(pod.key.namespace, {})
    question = ("against", pod.shape, frozenset(labels.items()))
    sums = snapshot.memo.kept_sums(question, snapshot, partial(_against, pod, labels))
    return {key: of_key for key, of_key in sums.items() if of_key}


def _keys(state: _Rules) -> set[str]:
    return {
        *(term.topology_key for term in state.near),
        *(term.topology_key for term, _ in state.away),
        *state.unwanted,
    }


def _filter(state: _Rules, pod: PodInfo, info: NodeInfo) -> Refusal | None:
    labels = info.node.labels
    for term in state.near:
        value = labels.get(term.topology_key)
        if value is None or not (state.is_first or value in state.near_domains.get(term.topology_key, ())):
            return _NOT_NEAR
    if any(labels.get(term.topology_key, "") in taken.get(term.topology_key, ()) for term, taken in state.away):
        return _NOT_AWAY
    if any(labels.get(key) in domains for key, domains in state.unwanted.items()):
        return _UNWANTED
    return None


def _liked(
    of_required: int,
    preferred: tuple[tuple[Term, int], ...],
    pod: PodInfo,
    namespace_labels: Mapping[str, str],
    info: NodeInfo,
) -> Iterator[Share]:
    """How much the pod wants to be near those on the node (`preferred`), and they near it, by the keys of the terms."""
    found: dict[str, int] = {}
    for shape, count in _shapes(info.pods.values()) if preferred else ():
        for term, weight in preferred:
            if term.matches(shape.example.namespace, {}, shape.labels):
                found[term.topology_key] = found.get(term.topology_key, 0) + weight * count
    for shape, count in _shapes(info.affine.values()):
        terms = shape.terms
        weighted = [*terms.preferred, *((term, of_required) for term in terms.near if of_required)]
        for term, weight in weighted:
            if term.matches(pod.key.namespace, namespace_labels, pod.shape.labels):
                found[term.topology_key] = found.get(term.topology_key, 0) + weight * count
    for key, weight in found.items():
        if (value := info.node.labels.get(key)) is not None:
            yield key, value, weight


def _pre_score(of_required: int, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Any:
    """Points of each domain; nothing where no pod is liked or disliked."""
    if not pod.shape.terms.preferred and not snapshot.marks.affine:
        return None
    preferred = tuple((term.resolved(snapshot.namespaces), weight) for term, weight in pod.shape.terms.preferred)
    labels = snapshot.namespaces.get(pod.key.namespace, {})
    question = ("liked", of_required, preferred, pod.shape, frozenset(labels.items()))
    points = snapshot.memo.sums(question, snapshot, partial(_liked, of_required, preferred, pod, labels))
    return points if any(points.values()) else None


def _scores(state: Sums, pod: PodInfo, infos: Sequence[NodeInfo]) -> Sequence[int]:
    totals = [0] * len(infos)
    labels = [info.node.labels for info in infos]
    for key, of_key in state.items():
        # No node's label is None: one that lacks it gets nothing.
        get: Callable[[str | None, int], int] = of_key.get  # type: ignore[assignment]
        totals = [total + get(of_node.get(key), 0) for total, of_node in zip(totals, labels, strict=True)]
    return totals


def _score(state: Sums, pod: PodInfo, info: NodeInfo) -> int:
    return _scores(state, pod, (info,))[0]


def _normalize(state: Any, found: Sequence[int]) -> Sequence[int]:
    """Stretched to 0 to 100; what is neither liked nor disliked counts as 0 before."""
    most, least = max(0, *found), min(0, *found)
    if most == least:
        return [0] * len(found)
    stretched = {score: int(BEST * ((score - least) / (most - least))) for score in set(found)}
    return [stretched[score] for score in found]


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
        scores=_scores,
        normalize=_normalize,
        topology_keys=_keys,
        hint=_HINT,
    )


INTER_POD_AFFINITY = inter_pod_affinity(OF_REQUIRED)
