"""Taints and tolerations, and nodes that are marked unschedulable (TaintToleration, NodeUnschedulable)."""

from __future__ import annotations

from machinery.api.resource import Object
from machinery.api.views import Pod
from scheduler.snapshot import NodeInfo

UNSCHEDULABLE = "node(s) were unschedulable"
_UNSCHEDULABLE_TAINT: Object = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def tolerates(tolerations: list[Object], taint: Object) -> bool:
    return any(_tolerated(toleration, taint) for toleration in tolerations)


def _tolerated(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool((toleration.get("value") or "") == (taint.get("value") or ""))


def filter_unschedulable(pod: Pod, info: NodeInfo) -> list[str]:
    if info.node.unschedulable and not tolerates(pod.tolerations, _UNSCHEDULABLE_TAINT):
        return [UNSCHEDULABLE]
    return []


def filter_taints(pod: Pod, info: NodeInfo) -> list[str]:
    """The first taint that forbids the pod to be put there, told by key and value."""
    for taint in info.node.taints:
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerates(pod.tolerations, taint):
            return [f"node(s) had untolerated taint(s) {{{taint['key']}: {taint.get('value') or ''}}}"]
    return []


def score_taints(pod: Pod, info: NodeInfo) -> int:
    """How many PreferNoSchedule taints the pod does not tolerate; fewer is better."""
    disliked = [taint for taint in info.node.taints if taint.get("effect") == "PreferNoSchedule"]
    return -sum(not tolerates(pod.tolerations, taint) for taint in disliked)
