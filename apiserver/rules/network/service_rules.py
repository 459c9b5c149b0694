"""What upstream refuses in a Service (core/v1 validation)."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from apiserver.rules.field_errors import all_of, choice, forbidden, invalid_value, not_supported, required
from apiserver.rules.immutability import IMMUTABLE
from apiserver.rules.label_rules import label_errors
from apiserver.rules.network.addresses import cidr_errors, ip_errors, special_ip_errors
from apiserver.rules.network.service_exposure import is_exposed, needs_health_check
from apiserver.rules.network.service_families import change_errors, family_errors, is_headless
from apiserver.rules.network.service_ports import node_port_errors, port_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITIES = ("ClientIP", "None")
_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_LONGEST_AFFINITY = 86400
_ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'"
TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"
TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def service_errors(service: Object, old: Object | None = None) -> list[Cause]:
    """All that is wrong; what `old` has of addresses in forms that new ones may not have is taken."""
    spec, before = service.get("spec") or {}, (old or {}).get("spec") or {}
    kind, ports = spec.get("type") or "", spec.get("ports") or []
    annotations = service["metadata"].get("annotations") or {}
    errors = list(_topology_errors(annotations)) if annotations else []
    errors += _type_errors(spec, kind)
    errors += port_errors(ports)
    if spec.get("selector"):
        errors += label_errors(spec["selector"], "spec.selector")
    if spec.get("sessionAffinity") != "None" or spec.get("sessionAffinityConfig") is not None:
        errors += _affinity_errors(spec)
    errors += family_errors(spec, before)
    if spec.get("externalIPs"):
        errors += _external_errors(spec["externalIPs"], before.get("externalIPs") or ())
    errors += choice("spec.type", kind, _TYPES)
    errors += node_port_errors(ports, is_internal=kind == "ClusterIP")
    errors += _balancer_errors(spec, before, annotations, is_balanced=kind == "LoadBalancer")
    return [*errors, *_traffic_errors(spec, kind)]


def _topology_errors(annotations: Object) -> Iterator[Cause]:
    hints, mode = annotations.get(TOPOLOGY_HINTS), annotations.get(TOPOLOGY_MODE)
    if hints is not None and mode is not None and hints != mode:
        detail = f"must match annotations[{TOPOLOGY_HINTS}] when both are specified"
        yield invalid_value(f"metadata.annotations[{TOPOLOGY_MODE}]", mode, detail)


def _type_errors(spec: Object, kind: str) -> Iterator[Cause]:
    """What each type of Service must say, or may not."""
    is_bare = is_headless(spec)
    if not spec.get("ports") and not is_bare and kind != "ExternalName":
        yield required("spec.ports")
    if is_bare and kind in ("LoadBalancer", "NodePort"):
        yield invalid_value("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind != "ExternalName":
        return
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            yield forbidden(f"spec.{field}", "may not be set for ExternalName services")
    # A name that ends in a dot is absolute.
    if name := (spec.get("externalName") or "").removesuffix("."):
        yield from all_of("spec.externalName", name, names.dns_subdomain(name))
    else:
        yield required("spec.externalName")


def _affinity_errors(spec: Object) -> Iterator[Cause]:
    affinity, config = spec.get("sessionAffinity") or "", spec.get("sessionAffinityConfig")
    path = "spec.sessionAffinityConfig"
    yield from choice("spec.sessionAffinity", affinity, _AFFINITIES)
    if affinity == "None" and config is not None:
        yield forbidden(path, "must not be set when session affinity is None")
    if affinity != "ClientIP":
        return
    for field in ("clientIP", "timeoutSeconds"):
        if config is not None:
            path, config = f"{path}.{field}", config.get(field)
    if config is None:
        yield required(path, "when session affinity type is ClientIP")
    elif not 0 < config <= _LONGEST_AFFINITY:
        yield invalid_value(path, config, f"must be greater than 0 and less than {_LONGEST_AFFINITY}")


def _external_errors(ips: list[str], known: Collection[str]) -> Iterator[Cause]:
    for index, address in enumerate(ips):
        path = f"spec.externalIPs[{index}]"
        wrong = list(ip_errors(address, path, known))
        yield from wrong or special_ip_errors(address, path)


def _balancer_errors(spec: Object, before: Object, annotations: Object, *, is_balanced: bool) -> Iterator[Cause]:
    ranges, text = spec.get("loadBalancerSourceRanges"), annotations.get(SOURCE_RANGES)
    if ranges:
        if not is_balanced:
            yield forbidden("spec.LoadBalancerSourceRanges", _ONLY_BALANCED)
        for index, cidr in enumerate(ranges):
            known = before.get("loadBalancerSourceRanges") or ()
            # Values that came from the annotation may be padded.
            yield from cidr_errors(cidr.strip(), f"spec.LoadBalancerSourceRanges[{index}]", known)
    elif text is not None:
        path = f"metadata.annotations[{SOURCE_RANGES}]"
        if not is_balanced:
            yield forbidden(path, _ONLY_BALANCED)
        for cidr in text.strip().split(",") if text.strip() else ():
            yield from cidr_errors(cidr.strip(), path)
    if spec.get("allocateLoadBalancerNodePorts") is not None:
        if not is_balanced:
            yield forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCED)
    elif is_balanced:
        yield required("allocateLoadBalancerNodePorts")
    yield from _class_errors(spec, is_balanced=is_balanced)


def _class_errors(spec: Object, *, is_balanced: bool) -> Iterator[Cause]:
    name = spec.get("loadBalancerClass")
    if name is None:
        return
    if is_balanced:
        yield from all_of("spec.loadBalancerClass", name, names.qualified_name(name))
    else:
        yield forbidden("spec.loadBalancerClass", _ONLY_BALANCED)


def _traffic_errors(spec: Object, kind: str) -> Iterator[Cause]:
    external, check = spec.get("externalTrafficPolicy") or "", spec.get("healthCheckNodePort") or 0
    if not is_exposed(spec):
        if external:
            detail = "may only be set for externally-accessible services"
            yield invalid_value("spec.externalTrafficPolicy", external, detail)
    else:
        yield from choice("spec.externalTrafficPolicy", external, _POLICIES)
    if needs_health_check(spec):
        wrong = all_of("spec.healthCheckNodePort", check, names.port_number(check))
        yield from wrong if check else [required("spec.healthCheckNodePort")]
    elif check:
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield invalid_value("spec.healthCheckNodePort", check, detail)
    internal = spec.get("internalTrafficPolicy")
    if internal is None and kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        yield required("spec.internalTrafficPolicy")
    elif internal is not None and internal not in _POLICIES:
        yield not_supported("spec.internalTrafficPolicy", internal, _POLICIES)
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        yield not_supported("spec.trafficDistribution", distribution, _DISTRIBUTIONS)


def service_update_errors(new: Object, old: Object) -> list[Cause]:
    """All of an update: what may not change, then the Service as it would be."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    errors = list(change_errors(spec, before))
    is_balanced = spec.get("type") == "LoadBalancer"
    if is_balanced and before.get("type") == "LoadBalancer":
        name = spec.get("loadBalancerClass")
        if name != before.get("loadBalancerClass"):
            errors.append(invalid_value("spec.loadBalancerClass", name, "may not change once set"))
    errors += _class_errors(spec, is_balanced=is_balanced)
    is_checked = needs_health_check(spec) and needs_health_check(before)
    if is_checked and spec.get("healthCheckNodePort") != before.get("healthCheckNodePort"):
        errors.append(forbidden("spec.healthCheckNodePort", IMMUTABLE))
    return errors + service_errors(new, old)
