"""Labels of nodes that have newer names, which upstream tells of wherever nodes are selected."""

from __future__ import annotations

from collections.abc import Iterator

from machinery.api.resource import Object

DEPRECATED = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}


def term_warnings(term: Object, path: str) -> Iterator[str]:
    """Of a node selector's term, and of a label selector's expressions."""
    for index, entry in enumerate(term.get("matchExpressions") or ()):
        if said := DEPRECATED.get(entry.get("key") or ""):
            yield f"{path}.matchExpressions[{index}].key: {entry['key']} is {said}"


def selector_warnings(selector: Object | None, path: str) -> Iterator[str]:
    """Of a label selector of nodes."""
    yield from term_warnings(selector or {}, path)
    for label in (selector or {}).get("matchLabels") or ():
        if said := DEPRECATED.get(label):
            yield f"{path}.matchLabels.{label}: {said}"
