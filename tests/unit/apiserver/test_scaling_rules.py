"""Rules of autoscalers, budgets and priorities: what each wrong value is refused with."""

from __future__ import annotations

import pytest

from apiserver.kinds.rules import rules_with
from machinery.api.canonical import canonical
from machinery.api.resource import Object
from machinery.api.resources import HORIZONTAL_POD_AUTOSCALERS
from machinery.features import FEATURES, HPA_SCALE_TO_ZERO
from tests.kind_rules import lines, on_create, on_update, rules_of

AUTOSCALERS = rules_of("autoscaling", "v2", "horizontalpodautoscalers")
BUDGETS = rules_of("policy", "v1", "poddisruptionbudgets")
PRIORITIES = rules_of("scheduling.k8s.io", "v1", "priorityclasses")
TARGET = {"type": "AverageValue", "averageValue": "1"}
OUTSIDE = {"type": "External", "external": {"metric": {"name": "m"}, "target": TARGET}}
TYPES = 'supported values: "ContainerResource", "External", "Object", "Pods", "Resource"'


def autoscaler(**spec: object) -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    return {"spec": {"scaleTargetRef": target, "maxReplicas": 3, **spec}}


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ({}, []),
        ({"maxReplicas": 0},
         ["maxReplicas: Required value: must be set and greater than 0",
          "maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`"]),
        ({"maxReplicas": -1, "minReplicas": None},
         ["maxReplicas: Invalid value: -1: must be greater than or equal to 1",
          "maxReplicas: Invalid value: -1: must be greater than or equal to `minReplicas`"]),
        ({"minReplicas": 0},
         ["minReplicas: Invalid value: 0: must be greater than or equal to 1",
          "metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero"
          " replicas"]),
        ({"scaleTargetRef": {"name": "a%b"}},
         ["scaleTargetRef.kind: Required value", "scaleTargetRef.name: Invalid value: \"a%b\": may not contain '%'",
          'scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group']),
        ({"scaleTargetRef": {"name": "a", "kind": "ReplicationController"}}, []),
        ({"scaleTargetRef": {"name": "a", "kind": "b", "apiVersion": "c/d/e"}},
         ['scaleTargetRef.apiVersion: Invalid value: "c/d/e": unexpected GroupVersion string: c/d/e']),
        ({"behavior": {"scaleUp": {"selectPolicy": "Odd", "stabilizationWindowSeconds": -1, "tolerance": "-1"}}},
         ["behavior.scaleUp.stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero",
          'behavior.scaleUp.selectPolicy: Unsupported value: "Odd": supported values: "Disabled", "Max", "Min"',
          'behavior.scaleUp.tolerance: Invalid value: "-1": must be greater than or equal to 0']),
        ({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 3601, "policies": []}}},
         ["behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
          "behavior.scaleDown.policies: Required value: must specify at least one Policy"]),
        ({"behavior": {"scaleDown": {"policies": [{"type": "Odd", "periodSeconds": 1801}]}}},
         ['behavior.scaleDown.policies[0].type: Unsupported value: "Odd": supported values: "Percent", "Pods"',
          "behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
          "behavior.scaleDown.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800"]),
    ],
)  # fmt: skip
def test_an_autoscaler(spec: Object, errors: list[str]) -> None:
    assert on_create(AUTOSCALERS, autoscaler(**spec)) == [f"spec.{error}" for error in errors]


@pytest.mark.parametrize(
    ("metric", "errors"),
    [
        ({"type": "Resource", "resource": {"name": "cpu", "target": TARGET}}, []),
        ({"type": "Magic"}, [f'type: Unsupported value: "Magic": {TYPES}'] * 2),
        ({},
         ["type: Required value: must specify a metric source type", *[f'type: Unsupported value: "": {TYPES}'] * 2]),
        ({"type": "Pods"}, ["pods: Required value: must populate information for the given metric source"]),
        ({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": TARGET}, "resource": {}},
         ["resource: Forbidden: must populate the given metric source only"]),
        ({"type": "Pods", "pods": {}},
         ["pods.metric.name: Required value: must specify a metric name",
          "pods.target.type: Required value: must specify a metric target type",
          'pods.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue',
          "pods.target.averageValue: Required value: must specify a positive target averageValue"]),
        ({"type": "Object", "object": {"metric": {"name": "a/b"}, "target": {"type": "Value", "value": "0"}}},
         ["object.describedObject.kind: Required value", "object.describedObject.name: Required value",
          "object.metric.name: Invalid value: \"a/b\": may not contain '/'",
          'object.target.value: Invalid value: "0": must be positive']),
        ({"type": "External", "external": {"metric": {"name": "m"}, "target": {**TARGET, "value": "1"}}},
         ["external.target.value: Forbidden: may not set both a target value for metric and a per-pod target"]),
        ({"type": "Resource", "resource": {"target": {"type": "Utilization"}}},
         ["resource.name: Required value: must specify a resource name",
          "resource.target.averageUtilization: Required value: must set either a target raw value or a target"
          " utilization"]),
        ({"type": "ContainerResource", "containerResource": {
            "name": "cpu", "target": {**TARGET, "averageUtilization": 0}}},
         ["containerResource.container: Required value: must specify a container",
          "containerResource.target.averageUtilization: Invalid value: 0: must be greater than 0",
          "containerResource.target.averageValue: Forbidden: may not set both a target raw value and a target"
          " utilization"]),
    ],
)  # fmt: skip
def test_a_metric(metric: Object, errors: list[str]) -> None:
    assert on_create(AUTOSCALERS, autoscaler(metrics=[metric])) == [f"spec.metrics[0].{error}" for error in errors]


def test_who_scaled_to_zero_once_may_do_so_on() -> None:
    none = autoscaler(minReplicas=0, metrics=[OUTSIDE])
    assert on_update(AUTOSCALERS, none, none) == []
    assert on_update(AUTOSCALERS, none, autoscaler()) == [
        "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"
    ]


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({"minReplicas": 0, "metrics": [OUTSIDE]}, []),
        ({"minReplicas": 0},
         ["spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero"
          " replicas"]),
        ({"minReplicas": -1}, ["spec.minReplicas: Invalid value: -1: must be greater than or equal to 0"]),
    ],
)  # fmt: skip
def test_it_scales_to_zero_where_the_feature_is_on(changes: Object, errors: list[str]) -> None:
    rules = rules_with(HORIZONTAL_POD_AUTOSCALERS, {**FEATURES, HPA_SCALE_TO_ZERO: True})
    assert on_create(rules, autoscaler(**changes)) == errors
    assert on_update(rules, autoscaler(**changes), autoscaler()) == errors
    assert rules_with(HORIZONTAL_POD_AUTOSCALERS, FEATURES).validate(autoscaler(**changes))


