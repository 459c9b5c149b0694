"""What upstream warns of in a Service: fields that do nothing for its type, and addresses in odd forms."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.network.addresses import cidr_warnings, ip_warnings
from apiserver.rules.network.service_rules import TOPOLOGY_HINTS, TOPOLOGY_MODE
from machinery.api.resource import Object


def service_warnings(service: Object) -> list[str]:
    spec = service.get("spec") or {}
    is_bare = spec.get("type") == "ClusterIP" and spec.get("clusterIP") == "None"
    is_name = spec.get("type") == "ExternalName"
    warnings: list[str] = []
    if TOPOLOGY_HINTS in (service["metadata"].get("annotations") or ()):
        warnings.append(f"annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead")
    if not is_bare and not is_name:
        warnings += _of_addresses(spec, "clusterIPs")
    if is_bare:
        warnings += _of_what_is_ignored(spec)
    if spec.get("externalIPs"):
        warnings += _of_addresses(spec, "externalIPs")
        if not is_bare and not is_name:
            warnings.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if spec.get("loadBalancerIP"):
        warnings += ip_warnings(spec["loadBalancerIP"], "spec.loadBalancerIP")
    for index, cidr in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        warnings += cidr_warnings(cidr, f"spec.loadBalancerSourceRanges[{index}]")
    return [*warnings, *_of_types(spec, is_name=is_name)]


def _of_addresses(spec: Object, field: str) -> Iterator[str]:
    for index, address in enumerate(spec.get(field) or ()):
        yield from ip_warnings(address, f"spec.{field}[{index}]")


def _of_what_is_ignored(spec: Object) -> Iterator[str]:
    for field in ("loadBalancerIP", "externalIPs"):
        if spec.get(field):
            yield f"spec.{field} is ignored for headless services"
    if spec.get("sessionAffinity") != "None":
        yield "spec.SessionAffinity is ignored for headless services"


def _of_types(spec: Object, *, is_name: bool) -> Iterator[str]:
    if is_name and spec.get("externalIPs"):
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if not is_name and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'
