"""What a pod says of other pods: terms of (anti-)affinity and spread constraints, parsed once for each shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from machinery.api.resource import Object
from machinery.api.selectors import LabelSelector, Requirement, stored_selector
from machinery.api.views import Pod
from machinery.structs import Struct, replace

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


class Term(Struct, frozen=True):
    """Pods of these labels and namespaces, near or far by the node's label `topology_key`."""

    selector: LabelSelector
    namespaces: frozenset[str]
    namespace_selector: LabelSelector | None
    topology_key: str

    def matches(self, namespace: str, namespace_labels: Mapping[str, str], labels: Mapping[str, str]) -> bool:
        """Whether the term is about a pod of these labels, in this namespace."""
        if namespace not in self.namespaces:
            selector = self.namespace_selector
            if selector is None or not selector.matches(namespace_labels):
                return False
        return self.selector.matches(labels)

    def resolved(self, namespaces: Mapping[str, Mapping[str, str]]) -> Term:
        """The same, its selector of namespaces replaced by those that there are now."""
        selector = self.namespace_selector
        if selector is None:
            return self
        named = frozenset(name for name, labels in namespaces.items() if selector.matches(labels))
        return replace(self, namespaces=self.namespaces | named, namespace_selector=None)


class PodTerms(Struct, frozen=True):
    """Required terms, and preferred ones with their weights, negative for anti-affinity."""

    near: tuple[Term, ...] = ()
    away: tuple[Term, ...] = ()
    preferred: tuple[tuple[Term, int], ...] = ()


NO_TERMS = PodTerms()


def pod_terms(pod: Pod) -> PodTerms:
    near, away = pod.affinity.get("podAffinity") or {}, pod.affinity.get("podAntiAffinity") or {}
    if not near and not away:
        return NO_TERMS
    preferred = [(entry, 1) for entry in near.get(_PREFERRED) or []]
    preferred += [(entry, -1) for entry in away.get(_PREFERRED) or []]
    return PodTerms(
        tuple(_term(entry, pod) for entry in near.get(_REQUIRED) or []),
        tuple(_term(entry, pod) for entry in away.get(_REQUIRED) or []),
        tuple((_term(entry["podAffinityTerm"], pod), sign * int(entry["weight"])) for entry, sign in preferred),
    )


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def _term(entry: Object, pod: Pod) -> Term:
    selector = stored_selector(entry.get("labelSelector"))
    selector = _by_own_labels(selector, entry.get("matchLabelKeys") or (), "in", pod.labels)
    selector = _by_own_labels(selector, entry.get("mismatchLabelKeys") or (), "notin", pod.labels)
    namespaces = frozenset(entry.get("namespaces") or ())
    by_label = entry.get("namespaceSelector")
    if not namespaces and by_label is None:
        namespaces = frozenset((pod.namespace,))
    return Term(
        selector,
        namespaces,
        None if by_label is None else stored_selector(by_label),
        entry.get("topologyKey") or "",
    )


def _by_own_labels(
    selector: LabelSelector, keys: Sequence[str], operator: str, labels: Mapping[str, str]
) -> LabelSelector:
    """With the pod's own values of these labels; the API server may have added them already (KEP-3633)."""
    more = tuple(Requirement(key, operator, (labels[key],)) for key in keys if key in labels)
    more = tuple(requirement for requirement in more if requirement not in selector.requirements)
    return replace(selector, requirements=selector.requirements + more) if more else selector


class SpreadConstraint(Struct, frozen=True):
    """Pods of the pod's namespace that are selected, spread evenly over the values of a label of nodes."""

    selector: LabelSelector
    topology_key: str
    max_skew: int = 1
    min_domains: int = 1
    honors_affinity: bool = True
    honors_taints: bool = False


def spread_constraints(pod: Pod, when_unsatisfiable: str) -> tuple[SpreadConstraint, ...]:
    """The pod's constraints of one kind: DoNotSchedule or ScheduleAnyway."""
    return tuple(
        SpreadConstraint(
            _by_own_labels(
                stored_selector(entry.get("labelSelector")), entry.get("matchLabelKeys") or (), "in", pod.labels
            ),
            entry["topologyKey"],
            entry.get("maxSkew") or 1,
            entry.get("minDomains") or 1,
            (entry.get("nodeAffinityPolicy") or "Honor") == "Honor",
            (entry.get("nodeTaintsPolicy") or "Ignore") == "Honor",
        )
        for entry in pod.obj["spec"].get("topologySpreadConstraints") or []
        if entry.get("whenUnsatisfiable") == when_unsatisfiable
    )


SYSTEM_DEFAULTS = (
    SpreadConstraint(LabelSelector(), HOSTNAME, max_skew=3),
    SpreadConstraint(LabelSelector(), ZONE, max_skew=5),
)
"""How the pods of one Service or owner are spread where they say nothing of it; the selector is theirs."""
