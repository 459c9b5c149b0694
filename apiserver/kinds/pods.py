"""Pods: defaults, and the status with which a new one begins."""

from __future__ import annotations

from apiserver.kinds.pod_rules import validate_pod
from apiserver.kinds.pod_spec import default_pod
from apiserver.kinds.pod_update_rules import validate_pod_update
from apiserver.kinds.rules import Rules
from machinery.api.resource import Object

_COMPUTED = ("Guaranteed", "Burstable", "BestEffort")


def prepare_create(pod: Object) -> None:
    """A new pod is Pending, and its quality of service class is told from the start."""
    status: Object = {"phase": "Pending", "qosClass": qos_class(pod)}
    if pod["spec"].get("schedulingGates"):
        reason = "Scheduling is blocked due to non-empty scheduling gates"
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": reason,
                "lastProbeTime": None,
                "lastTransitionTime": None,
            }
        ]
    pod["status"] = status


def prepare_update(new: Object, old: Object) -> None:
    new["status"] = old.get("status", {})


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort, by cpu and memory of all containers."""
    from machinery.api.quantity import milli

    guaranteed, burstable = True, False
    for container in [*(pod["spec"].get("initContainers") or []), *(pod["spec"].get("containers") or [])]:
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            limit, request = milli(str(limits.get(name, 0))), milli(str(requests.get(name, limits.get(name, 0))))
            burstable |= bool(limit or request)
            guaranteed &= bool(limit) and limit == request
    if not burstable:
        return _COMPUTED[2]
    return _COMPUTED[0] if guaranteed else _COMPUTED[1]


RULES = Rules(
    default=default_pod,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate_pod,
    validate_update=validate_pod_update,
    rechecked="never",
    has_generation=True,
    selectable_fields=(
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ),
)
