"""On which nodes a DaemonSet's pods run, and how a pod is made for one of them.

The scheduler binds them: a pod names its node by a required affinity to the field metadata.name.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from controllers.history import POD_LABEL
from controllers.plan import owner_reference
from controllers.pods import pod_from_template
from machinery.api.node_affinity import named, required_terms, takes
from machinery.api.resource import Object
from machinery.api.resources import DAEMON_SETS
from machinery.api.taints import untolerated
from machinery.api.views import DaemonSet, Node, Pod

GENERATION = "deprecated.daemonset.template.generation"
_GENERATION_LABEL = "pod-template-generation"
_BORNE = (
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
)
"""Taints of a node in trouble, which daemons must bear: they are often what gets it out of it."""


class Wants(Enum):
    """What a DaemonSet wants of a node."""

    A_POD = "a pod runs there"
    NO_NEW_POD = "a pod that is there stays"
    NO_POD = "none is there"


def demand(daemon_set: DaemonSet) -> Callable[[Node], Wants]:
    """What is wanted of any node: the template is read once for all of them."""
    template = Pod(daemon_set.template)
    named, tolerations = template.node_name, tolerated(template)

    def wants(node: Node) -> Wants:
        name = node.name
        if named not in ("", name) or not takes(template, node.labels, name):
            return Wants.NO_POD
        taints = node.taints
        if not taints or untolerated(taints, tolerations, ("NoExecute", "NoSchedule")) is None:
            return Wants.A_POD
        if untolerated(taints, tolerations, ("NoExecute",)) is None:
            return Wants.NO_NEW_POD
        return Wants.NO_POD

    return wants


def tolerated(template: Pod) -> list[Object]:
    """The template's tolerations and those that every daemon has."""
    names = [*_BORNE, *([("network-unavailable", "NoSchedule")] if template.host_network else ())]
    added = [{"key": f"node.kubernetes.io/{name}", "operator": "Exists", "effect": effect} for name, effect in names]
    identities = [(each["key"], each["effect"], each["operator"]) for each in added]
    kept = [each for each in template.tolerations if _identity(each) not in identities]
    return [*kept, *added]


def _identity(toleration: Object) -> tuple[str, str, str]:
    return toleration.get("key", ""), toleration.get("effect", ""), toleration.get("operator", "Equal")


def pod_for(daemon_set: DaemonSet, node: str, revision_hash: str) -> Object:
    made = pod_from_template(daemon_set.template, daemon_set.obj, owner_reference(DAEMON_SETS, daemon_set.obj))
    labels = {**made["metadata"].get("labels", {}), POD_LABEL: revision_hash}
    generation = daemon_set.annotations.get(GENERATION, "")
    if generation.isdigit():
        labels[_GENERATION_LABEL] = generation
    template = Pod(daemon_set.template)
    spec = {**made["spec"], "affinity": _only(template.affinity, node), "tolerations": tolerated(template)}
    return {**made, "metadata": {**made["metadata"], "labels": labels}, "spec": spec}


def _only(affinity: Object, node: str) -> Object:
    """The affinity with its required terms replaced: the node has been chosen by them."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {**affinity, "nodeAffinity": {**(affinity.get("nodeAffinity") or {}), **required}}


def node_of(pod: Pod) -> str:
    """The node that the pod is on or is made for; "" where it is for none."""
    if pod.node_name:
        return pod.node_name
    for term in required_terms(pod) or ():
        names = named(term)
        if names is not None and len(names) == 1:
            return next(iter(names))
    return ""
