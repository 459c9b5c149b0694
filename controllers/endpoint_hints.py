"""Which endpoints traffic should prefer: `trafficDistribution` as hints of zone and node (KEP-4444, 3015)."""

from __future__ import annotations

from controllers.endpointslice_filling import Changes, Slice, without_hints
from machinery.api.resource import Object
from machinery.api.views import EndpointSlice, Service

_CLOSE = ("PreferClose", "PreferSameZone", "PreferSameNode")
_TOPOLOGY = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")


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
    said = next((service.annotations[name] for name in _TOPOLOGY if name in service.annotations), "")
    wanted = service.traffic_distribution
    return wanted if wanted in _CLOSE and said not in ("Auto", "auto") else ""


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
