"""Pods: defaults, the status with which a new one begins, and the rules of each of their parts."""

from __future__ import annotations

from apiserver.kinds.pod_qos import qos_class
from apiserver.kinds.pod_resize_rules import validate_resize
from apiserver.kinds.pod_rules import validate_pod
from apiserver.kinds.pod_spec import default_pod
from apiserver.kinds.pod_status_rules import prepare_status, validate_pod_status
from apiserver.kinds.pod_update_rules import validate_ephemeral_containers, validate_pod_update
from apiserver.kinds.rules import Rules
from machinery.api.resource import Object


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


RULES = Rules(
    default=default_pod,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate_pod,
    validate_update=validate_pod_update,
    rechecked="never",
    prepare_status=prepare_status,
    validate_status=validate_pod_status,
    validate_parts={"ephemeralcontainers": validate_ephemeral_containers, "resize": validate_resize},
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
