"""Rules of autoscalers, budgets, quotas and priorities: which field each wrong value is refused at."""

from __future__ import annotations

import pytest

from apiserver.kinds.rules import rules_for
from machinery.api.resource import Object
from machinery.api.resources import BY_PATH

AUTOSCALERS = BY_PATH[("autoscaling", "v2", "horizontalpodautoscalers")]
BUDGETS = BY_PATH[("policy", "v1", "poddisruptionbudgets")]
PRIORITIES = BY_PATH[("scheduling.k8s.io", "v1", "priorityclasses")]
QUOTAS = BY_PATH[("", "v1", "resourcequotas")]


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"maxReplicas": 3}, []),
        ({"maxReplicas": 0}, ["spec.maxReplicas", "spec.maxReplicas"]),
        ({"maxReplicas": 3, "minReplicas": 5}, ["spec.maxReplicas"]),
        ({"maxReplicas": 3, "metrics": [{"type": "Magic"}]}, ["spec.metrics[0].type"]),
        ({"maxReplicas": 3, "metrics": [{"type": "Pods"}]}, ["spec.metrics[0].pods"]),
        ({"maxReplicas": 3, "behavior": {"scaleUp": {"selectPolicy": "Odd"}}}, ["spec.behavior.scaleUp.selectPolicy"]),
    ],
)
def test_an_autoscaler(spec: Object, fields: list[str]) -> None:
    made = {"metadata": {"name": "a"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, **spec}}
    rules_for(AUTOSCALERS).default(made)
    assert [cause.field for cause in rules_for(AUTOSCALERS).validate(made)] == fields


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"minAvailable": 1}, []),
        ({"minAvailable": 1, "maxUnavailable": 1}, ["spec"]),
        ({"minAvailable": "101%"}, ["spec.minAvailable"]),
        ({"maxUnavailable": -1}, ["spec.maxUnavailable"]),
    ],
)
def test_a_budget(spec: Object, fields: list[str]) -> None:
    made = {"metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, **spec}}
    assert [cause.field for cause in rules_for(BUDGETS).validate(made)] == fields


@pytest.mark.parametrize(
    ("hard", "fields"),
    [
        ({"cpu": "500m", "pods": "3"}, []),
        ({"cpu": "-1"}, ["spec.hard[cpu]"]),
        ({"pods": "500m"}, ["spec.hard[pods]"]),
    ],
)
def test_a_quota(hard: Object, fields: list[str]) -> None:
    made = {"metadata": {"name": "q"}, "spec": {"hard": hard}}
    assert [cause.field for cause in rules_for(QUOTAS).validate(made)] == fields


@pytest.mark.parametrize(
    ("name", "value", "fields"),
    [
        ("mine", 1000000000, []),
        ("mine", 1000000001, ["value"]),
        ("system-mine", 1, ["metadata.name"]),
        ("system-node-critical", 2000001000, []),
    ],
)
def test_a_priority_class(name: str, value: int, fields: list[str]) -> None:
    rules, made = rules_for(PRIORITIES), {"metadata": {"name": name}, "value": value}
    assert [cause.field for cause in rules.validate(made)] == fields
    assert [cause.field for cause in rules.validate_update({**made, "value": 5}, made)] == ["value"]
