"""Defaults of a pod's spec, shared by pods and every kind with a pod template (core/v1 defaulting)."""

from __future__ import annotations

from typing import Any

from apiserver.rules.pods.resource_rules import is_of_whole_pods
from machinery.api.pod_resources import containers_total
from machinery.api.resource import Object

DEFAULT_MODE = 0o644


def default_template(template: Object | None) -> None:
    """A template gets what a spec gets; requests from limits and service links are defaulted on pods alone."""
    if template is not None:
        default_pod_spec(template.setdefault("spec", {}))


def default_pod(pod: Object) -> None:
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        resources = container.setdefault("resources", {})
        for name, quantity in (resources.get("limits") or {}).items():
            if resources.get("requests") is None:
                resources["requests"] = {}
            resources["requests"].setdefault(name, quantity)
        for port in (container.get("ports") or ()) if spec.get("hostNetwork") else ():
            port["hostPort"] = port.get("hostPort") or port.get("containerPort")
    if (whole := spec.get("resources")) is not None:
        default_pod_resources(spec, whole)
    if status := pod.get("status"):
        default_addresses(status)


def default_addresses(status: Object) -> None:
    """`podIP` is the first of `podIPs`; where they differ, the one that old clients know is meant."""
    first, addresses = status.get("podIP"), status.get("podIPs") or []
    if first and (not addresses or addresses[0].get("ip") != first):
        status["podIPs"] = [{"ip": first}]
    elif addresses and not first:
        status["podIP"] = addresses[0].get("ip") or ""


def default_pod_spec(spec: Object) -> None:
    for key, value in (
        ("restartPolicy", "Always"),
        ("dnsPolicy", "ClusterFirst"),
        ("schedulerName", "default-scheduler"),
        ("terminationGracePeriodSeconds", 30),
    ):
        if spec.get(key) in (None, "") and not (key == "terminationGracePeriodSeconds" and spec.get(key) == 0):
            spec[key] = value
    if isinstance(spec["terminationGracePeriodSeconds"], int) and spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    if spec.get("serviceAccount") and not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    elif spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    # Behind a gate that is off.
    spec.pop("schedulingGroup", None)
    for part in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(part) or []:
            default_container(container)
    for volume in spec.get("volumes") or []:
        default_volume(volume)


def default_pod_resources(spec: Object, whole: Object) -> None:
    """What a pod has as a whole follows from what is said of it and of its containers (KEP-2837)."""
    limits, requests = whole.get("limits") or {}, whole.get("requests") or {}
    if not limits and not requests:
        return
    for name, amount in containers_total(spec, "limits").items():
        if name.startswith("hugepages-") and name not in requests:
            limits = {name: str(amount), **limits}
    if not limits:
        return
    for name, amount in containers_total(spec, "requests").items():
        if name in ("cpu", "memory"):
            requests = {name: str(amount), **requests}
    whole["limits"] = limits
    whole["requests"] = {**{name: value for name, value in limits.items() if is_of_whole_pods(name)}, **requests}


def default_container(container: Object) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = _pull_policy(container.get("image") or "")
    for key, value in (("terminationMessagePath", "/dev/termination-log"), ("terminationMessagePolicy", "File")):
        if not container.get(key):
            container[key] = value
    for port in container.get("ports") or []:
        port.setdefault("protocol", "TCP")
    for entry in container.get("env") or []:
        default_field_ref((entry.get("valueFrom") or {}).get("fieldRef"))
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe) is not None:
            _default_probe(container[probe])
    if (lifecycle := container.get("lifecycle")) is not None:
        _default_lifecycle(container, lifecycle)


def _default_lifecycle(container: Object, lifecycle: Object) -> None:
    # Stop signals stand behind a gate that is off, and a lifecycle that had nothing else goes with them.
    if lifecycle.pop("stopSignal", None) is not None and not any(lifecycle.values()):
        del container["lifecycle"]
        return
    for hook in lifecycle.values():
        _default_http_get((hook or {}).get("httpGet"))


def default_field_ref(field: Object | None) -> None:
    if field is not None and not field.get("apiVersion"):
        field["apiVersion"] = "v1"


def _default_probe(probe: Object) -> None:
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(key):
            probe[key] = value
    _default_http_get(probe.get("httpGet"))
    if probe.get("grpc") is not None:
        # The field is always written, so an unset one is there as null.
        probe["grpc"]["service"] = probe["grpc"].get("service") or ""


def _default_http_get(action: Object | None) -> None:
    if action is not None:
        action["path"] = action.get("path") or "/"
        action["scheme"] = action.get("scheme") or "HTTP"


def _pull_policy(image: str) -> str:
    return "Always" if _is_latest(image) else "IfNotPresent"


def _is_latest(image: str) -> bool:
    """Whether the image's tag is `latest`, said or implied; a digest without a tag has none."""
    name, _, digest = image.partition("@")
    last = name.rpartition("/")[2]
    _, colon, tag = last.partition(":")
    return tag == "latest" if colon else not digest


def default_volume(volume: Object) -> None:
    sources = [key for key, value in volume.items() if key != "name" and value is not None]
    if not sources:
        volume["emptyDir"] = {}
        return
    for source in ("secret", "configMap", "projected", "downwardAPI"):
        if volume.get(source) is not None:
            volume[source].setdefault("defaultMode", DEFAULT_MODE)
    for item in (volume.get("downwardAPI") or {}).get("items") or []:
        default_field_ref(item.get("fieldRef"))
    for projection in (volume.get("projected") or {}).get("sources") or []:
        _default_projection(projection)
    if (image := volume.get("image")) is not None and not image.get("pullPolicy"):
        image["pullPolicy"] = _pull_policy(image.get("reference") or "")
    claim = ((volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}).get("spec")
    if claim is not None:
        claim.setdefault("volumeMode", "Filesystem")
    for source, defaults in _VOLUME_DEFAULTS.items():
        for key, value in defaults.items() if volume.get(source) is not None else ():
            volume[source].setdefault(key, value)


def _default_projection(projection: Object) -> None:
    for gated in ("clusterTrustBundle", "podCertificate"):
        projection.pop(gated, None)
    if projection.get("serviceAccountToken") is not None:
        projection["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    for item in (projection.get("downwardAPI") or {}).get("items") or []:
        default_field_ref(item.get("fieldRef"))


_VOLUME_DEFAULTS: dict[str, dict[str, Any]] = {
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}
