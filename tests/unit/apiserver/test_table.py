"""Cells as `kubectl get` shows them, for every resource that has columns."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apiserver.table import column_definitions, table
from machinery.api.resource import Object, Resource
from machinery.api.resources import DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS, NODES, PODS, RESOURCES

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def cells(resource: Resource, obj: Object) -> list[object]:
    obj = {"metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}, **obj}
    (row,) = table(resource, [obj], NOW)["rows"]
    found: list[object] = row["cells"]
    return found


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: f"{r.group}/{r.version}/{r.plural}")
def test_every_kind_has_as_many_cells_as_columns_even_when_empty(resource: Resource) -> None:
    untitled = resource.plural == "ipaddresses"
    assert len(cells(resource, {})) == len(column_definitions(resource)) + untitled


def test_a_deployment_tells_ready_of_wanted() -> None:
    template = {"spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    found = cells(DEPLOYMENTS, {"spec": spec, "status": {"readyReplicas": 1, "updatedReplicas": 2}})
    assert found == ["x", "1/3", 2, 0, "60s", "c", "nginx", "a=b"]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"phase": "Pending"}, "Pending"),
        ({"phase": "Running", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "Bad"}}}]}, "Bad"),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        (
            {"phase": "Running", "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 3}}}]},
            "ExitCode:3",
        ),
        ({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}, "Init:0/1"),
    ],
)
def test_a_pods_status_is_its_containers_reason_first(status: Object, said: str) -> None:
    spec = {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]}
    if "initContainerStatuses" not in status:
        spec.pop("initContainers")
    assert cells(PODS, {"spec": spec, "status": status})[2] == said


def test_a_cordoned_node_says_so() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert cells(NODES, {"spec": {"unschedulable": True}, "status": ready})[1] == "Ready,SchedulingDisabled"


def of_average(kind: str, **named: object) -> Object:
    return {"type": kind, kind[0].lower() + kind[1:]: {**named, "target": {"averageValue": "10"}}}


METRIC = {"metric": {"name": "m"}}


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (of_average("Resource", name="memory"), "memory: <unknown>/10"),
        (of_average("ContainerResource", name="memory", container="c"), "memory: <unknown>/10"),
        (of_average("Pods", **METRIC), "<unknown>/10"),
        (of_average("Object", **METRIC), "<unknown>/10 (avg)"),
        (of_average("External", **METRIC), "<unknown>/10 (avg)"),
        ({"type": "External", "external": {**METRIC, "target": {"value": "10"}}}, "<unknown>/10"),
    ],
)
def test_what_an_autoscaler_aims_at(metric: Object, said: str) -> None:
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 3, "metrics": [metric]}
    # A metric that tells nothing has a bare entry.
    shown = cells(HORIZONTAL_POD_AUTOSCALERS, {"spec": spec, "status": {"currentMetrics": [{"type": ""}]}})
    assert said in shown
