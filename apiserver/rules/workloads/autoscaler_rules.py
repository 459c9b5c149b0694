"""What upstream refuses in HorizontalPodAutoscalers: bounds, metrics and behavior (autoscaling/v2)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import forbidden, invalid_value, not_negative, not_supported, required
from apiserver.rules.reference_rules import segment_errors, version_errors
from apiserver.rules.workloads.metric_rules import metric_errors
from machinery.api.errors import Cause
from machinery.api.quantity import ZERO, of
from machinery.api.resource import Object

_SELECT = ("Disabled", "Max", "Min")
_POLICIES = ("Percent", "Pods")
_LONGEST_PERIOD, _LONGEST_WINDOW = 1800, 3600
_TO_ZERO = "must specify at least one Object or External metric to support scaling to zero replicas"


def autoscaler_errors(autoscaler: Object, old: Object | None = None, *, to_zero: bool = False) -> list[Cause]:
    """`to_zero`: the feature HPAScaleToZero; who scaled to zero once may do so on without."""
    spec, before = autoscaler.get("spec") or {}, (old or {}).get("spec") or {}
    fewest = 0 if to_zero or before.get("minReplicas") == 0 else 1
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    errors: list[Cause] = []
    if least is not None and least < fewest:
        errors.append(invalid_value("spec.minReplicas", least, f"must be greater than or equal to {fewest}"))
    if most == 0:
        errors.append(required("spec.maxReplicas", "must be set and greater than 0"))
    elif most < 1:
        errors.append(invalid_value("spec.maxReplicas", most, "must be greater than or equal to 1"))
    if least is not None and most < least:
        errors.append(invalid_value("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    errors += _target_errors(spec.get("scaleTargetRef") or {}, before.get("scaleTargetRef") or {})
    metrics = spec.get("metrics") or ()
    for index, metric in enumerate(metrics):
        errors += metric_errors(metric, f"spec.metrics[{index}]")
    if least == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        errors.append(forbidden("spec.metrics", _TO_ZERO))
    if behavior := spec.get("behavior"):
        for direction in ("scaleUp", "scaleDown"):
            if (rules := behavior.get(direction)) is not None:
                errors += _direction_errors(rules, f"spec.behavior.{direction}")
    return errors


def _target_errors(target: Object, before: Object) -> Iterator[Cause]:
    path, kind = "spec.scaleTargetRef", target.get("kind")
    yield from segment_errors(target, path, "kind", "name")
    if any(target.get(field) != before.get(field) for field in ("apiVersion", "kind")) or not before:
        yield from version_errors(target, path, wants_group=kind != "ReplicationController")


def autoscaler_status_errors(new: Object, old: Object) -> list[Cause]:
    status = new.get("status") or {}
    fields = ("currentReplicas", "desiredReplicas")
    return [cause for field in fields for cause in not_negative(f"status.{field}", status.get(field))]


def _direction_errors(rules: Object, path: str) -> Iterator[Cause]:
    window, policies, tolerance = rules.get("stabilizationWindowSeconds"), rules.get("policies"), rules.get("tolerance")
    if window is not None:
        yield from _seconds_errors(window, 0, _LONGEST_WINDOW, f"{path}.stabilizationWindowSeconds")
    if rules.get("selectPolicy") is not None and rules["selectPolicy"] not in _SELECT:
        yield not_supported(f"{path}.selectPolicy", rules["selectPolicy"], _SELECT)
    if not policies:
        yield required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(policies or ()):
        yield from _policy_errors(policy, f"{path}.policies[{index}]")
    if tolerance is not None and of(tolerance) < ZERO:
        yield invalid_value(f"{path}.tolerance", str(tolerance), "must be greater than or equal to 0")


def _policy_errors(policy: Object, path: str) -> Iterator[Cause]:
    value, kind = policy.get("value") or 0, policy.get("type") or ""
    if kind not in _POLICIES:
        yield not_supported(f"{path}.type", kind, _POLICIES)
    if value <= 0:
        yield invalid_value(f"{path}.value", value, "must be greater than zero")
    yield from _seconds_errors(policy.get("periodSeconds") or 0, 1, _LONGEST_PERIOD, f"{path}.periodSeconds")


def _seconds_errors(seconds: int, least: int, most: int, path: str) -> Iterator[Cause]:
    if seconds < least:
        yield invalid_value(path, seconds, f"must be greater than {'' if least else 'or equal to '}zero")
    if seconds > most:
        yield invalid_value(path, seconds, f"must be less than or equal to {most}")
