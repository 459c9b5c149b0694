"""HorizontalPodAutoscalers between autoscaling/v1 and v2. What v1 has no field for stands in its annotations, in the
words of v1's own types and, for the behavior, of Go's names: upstream writes an internal type there. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from machinery.api.go_encoding import go_encoded
from machinery.api.resource import Object

_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_ROUND_TRIP = (_METRICS, _BEHAVIOR, _CURRENT_METRICS, _CONDITIONS)

# Of each source: v1's field, the path in v2, and what stands in v1 where v2 has none; None: nothing does.
_Rows = tuple[tuple[str, str, Any], ...]
_NAME, _METRIC = ("name", "name", ""), ("metricName", "metric.name", "")
_SHARE: _Rows = (
    ("targetAverageUtilization", "target.averageUtilization", None),
    ("targetAverageValue", "target.averageValue", None),
)
_MEASURED: _Rows = (
    ("currentAverageUtilization", "current.averageUtilization", None),
    ("currentAverageValue", "current.averageValue", "0"),
)
_SELECTOR, _OBJECT = ("selector", "metric.selector", None), ("target", "describedObject", {"kind": "", "name": ""})
_CONTAINER = ("container", "container", "")
_EXTERNAL = ("metricSelector", "metric.selector", None)
_SPECS: dict[str, _Rows] = {
    "object": (
        _OBJECT, _METRIC, ("targetValue", "target.value", "0"), _SELECTOR,
        ("averageValue", "target.averageValue", None),
    ),
    "pods": (_METRIC, ("targetAverageValue", "target.averageValue", "0"), _SELECTOR),
    "resource": (_NAME, *_SHARE),
    "containerResource": (_NAME, *_SHARE, _CONTAINER),
    "external": (_METRIC, _EXTERNAL, ("targetValue", "target.value", None), _SHARE[1]),
}  # fmt: skip
_STATUSES: dict[str, _Rows] = {
    "object": (
        _OBJECT, _METRIC, ("currentValue", "current.value", "0"), _SELECTOR,
        ("averageValue", "current.averageValue", None),
    ),
    "pods": (_METRIC, ("currentAverageValue", "current.averageValue", "0"), _SELECTOR),
    "resource": (_NAME, *_MEASURED),
    "containerResource": (_NAME, *_MEASURED, _CONTAINER),
    "external": (
        _METRIC, _EXTERNAL, ("currentValue", "current.value", "0"),
        ("currentAverageValue", "current.averageValue", None),
    ),
}  # fmt: skip
_RULES = ("stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance")
_POLICY = ("type", "value", "periodSeconds")


def to_v1(obj: Object) -> Object:
    """The autoscaler as autoscaling/v1 shows it."""
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metrics, current = spec.pop("metrics", None) or [], status.pop("currentMetrics", None) or []
    shares = [metric["resource"]["target"]["averageUtilization"] for metric in metrics if _is_cpu(metric, "target")]
    if shares:
        spec["targetCPUUtilizationPercentage"] = shares[0]
    for metric in current:
        if _is_cpu(metric, "current"):
            status["currentCPUUtilizationPercentage"] = metric["resource"]["current"]["averageUtilization"]
    behavior = spec.pop("behavior", None)
    hidden = {
        _METRICS: [_metric_to_v1(metric, _SPECS) for metric in metrics if not _is_cpu(metric, "target")],
        _CURRENT_METRICS: [_metric_to_v1(metric, _STATUSES) for metric in current],
        _BEHAVIOR: None if behavior is None else _behavior_to_go(behavior),
        _CONDITIONS: status.pop("conditions", None),
    }
    metadata = without_round_trip(obj["metadata"])
    told = {key: go_encoded(value) for key, value in hidden.items() if value}
    if told:
        metadata = {**metadata, "annotations": {**(metadata.get("annotations") or {}), **told}}
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    return {**obj, "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}


def to_v2(obj: Object) -> Object:
    """The autoscaler as it is stored; annotations that can't be read are dropped as those that can."""
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metadata = obj.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    metrics = [_metric_to_v2(metric, _SPECS) for metric in _listed(annotations, _METRICS)]
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        metrics.append(_cpu("target", {"type": "Utilization", "averageUtilization": percent}))
    if metrics:
        spec["metrics"] = metrics
    if behavior := _behavior_from_go(_loads(annotations, _BEHAVIOR)):
        spec["behavior"] = behavior
    used = status.pop("currentCPUUtilizationPercentage", None)
    if "status" in obj:
        current = [_metric_to_v2(metric, _STATUSES) for metric in _listed(annotations, _CURRENT_METRICS)]
        if not current and used is not None:
            current = [_cpu("current", {"averageUtilization": used})]
        status["currentMetrics"] = current or None
        if conditions := _listed(annotations, _CONDITIONS):
            status["conditions"] = conditions
    return {
        **obj, "apiVersion": "autoscaling/v2", "metadata": without_round_trip(metadata), "spec": spec, "status": status,
    }  # fmt: skip


