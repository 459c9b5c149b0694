"""Autoscalers in the words of both versions, as upstream's conversion has them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apiserver.registry.autoscaler_versions import to_v1, to_v2, without_round_trip
from machinery.api.resource import Object

PREFIX = "autoscaling.alpha.kubernetes.io/"
OLD: Object = {
    "kind": "HorizontalPodAutoscaler",
    "apiVersion": "autoscaling/v1",
    "metadata": {"name": "h", "annotations": {"mine": "kept"}},
    "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 3,
             "targetCPUUtilizationPercentage": 70},
    "status": {"currentReplicas": 1, "desiredReplicas": 2},
}  # fmt: skip
CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
DEPLOYMENT = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
SELECTOR = {"matchLabels": {"a": "b"}}


def new(metrics: list[Object], current: list[Object] | None = None, **more: object) -> Object:
    return {"metadata": {"name": "h"}, "spec": {"metrics": metrics, **more}, "status": {"currentMetrics": current}}


def hidden(obj: Object, name: str) -> Any:
    text = to_v1(obj)["metadata"].get("annotations", {}).get(PREFIX + name)
    return text and json.loads(text)


def test_one_metric_of_the_cpu_is_v1s_own_field() -> None:
    stored = to_v2(OLD)
    assert (stored["apiVersion"], stored["spec"]["metrics"]) == ("autoscaling/v2", [CPU])
    assert stored["status"]["currentMetrics"] is None
    assert to_v1(stored) == OLD


def of(source: str, given: Object) -> Object:
    return {"type": source[0].upper() + source[1:], source: given}


@pytest.mark.parametrize(
    ("source", "old", "target"),
    [
        (
            "resource",
            {"name": "memory", "targetAverageUtilization": 80},
            {"type": "Utilization", "averageUtilization": 80},
        ),
        ("resource", {"name": "cpu", "targetAverageValue": "1"}, {"type": "AverageValue", "averageValue": "1"}),
        (
            "containerResource",
            {"name": "cpu", "targetAverageUtilization": 5, "container": "c"},
            {"type": "Utilization", "averageUtilization": 5},
        ),
        (
            "pods",
            {"metricName": "m", "targetAverageValue": "1", "selector": SELECTOR},
            {"type": "AverageValue", "averageValue": "1"},
        ),
        ("object", {"target": DEPLOYMENT, "metricName": "m", "targetValue": "3"}, {"type": "Value", "value": "3"}),
        (
            "object",
            {"target": DEPLOYMENT, "metricName": "m", "targetValue": "0", "averageValue": "3"},
            {"type": "AverageValue", "averageValue": "3"},
        ),
        (
            "external",
            {"metricName": "m", "metricSelector": SELECTOR, "targetValue": "3"},
            {"type": "Value", "value": "3"},
        ),
        ("external", {"metricName": "m", "targetAverageValue": "3"}, {"type": "AverageValue", "averageValue": "3"}),
    ],
)
def test_other_metrics_stand_in_an_annotation_in_v1s_words(source: str, old: Object, target: Object) -> None:
    annotated = {**OLD, "metadata": {"name": "h", "annotations": {f"{PREFIX}metrics": json.dumps([of(source, old)])}}}
    stored = to_v2(annotated)
    # The CPU's metric is the last one.
    assert (stored["spec"]["metrics"][0][source]["target"], stored["spec"]["metrics"][1]) == (target, CPU)
    assert "annotations" not in stored["metadata"]
    assert hidden(stored, "metrics") == [of(source, old)]


@pytest.mark.parametrize(
    ("source", "old", "current"),
    [
        (
            "resource",
            {"name": "cpu", "currentAverageUtilization": 9, "currentAverageValue": "2m"},
            {"averageUtilization": 9, "averageValue": "2m"},
        ),
        ("containerResource", {"name": "cpu", "currentAverageValue": "2m", "container": "c"}, {"averageValue": "2m"}),
        ("pods", {"metricName": "m", "currentAverageValue": "1"}, {"averageValue": "1"}),
        ("object", {"target": DEPLOYMENT, "metricName": "m", "currentValue": "3"}, {"value": "3"}),
        (
            "external",
            {"metricName": "m", "currentValue": "0", "currentAverageValue": "3"},
            {"value": "0", "averageValue": "3"},
        ),
    ],
)
def test_what_was_measured_stands_in_an_annotation(source: str, old: Object, current: Object) -> None:
    annotations = {f"{PREFIX}current-metrics": json.dumps([of(source, old)])}
    stored = to_v2({**OLD, "metadata": {"name": "h", "annotations": annotations}})
    assert stored["status"]["currentMetrics"][0][source]["current"] == current
    assert hidden(stored, "current-metrics") == [of(source, old)]


def test_the_cpus_use_is_told_twice() -> None:
    measured = of("resource", {"name": "cpu", "current": {"averageUtilization": 9, "averageValue": "2m"}})
    shown = to_v1(new([CPU], [measured]))
    assert shown["status"]["currentCPUUtilizationPercentage"] == 9
    assert hidden(new([CPU], [measured]), "current-metrics") == [
        of("resource", {"name": "cpu", "currentAverageUtilization": 9, "currentAverageValue": "2m"})
    ]


def test_the_behavior_has_the_names_of_gos_fields() -> None:
    policies = [{"type": "Pods", "value": 4, "periodSeconds": 15}]
    behavior = {"scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": policies}}
    stored = new([CPU], behavior=behavior)
    assert to_v1(stored)["metadata"]["annotations"] == {
        f"{PREFIX}behavior": '{"ScaleUp":{"StabilizationWindowSeconds":0,"SelectPolicy":"Max",'
        '"Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}],"Tolerance":null},"ScaleDown":null}'
    }
    assert to_v2(to_v1(stored))["spec"]["behavior"] == behavior


@pytest.mark.parametrize("text", ["[{bad", "{}", "[1]", "null", ""])
def test_annotations_that_say_nothing_are_dropped(text: str) -> None:
    annotations = {f"{PREFIX}{name}": text for name in ("metrics", "behavior", "current-metrics", "conditions")}
    stored = to_v2({**OLD, "metadata": {"name": "h", "annotations": annotations}})
    assert stored["metadata"] == {"name": "h"}
    assert (stored["spec"]["metrics"], "behavior" in stored["spec"]) == ([CPU], False)


def test_annotations_of_v1_have_no_place_in_v2() -> None:
    metadata = {"name": "h", "annotations": {f"{PREFIX}metrics": "[]", "mine": "kept"}}
    assert without_round_trip(metadata) == {"name": "h", "annotations": {"mine": "kept"}}
