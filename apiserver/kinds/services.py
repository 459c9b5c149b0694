"""Services: defaults of core/v1; addresses and node ports are the registry's."""

from __future__ import annotations

from apiserver.kinds.defaulting import default_values, keep_status
from apiserver.kinds.rules import Rules
from apiserver.kinds.service_rules import service_errors, service_update_errors
from machinery.api.resource import Object

_EXPOSED = ("NodePort", "LoadBalancer")


def default(service: Object) -> None:
    spec = service.setdefault("spec", {})
    for key, value in (("sessionAffinity", "None"), ("type", "ClusterIP")):
        spec[key] = spec.get(key) or value
    if spec["sessionAffinity"] == "ClientIP":
        default_values(spec, sessionAffinityConfig={})
        default_values(spec["sessionAffinityConfig"], clientIP={})
        default_values(spec["sessionAffinityConfig"]["clientIP"], timeoutSeconds=10800)
    for port in spec.get("ports") or []:
        port["protocol"] = port.get("protocol") or "TCP"
        if port.get("targetPort") in (None, "", 0):
            port["targetPort"] = port.get("port")
    if spec["type"] in _EXPOSED:
        spec["externalTrafficPolicy"] = spec.get("externalTrafficPolicy") or "Cluster"
    if spec["type"] in ("ClusterIP", *_EXPOSED):
        default_values(spec, internalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        default_values(spec, allocateLoadBalancerNodePorts=True)


def prepare_create(service: Object) -> None:
    service["status"] = {"loadBalancer": {}}


def prepare_update(new: Object, old: Object) -> None:
    """A Service that is no longer exposed loses the node ports that it had."""
    keep_status(new, old)
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if spec.get("type") in _EXPOSED or before.get("type") not in _EXPOSED:
        return
    had = {port.get("nodePort") for port in before.get("ports") or []}
    for port in spec.get("ports") or []:
        if port.get("nodePort") in had:
            port.pop("nodePort", None)


RULES = Rules(
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=service_errors,
    selectable_fields=("spec.clusterIP", "spec.type"),
    validate_update=service_update_errors,
)
