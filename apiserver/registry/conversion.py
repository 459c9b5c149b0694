"""Between the version that is stored and the others: HPA v1 and v2, events.k8s.io and core Events. Pure."""

from __future__ import annotations

from apiserver.registry import autoscaler_versions
from machinery.api.resource import Object, Resource
from machinery.api.resources import (
    EVENTS,
    EVENTS_V1,
    HORIZONTAL_POD_AUTOSCALERS,
    HORIZONTAL_POD_AUTOSCALERS_V1,
)

_STORED = {EVENTS_V1: EVENTS, HORIZONTAL_POD_AUTOSCALERS_V1: HORIZONTAL_POD_AUTOSCALERS}


def stored_resource(resource: Resource) -> Resource:
    """The row under which the kind is stored."""
    return _STORED.get(resource, resource)


def to_stored(obj: Object, resource: Resource) -> Object:
    """The object in its stored version; the same one where that is its own."""
    if resource == HORIZONTAL_POD_AUTOSCALERS_V1:
        return autoscaler_versions.to_v2(obj)
    if resource == EVENTS_V1:
        return _rename(obj, "v1", _EVENT_FIELDS)
    return obj


def from_stored(obj: Object, resource: Resource) -> Object:
    """The stored object in the version of `resource`."""
    if resource == HORIZONTAL_POD_AUTOSCALERS_V1:
        return autoscaler_versions.to_v1(obj)
    if resource == EVENTS_V1:
        return _rename(obj, "events.k8s.io/v1", {core: new for new, core in _EVENT_FIELDS.items()})
    return obj


# events.k8s.io's name -> core's
_EVENT_FIELDS = {
    "note": "message",
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}


def _rename(obj: Object, api_version: str, names: dict[str, str]) -> Object:
    converted = {names.get(key, key): value for key, value in obj.items()}
    return {"kind": "Event", "apiVersion": api_version} | {
        key: value for key, value in converted.items() if key not in ("kind", "apiVersion")
    }