def test_no_policies_are_no_default_ones() -> None:
    behavior: Object = {"scaleUp": {"policies": []}, "scaleDown": {}}
    made = canonical({"metadata": {"name": "h"}, **autoscaler(behavior=behavior)}, HORIZONTAL_POD_AUTOSCALERS)
    assert on_create(AUTOSCALERS, made) == [
        "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy"
    ]


def test_a_target_without_a_group_stays_once_it_is_there() -> None:
    bare = autoscaler(scaleTargetRef={"kind": "Deployment", "name": "d"})
    assert on_update(AUTOSCALERS, bare, bare) == []


def test_counts_of_a_status_are_not_negative() -> None:
    said = "Invalid value: -1: must be greater than or equal to 0"
    status = {"currentReplicas": -1, "desiredReplicas": -1}
    assert lines(AUTOSCALERS.validate_status({"status": status}, {})) == [
        f"status.currentReplicas: {said}", f"status.desiredReplicas: {said}",
    ]  # fmt: skip
    broken = {"type": "Fine", "status": "Odd", "reason": "1"}
    first, second, third, last = lines(
        BUDGETS.validate_status({"status": {"expectedPods": -1, "conditions": [broken]}}, {})
    )
    path = "status.conditions[0]"
    assert first == f'{path}.status: Unsupported value: "Odd": supported values: "False", "True", "Unknown"'
    assert second == f"{path}.lastTransitionTime: Required value: must be set"
    assert third.startswith(f'{path}.reason: Invalid value: "1": a condition reason must start with alphabetic')
    assert last == f"status.expectedPods: {said}"


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ({"minAvailable": 1}, []),
        ({"minAvailable": 1, "maxUnavailable": 1},
         ['spec: Invalid value: {"MinAvailable":1,"Selector":{"matchLabels":{"a":"b"}},"MaxUnavailable":1,'
          '"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set']),
        ({"minAvailable": "101%"}, ['spec.minAvailable: Invalid value: "101%": must not be greater than 100%']),
        ({"maxUnavailable": -1}, ["spec.maxUnavailable: Invalid value: -1: must be greater than or equal to 0"]),
        ({"unhealthyPodEvictionPolicy": "Odd"},
         ['spec.unhealthyPodEvictionPolicy: Unsupported value: "Odd": supported values: "AlwaysAllow",'
          ' "IfHealthyBudget"']),
    ],
)  # fmt: skip
def test_a_budget(spec: Object, errors: list[str]) -> None:
    assert on_create(BUDGETS, {"spec": {"selector": {"matchLabels": {"a": "b"}}, **spec}}) == errors


RESERVED = (
    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error:"
)


@pytest.mark.parametrize(
    ("name", "fields", "errors"),
    [
        ("mine", {"value": 1000000000}, []),
        ("mine", {"value": 1000000001},
         ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]),
        ("mine", {"preemptionPolicy": "Odd"},
         ['preemptionPolicy: Unsupported value: "Odd": supported values: "Never", "PreemptLowerPriority"']),
        ("system-mine", {}, [f"{RESERVED} system-mine is not a known system priority class"]),
        ("system-node-critical", {"value": 2000001000}, []),
        ("system-node-critical", {"value": 1},
         [f"{RESERVED} value of system-node-critical PriorityClass must be 2000001000"]),
        ("system-cluster-critical", {"value": 2000000000, "globalDefault": True},
         [f"{RESERVED} globalDefault of system-cluster-critical PriorityClass must be false"]),
    ],
)  # fmt: skip
def test_a_priority_class(name: str, fields: Object, errors: list[str]) -> None:
    assert on_create(PRIORITIES, {"metadata": {"name": name}, **fields}) == errors


def test_a_priority_stays() -> None:
    assert on_update(PRIORITIES, {"value": 5, "preemptionPolicy": "Never"}, {"value": 4}) == [
        "value: Forbidden: may not be changed in an update.",
        'preemptionPolicy: Invalid value: "Never": field is immutable',
    ]
