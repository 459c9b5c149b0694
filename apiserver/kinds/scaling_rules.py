"""What upstream refuses in HorizontalPodAutoscalers and PodDisruptionBudgets (autoscaling/v2 and policy/v1)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.kinds.field_errors import (
    all_of,
    forbidden,
    invalid_value,
    not_negative,
    not_supported,
    required,
)
from apiserver.kinds.label_rules import label_selector_errors
from apiserver.kinds.share_rules import more_than_all_errors, share_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.quantity import ZERO, of
from machinery.api.resource import Object

_METRICS = ("ContainerResource", "External", "Object", "Pods", "Resource")
_TARGETS = ("Utilization", "Value", "AverageValue")
_SELECT = ("Disabled", "Max", "Min")
_POLICIES = ("Percent", "Pods")
_LONGEST_PERIOD, _LONGEST_WINDOW = 1800, 3600


def autoscaler_errors(autoscaler: Object) -> list[Cause]:
    spec = autoscaler.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    errors: list[Cause] = []
    if least is not None and least < 1:
        errors.append(invalid_value("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        errors.append(invalid_value("spec.maxReplicas", most, "must be greater than 0"))
    if least is not None and most < least:
        errors.append(invalid_value("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    errors += _target_reference_errors(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    for index, metric in enumerate(spec.get("metrics") or []):
        errors += _metric_errors(metric, f"spec.metrics[{index}]")
    for direction, rules in (spec.get("behavior") or {}).items():
        errors += _direction_errors(rules or {}, f"spec.behavior.{direction}")
    return errors


def _target_reference_errors(target: Object, path: str) -> Iterator[Cause]:
    for field in ("kind", "name"):
        value = target.get(field) or ""
        if not value:
            yield required(f"{path}.{field}")
        else:
            yield from all_of(f"{path}.{field}", value, names.path_segment(value))


def _metric_errors(metric: Object, path: str) -> Iterator[Cause]:
    kind = metric.get("type") or ""
    if not kind:
        yield required(f"{path}.type", "must specify a metric source type")
        return
    if kind not in _METRICS:
        yield not_supported(f"{path}.type", kind, _METRICS)
        return
    field = kind[0].lower() + kind[1:]
    source = metric.get(field)
    if source is None:
        yield required(f"{path}.{field}", "must populate information for the given metric source")
        return
    where = f"{path}.{field}"
    if kind in ("Resource", "ContainerResource"):
        if not source.get("name"):
            yield required(f"{where}.name", "must specify a resource name")
        if kind == "ContainerResource" and not source.get("container"):
            yield required(f"{where}.container", "must specify a container")
    elif not (source.get("metric") or {}).get("name"):
        yield required(f"{where}.metric.name", "must specify a metric name")
    yield from _target_errors(source.get("target") or {}, f"{where}.target")


def _target_errors(target: Object, path: str) -> Iterator[Cause]:
    kind = target.get("type") or ""
    if not kind:
        yield required(f"{path}.type", "must specify a metric target type")
    elif kind not in _TARGETS:
        yield invalid_value(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        if target.get(field) is not None and of(target[field]) <= ZERO:
            yield invalid_value(f"{path}.{field}", target[field], "must be positive")
    share = target.get("averageUtilization")
    if share is not None and share < 1:
        yield invalid_value(f"{path}.averageUtilization", share, "must be greater than 0")


def _direction_errors(rules: Object, path: str) -> Iterator[Cause]:
    window = rules.get("stabilizationWindowSeconds")
    yield from not_negative(f"{path}.stabilizationWindowSeconds", window)
    if window is not None and window > _LONGEST_WINDOW:
        detail = f"must be less than or equal to {_LONGEST_WINDOW}"
        yield invalid_value(f"{path}.stabilizationWindowSeconds", window, detail)
    if rules.get("selectPolicy") is not None and rules["selectPolicy"] not in _SELECT:
        yield not_supported(f"{path}.selectPolicy", rules["selectPolicy"], _SELECT)
    policies = rules.get("policies") or []
    if not policies:
        yield required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(policies):
        where, value, period = f"{path}.policies[{index}]", policy.get("value") or 0, policy.get("periodSeconds") or 0
        if policy.get("type") not in _POLICIES:
            yield not_supported(f"{where}.type", policy.get("type") or "", _POLICIES)
        if value <= 0:
            yield invalid_value(f"{where}.value", value, "must be greater than zero")
        if period <= 0:
            yield invalid_value(f"{where}.periodSeconds", period, "must be greater than zero")
        if period > _LONGEST_PERIOD:
            detail = f"must be less than or equal to {_LONGEST_PERIOD}"
            yield invalid_value(f"{where}.periodSeconds", period, detail)


def budget_errors(budget: Object) -> list[Cause]:
    spec = budget.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    errors: list[Cause] = []
    if least is not None and most is not None:
        shown = _internal_budget(spec)
        errors.append(invalid_value("spec", shown, "minAvailable and maxUnavailable cannot be both set"))
    for field, value in (("minAvailable", least), ("maxUnavailable", most)):
        if value is not None:
            errors += share_errors(value, f"spec.{field}")
            errors += more_than_all_errors(value, f"spec.{field}")
    errors += label_selector_errors(spec.get("selector"), "spec.selector")
    policy, known = spec.get("unhealthyPodEvictionPolicy"), ("AlwaysAllow", "IfHealthyBudget")
    if policy is not None and policy not in known:
        errors.append(not_supported("spec.unhealthyPodEvictionPolicy", policy, known))
    return errors


def _internal_budget(spec: Object) -> Object:
    return {
        "MinAvailable": spec.get("minAvailable"),
        "Selector": spec.get("selector"),
        "MaxUnavailable": spec.get("maxUnavailable"),
        "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
    }


def priority_class_errors(priority_class: Object) -> list[Cause]:
    name, value = priority_class["metadata"].get("name") or "", priority_class.get("value") or 0
    errors: list[Cause] = []
    if name.startswith("system-"):
        if name not in ("system-node-critical", "system-cluster-critical"):
            detail = (
                "priority class names with 'system-' prefix are reserved for system use only."
                f" error: {name} is not a known system priority class"
            )
            errors.append(forbidden("metadata.name", detail))
    elif value > 1000000000:
        detail = "maximum allowed value of a user defined priority is 1000000000"
        errors.append(forbidden("value", detail))
    policy = priority_class.get("preemptionPolicy")
    if policy is not None and policy not in ("Never", "PreemptLowerPriority"):
        errors.append(not_supported("preemptionPolicy", policy, ("Never", "PreemptLowerPriority")))
    return errors


def priority_class_update_errors(new: Object, old: Object) -> list[Cause]:
    errors = []
    if (new.get("value") or 0) != (old.get("value") or 0):
        errors.append(invalid_value("value", new.get("value") or 0, "may not be changed in an update."))
    if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
        errors.append(invalid_value("preemptionPolicy", new.get("preemptionPolicy"), "field is immutable"))
    return errors
