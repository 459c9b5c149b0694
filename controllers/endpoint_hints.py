"""Which endpoints traffic should prefer: `trafficDistribution` as hints of zone and node (KEP-4444, 3015)."""

from __future__ import annotations

from collections.abc import Iterable

from controllers.endpoint_selection import ZONE
from controllers.endpointslice_filling import Changes, Slice, without_hints
from controllers.plan import Record
from machinery.api.resource import Object
from machinery.api.views import EndpointSlice, Node, Service

_CLOSE = ("PreferClose", "PreferSameZone", "PreferSameNode")
_TOPOLOGY = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")
_INSUFFICIENT = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
_CONTROL_PLANE = {"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}


def hinted(service: Service, changes: Changes) -> Changes:
    """All slices with the hints that the Service asks for; stored ones that lack them are updated too."""
    distribution = _distribution(service)
    updated, unchanged = list(changes.updated), []
    for stored in changes.unchanged:
        if _lacks(stored, distribution):
            updated.append(Slice(tuple(stored.endpoints), tuple(stored.ports), stored.address_type, stored))
        else:
            unchanged.append(stored)
    return Changes(
        tuple(_with_hints(each, distribution) for each in changes.created),
        tuple(_with_hints(each, distribution) for each in updated),
        changes.deleted,
        tuple(unchanged),
    )


def _distribution(service: Service) -> str:
    """The elder annotations win, and on one node mean what no hints do."""
    wanted = service.traffic_distribution
    return wanted if wanted in _CLOSE and not asks_for_topology(service) else ""


def asks_for_topology(service: Service) -> bool:
    """Whether one of the elder annotations asks for hints by the CPUs of the zones (KEP-2433)."""
    said = next((service.annotations[name] for name in _TOPOLOGY if name in service.annotations), "")
    return said in ("Auto", "auto")


def spans_zones(nodes: Iterable[Node]) -> bool:
    """Whether the nodes are of several zones, and all that are ready say of which, and how much CPU they have."""
    counted = [each for each in nodes if each.is_true("Ready") and not _CONTROL_PLANE & each.labels.keys()]
    zones = {each.labels.get(ZONE, "") if each.allocatable.get("cpu") else "" for each in counted}
    return len(zones) > 1 and "" not in zones


def unheeded(service: Service, family: str) -> Record:
    """That there are no zones to give hints by."""
    said = f"{_INSUFFICIENT}, addressType: {family}"
    return Record(service.obj, "Warning", "TopologyAwareHintsDisabled", said)


def _lacks(stored: EndpointSlice, distribution: str) -> bool:
    if not distribution:
        return any("hints" in endpoint for endpoint in stored.endpoints)
    return any(_is_ready(each) and _hinted(each, distribution) != each for each in stored.endpoints)


def _with_hints(each: Slice, distribution: str) -> Slice:
    endpoints = tuple(_hinted(endpoint, distribution) for endpoint in each.endpoints)
    return Slice(endpoints, each.ports, each.address_type, each.was)


def _hinted(endpoint: Object, distribution: str) -> Object:
    bare = without_hints(endpoint)
    if not distribution or not _is_ready(endpoint):
        return bare
    hints: Object = {}
    if endpoint.get("zone"):
        hints["forZones"] = [{"name": endpoint["zone"]}]
    if endpoint.get("nodeName") and distribution == "PreferSameNode":
        hints["forNodes"] = [{"name": endpoint["nodeName"]}]
    return {**bare, "hints": hints} if hints else bare


def _is_ready(endpoint: Object) -> bool:
    return (endpoint.get("conditions") or {}).get("ready") is True
