"""Pods: defaults, the status with which a new one begins, and the rules of each of their parts."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.pods.annotation_rules import APP_ARMOR, app_armor_field
from apiserver.rules.pods.pod_qos import qos_class
from apiserver.rules.pods.pod_resize_rules import validate_resize
from apiserver.rules.pods.pod_rules import validate_pod
from apiserver.rules.pods.pod_spec import default_pod
from apiserver.rules.pods.pod_status_rules import pod_status_warnings, prepare_status, validate_pod_status
from apiserver.rules.pods.pod_update_rules import validate_ephemeral_containers, validate_pod_update
from apiserver.rules.pods.pod_warnings import pod_warnings
from apiserver.rules.pods.windows_rules import containers_with_paths
from machinery.api.resource import Object


def prepare_create(pod: Object) -> None:
    """A new pod is Pending, and its quality of service class is told from the start."""
    merge_label_keys(pod)
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    if annotations and (pod["spec"].get("os") or {}).get("name") != "windows":
        take_app_armor(annotations, pod["spec"])
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


def merge_label_keys(pod: Object) -> None:
    """Selectors get the values that the pod has for the keys by which it is to be placed (KEP-3633, KEP-3243)."""
    spec, labels = pod["spec"], (pod.get("metadata") or {}).get("labels") or {}
    terms = list(spec.get("topologySpreadConstraints") or ())
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity = (spec.get("affinity") or {}).get(kind) or {}
        weighted = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [each.get("podAffinityTerm") or {} for each in weighted]
        terms += affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    for term in terms:
        for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
            keys = [key for key in term.get(field) or () if key in labels]
            if keys and (selector := term.get("labelSelector")) is not None:
                merged = [{"key": key, "operator": operator, "values": [labels[key]]} for key in keys]
                selector["matchExpressions"] = [*(selector.get("matchExpressions") or ()), *merged]


def take_app_armor(annotations: Object, spec: Object) -> None:
    """Annotations of old become fields, unless the pod's profile is the same (KEP-24)."""
    of_pod = (spec.get("securityContext") or {}).get("appArmorProfile")
    for container, _ in containers_with_paths(spec, ""):
        profile = app_armor_field(annotations.get(f"{APP_ARMOR}{container.get('name')}") or "")
        context = container.get("securityContext") or {}
        if profile is not None and context.get("appArmorProfile") is None and profile != of_pod:
            container["securityContext"] = {**context, "appArmorProfile": profile}


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
    status_warnings=pod_status_warnings,
    validate_parts={"ephemeralcontainers": validate_ephemeral_containers, "resize": validate_resize},
    warnings=pod_warnings,
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
        # What clients of old call the node.
        "spec.host",
    ),
)