def without_round_trip(metadata: Object) -> Object:
    """The metadata without the annotations that only v1 shows: whoever brings them to v2 has them dropped."""
    annotations = metadata.get("annotations") or {}
    if not any(key in annotations for key in _ROUND_TRIP):
        return metadata
    kept = {key: value for key, value in annotations.items() if key not in _ROUND_TRIP}
    rest = {key: value for key, value in metadata.items() if key != "annotations"}
    return {**rest, "annotations": kept} if kept else rest


def _cpu(side: str, value: Object) -> Object:
    return {"type": "Resource", "resource": {"name": "cpu", side: value}}


def _is_cpu(metric: Object, side: str) -> bool:
    resource = metric.get("resource") or {}
    return (
        metric.get("type") == "Resource"
        and resource.get("name") == "cpu"
        and (resource.get(side) or {}).get("averageUtilization") is not None
    )


def _metric_to_v1(metric: Object, sources: Mapping[str, _Rows]) -> Object:
    made: Object = {"type": metric.get("type", "")}
    for source, rows in sources.items():
        if (given := metric.get(source)) is not None:
            found = {key: _at(given, path, default) for key, path, default in rows}
            made[source] = {key: value for key, value in found.items() if value is not None}
    return made


def _metric_to_v2(metric: Object, sources: Mapping[str, _Rows]) -> Object:
    made: Object = {"type": metric.get("type", "")}
    for source, rows in sources.items():
        given = metric.get(source)
        if not isinstance(given, dict):
            continue
        made[source] = {}
        for key, path, default in rows:
            value = default if given.get(key) is None else given[key]
            if value is not None:
                _put(made[source], path, value)
        if sources is _SPECS:
            made[source]["target"] = _target(made[source].get("target") or {}, source)
    return made


def _target(given: Object, source: str) -> Object:
    if source == "object" and "averageValue" in given:
        # v1 writes nought for the value that v2 lacks.
        given = {"averageValue": given["averageValue"]}
    kind = "Utilization" if "averageUtilization" in given else "Value" if "value" in given else "AverageValue"
    return {"type": kind, **given}


def _at(given: Object, path: str, default: Any) -> Any:
    value: Any = given
    for part in path.split("."):
        value = (value or {}).get(part)
    return default if value is None else value


def _put(made: Object, path: str, value: Any) -> None:
    parent, _, field = path.rpartition(".")
    (made.setdefault(parent, {}) if parent else made)[field] = value


def _behavior_to_go(behavior: Object) -> Object:
    return {name: _rules_to_go(behavior.get(name[0].lower() + name[1:])) for name in ("ScaleUp", "ScaleDown")}


def _rules_to_go(rules: Object | None) -> Object | None:
    if rules is None:
        return None
    made = {_go_name(key): rules.get(key) for key in _RULES}
    policies = rules.get("policies")
    if policies is not None:
        made["Policies"] = [{_go_name(key): policy.get(key) for key in _POLICY} for policy in policies]
    return made


def _go_name(key: str) -> str:
    return key[0].upper() + key[1:]


def _behavior_from_go(given: Any) -> Object:
    found = _folded(given, ("scaleUp", "scaleDown"))
    return {side: _rules_from_go(rules) for side, rules in found.items()}


def _rules_from_go(given: Any) -> Object:
    rules = _folded(given, _RULES)
    if isinstance(rules.get("policies"), list):
        rules["policies"] = [_folded(policy, _POLICY) for policy in rules["policies"]]
    return rules


def _folded(given: Any, names: tuple[str, ...]) -> Object:
    """The fields of these names, whatever the case of theirs: Go reads JSON so."""
    if not isinstance(given, dict):
        return {}
    lowered = {key.lower(): value for key, value in given.items()}
    return {name: lowered[name.lower()] for name in names if lowered.get(name.lower()) is not None}


def _listed(annotations: Mapping[str, str], key: str) -> list[Object]:
    found = _loads(annotations, key)
    return found if isinstance(found, list) and all(isinstance(each, dict) for each in found) else []


def _loads(annotations: Mapping[str, str], key: str) -> Any:
    try:
        return json.loads(annotations.get(key) or "null")
    except ValueError:
        return None
