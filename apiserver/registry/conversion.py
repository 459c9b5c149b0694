"""Between the version that is stored and the others: HPA v1 and v2, events.k8s.io and core Events. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from machinery.api.resource import Object, Resource
from machinery.api.resources import (
    EVENTS,
    EVENTS_V1,
    HORIZONTAL_POD_AUTOSCALERS,
    HORIZONTAL_POD_AUTOSCALERS_V1,
)

_STORED = {EVENTS_V1: EVENTS, HORIZONTAL_POD_AUTOSCALERS_V1: HORIZONTAL_POD_AUTOSCALERS}

_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"


def stored_resource(resource: Resource) -> Resource:
    """The row under which the kind is stored."""
    return _STORED.get(resource, resource)


def to_stored(obj: Object, resource: Resource) -> Object:
    """The object in its stored version; the same one where that is its own."""
    if resource == HORIZONTAL_POD_AUTOSCALERS_V1:
        return _hpa_to_v2(obj)
    if resource == EVENTS_V1:
        return _rename(obj, "v1", _EVENT_FIELDS)
    return obj


def from_stored(obj: Object, resource: Resource) -> Object:
    """The stored object in the version of `resource`."""
    if resource == HORIZONTAL_POD_AUTOSCALERS_V1:
        return _hpa_to_v1(obj)
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


def _hpa_to_v2(obj: Object) -> Object:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metadata, annotations = _split_annotations(obj)
    metrics: list[Any] = _loads(annotations.get(_METRICS)) or []
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}, *metrics]
    if metrics:
        spec["metrics"] = metrics
    if behavior := _loads(annotations.get(_BEHAVIOR)):
        spec["behavior"] = behavior
    current: list[Any] = _loads(annotations.get(_CURRENT_METRICS)) or []
    used = status.pop("currentCPUUtilizationPercentage", None)
    if used is not None:
        measured = {"averageUtilization": used, "averageValue": "0"}
        current = [{"type": "Resource", "resource": {"name": "cpu", "current": measured}}, *current]
    if "status" in obj:
        status["currentMetrics"] = current or None
        if conditions := _loads(annotations.get(_CONDITIONS)):
            status["conditions"] = conditions
    return {**obj, "apiVersion": "autoscaling/v2", "metadata": metadata, "spec": spec, "status": status}


def _hpa_to_v1(obj: Object) -> Object:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = dict(obj["metadata"].get("annotations") or {})
    others = []
    for metric in spec.pop("metrics", None) or []:
        if _is_cpu(metric, "target") and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = metric["resource"]["target"]["averageUtilization"]
        else:
            others.append(metric)
    current = []
    for metric in status.pop("currentMetrics", None) or []:
        if _is_cpu(metric, "current"):
            status["currentCPUUtilizationPercentage"] = metric["resource"]["current"]["averageUtilization"]
        else:
            current.append(metric)
    kept = (
        (_METRICS, others),
        (_BEHAVIOR, spec.pop("behavior", None)),
        (_CURRENT_METRICS, current),
        (_CONDITIONS, status.pop("conditions", None)),
    )
    for name, value in kept:
        if value:
            annotations[name] = orjson.dumps(value).decode()
    metadata = {**obj["metadata"], **({"annotations": annotations} if annotations else {})}
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    return {**obj, "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}


def _is_cpu(metric: Object, side: str) -> bool:
    resource = metric.get("resource") or {}
    return (
        metric.get("type") == "Resource"
        and resource.get("name") == "cpu"
        and (resource.get(side) or {}).get("averageUtilization") is not None
    )


def _split_annotations(obj: Object) -> tuple[Object, dict[str, str]]:
    metadata = dict(obj.get("metadata") or {})
    annotations = metadata.get("annotations") or {}
    kept = {
        key: value
        for key, value in annotations.items()
        if key not in (_METRICS, _BEHAVIOR, _CURRENT_METRICS, _CONDITIONS)
    }
    metadata.pop("annotations", None)
    if kept:
        metadata["annotations"] = kept
    return metadata, annotations


def _loads(text: str | None) -> Any:
    if not text:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # An annotation that is no JSON is upstream's to ignore, too.
        return None
