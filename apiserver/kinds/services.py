"""Services: defaults, and what a change of the type takes away; addresses and node ports are the registry's."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values, keep_status
from apiserver.rules.network.load_balancers import service_status_errors, service_status_warnings
from apiserver.rules.network.service_exposure import EXPOSED, is_exposed, needs_health_check
from apiserver.rules.network.service_rules import service_errors, service_update_errors
from apiserver.rules.network.service_warnings import service_warnings
from machinery.api.resource import Object

_WITH_ADDRESS = ("ClusterIP", *EXPOSED)


def default(service: Object) -> None:
    spec = service.setdefault("spec", {})
    for key, value in (("sessionAffinity", "None"), ("type", "ClusterIP")):
        spec[key] = spec.get(key) or value
    _default_affinity(spec)
    for port in spec.get("ports") or []:
        port["protocol"] = port.get("protocol") or "TCP"
        if port.get("targetPort") in (None, "", 0):
            port["targetPort"] = port.get("port")
    if is_exposed(spec):
        spec["externalTrafficPolicy"] = spec.get("externalTrafficPolicy") or "Cluster"
    if spec["type"] in _WITH_ADDRESS:
        default_values(spec, internalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        default_values(spec, allocateLoadBalancerNodePorts=True)
    for point in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        if point.get("ip"):
            default_values(point, ipMode="VIP")


def _default_affinity(spec: Object) -> None:
    if spec["sessionAffinity"] == "ClientIP":
        default_values(spec, sessionAffinityConfig={})
        default_values(spec["sessionAffinityConfig"], clientIP={})
        default_values(spec["sessionAffinityConfig"]["clientIP"], timeoutSeconds=10800)
    elif spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)


def prepare_create(service: Object) -> None:
    """An old client knows one address alone."""
    service["status"] = {"loadBalancer": {}}
    spec = service.setdefault("spec", {})
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]


def prepare_update(new: Object, old: Object) -> None:
    """A Service that changes its type loses what only the old type had, where the client left it as it was."""
    keep_status(new, old)
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if before.get("type") in _WITH_ADDRESS and spec.get("type") not in _WITH_ADDRESS:
        _drop_same(spec, before, "clusterIPs", "clusterIP")
        _drop_same(spec, before, "ipFamilies")
        _drop_same(spec, before, "ipFamilyPolicy")
    if before.get("type") in EXPOSED and spec.get("type") not in EXPOSED:
        had = [port.get("nodePort") for port in before.get("ports") or ()]
        if all(port.get("nodePort") in had for port in spec.get("ports") or () if port.get("nodePort")):
            for port in spec.get("ports") or ():
                port.pop("nodePort", None)
    if needs_health_check(before) and not needs_health_check(spec):
        _drop_same(spec, before, "healthCheckNodePort")
    if before.get("type") == "LoadBalancer" and spec.get("type") != "LoadBalancer":
        _drop_same(spec, before, "allocateLoadBalancerNodePorts")
        _drop_same(spec, before, "loadBalancerClass")
    if is_exposed(before) and not is_exposed(spec):
        _drop_same(spec, before, "externalTrafficPolicy")


def _drop_same(spec: Object, before: Object, field: str, *others: str) -> None:
    if spec.get(field) == before.get(field):
        for name in (field, *others):
            spec.pop(name, None)


RULES = Rules(
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=service_errors,
    selectable_fields=("spec.clusterIP", "spec.type"),
    validate_update=service_update_errors,
    rechecked="never",
    validate_status=service_status_errors,
    status_warnings=service_status_warnings,
    warnings=service_warnings,
    update_warnings=lambda new, old: service_warnings(new),
)
