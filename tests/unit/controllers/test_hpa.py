"""HorizontalPodAutoscalers as tables: what metrics ask for, how fast it may go, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.hpa import Decision, State, decide, horizontal_pod_autoscaler, observer
from controllers.hpa_limits import Memory, limit
from controllers.hpa_readings import Question
from controllers.hpa_replicas import MetricError, Sample, Tolerance, by_utilization, by_value, requests_of
from controllers.hpa_target import Target
from controllers.plan import Action, Key, Record, Update, UpdateStatus
from machinery.api.errors import Forbidden
from machinery.api.resource import Object
from machinery.api.resources import DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS, PODS
from machinery.api.timestamps import rfc3339
from machinery.api.views import HorizontalPodAutoscaler, Pod, Workload
from machinery.usage import PodUsage, Usage, Usages
from tests.endpoint_world import World

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AGO, LATELY = rfc3339(NOW - timedelta(hours=1)), rfc3339(NOW - timedelta(seconds=5))
WINDOW = timedelta(seconds=15)


def a_pod(name: str, phase: str = "Running", *, since: str = LONG_AGO, ready: bool = True, **metadata: Any) -> Pod:
    ready_condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": since}
    container = {"name": "c", "resources": {"requests": {"cpu": "100m", "memory": "1Mi"}}}
    named = {"name": name, "namespace": "n", "uid": name, "labels": {"a": "b"}, **metadata}
    status = {"phase": phase, "startTime": since, "conditions": [ready_condition]}
    return Pod({"metadata": named, "spec": {"containers": [container]}, "status": status})


def sampled(**values: int) -> dict[str, Sample]:
    return {name: Sample(value, NOW, WINDOW) for name, value in values.items()}


READY = [a_pod("a"), a_pod("b")]


@pytest.mark.parametrize(
    ("pods", "samples", "target", "expected"),
    [
        (READY, sampled(a=100, b=100), 50, 4),
        (READY, sampled(a=52, b=52), 50, 2),
        (READY, sampled(a=20, b=20), 50, 1),
        (READY, sampled(a=25, b=76), 50, 2),
        (READY, sampled(a=60, b=61), 50, 3),
        # Pods that have not told anything are busy on the way down, idle on the way up.
        ([*READY, a_pod("x")], sampled(a=10, b=10), 50, 2),
        ([*READY, a_pod("x")], sampled(a=100, b=100), 50, 4),
        ([*READY, a_pod("x", "Pending")], sampled(a=100, b=100), 50, 4),
        ([*READY, a_pod("x", "Pending")], sampled(a=80, b=80), 50, 2),
        ([*READY, *(a_pod(f"x{n}", "Pending") for n in range(3))], sampled(a=100, b=100), 50, 2),
        ([*READY, a_pod("x", "Failed")], sampled(a=100, b=100), 50, 4),
        ([*READY, a_pod("x", deletionTimestamp=LATELY)], sampled(a=100, b=100, x=900), 50, 4),
        # A pod that starts is not judged by what its start costs.
        ([*READY, a_pod("x", since=LATELY)], sampled(a=50, b=50, x=900), 50, 2),
        ([*READY, a_pod("x", since=LATELY, ready=False)], sampled(a=50, b=50, x=900), 50, 2),
    ],
)
def test_what_utilization_asks_for(pods: list[Pod], samples: dict[str, Sample], target: int, expected: int) -> None:
    requests = requests_of(pods, "cpu")
    found = by_utilization(pods, samples, target, 2, Tolerance(), requests, now=NOW, is_cpu=True)
    assert found.replicas == expected


def test_the_tolerance_is_that_of_the_direction() -> None:
    wide = Tolerance(up=0.5, down=0.0)
    assert by_value(READY, sampled(a=70, b=70), 50, 2, wide, now=NOW).replicas == 2
    assert by_value(READY, sampled(a=49, b=49), 50, 2, wide, now=NOW).replicas == 2
    assert by_value(READY, sampled(a=20, b=20), 50, 2, wide, now=NOW).replicas == 1


@pytest.mark.parametrize(
    ("pods", "samples", "said"),
    [
        ([], {}, "no pods returned by selector while calculating replica count"),
        (READY, {}, "did not receive metrics for targeted pods (pods might be unready)"),
        ([a_pod("a", "Pending")], sampled(a=1), "did not receive metrics for targeted pods (pods might be unready)"),
    ],
)
def test_why_nothing_can_be_told(pods: list[Pod], samples: dict[str, Sample], said: str) -> None:
    with pytest.raises(MetricError) as told:
        by_value(pods, samples, 50, 1, Tolerance(), now=NOW)
    assert str(told.value) == said


@pytest.mark.parametrize(
    ("spec", "container", "expected"),
    [
        ({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}, "", 1000),
        ({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}, {"name": "d"}]}, "c", 1000),
        (
            {
                "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}],
                "initContainers": [
                    {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}},
                    {"name": "i"},
                ],
            },
            "",
            1500,
        ),
        ({"resources": {"requests": {"cpu": "2"}}, "containers": [{"name": "c"}]}, "", 2000),
        ({"containers": [{"name": "c"}]}, "", "missing request for cpu in container c of Pod p"),
        ({"containers": [{"name": "c"}]}, "x", "container x not found in Pod p"),
        (
            {"resources": {"requests": {"memory": "1"}}, "containers": []},
            "",
            "missing pod-level request for cpu in Pod p",
        ),
    ],
)
def test_what_a_pod_requests(spec: Object, container: str, expected: int | str) -> None:
    pod = Pod({"metadata": {"name": "p"}, "spec": spec})
    if isinstance(expected, int):
        assert requests_of([pod], "cpu", container) == {"p": expected}
        return
    with pytest.raises(MetricError) as told:
        requests_of([pod], "cpu", container)
    assert str(told.value) == expected


CPU: Object = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
}


def an_autoscaler(status: Object | None = None, **spec: Any) -> HorizontalPodAutoscaler:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    wanted = {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": 10, "metrics": [CPU], **spec}
    metadata = {"name": "h", "namespace": "n", "uid": "h-uid"}
    return HorizontalPodAutoscaler({"metadata": metadata, "spec": wanted, "status": status or {}})


def a_target(replicas: int, selector: str = "a=b") -> Target:
    status = {"replicas": replicas}
    found = {"metadata": {"name": "d", "namespace": "n"}, "spec": {"replicas": replicas}, "status": status}
    return Target(DEPLOYMENTS, Workload(found), selector)


def used(**millicores: int) -> dict[str, PodUsage]:
    return {name: PodUsage(NOW, WINDOW, {"c": Usage(value * 1_000_000, 1 << 20)}) for name, value in millicores.items()}


def decided(
    autoscaler: HorizontalPodAutoscaler,
    replicas: int = 2,
    usages: Mapping[str, PodUsage] | None = None,
    *,
    memory: Memory | None = None,
    pods: list[Pod] | None = None,
    **more: Any,
) -> Decision:
    known = used(a=100, b=100) if usages is None else usages
    state = State(autoscaler, a_target(replicas), "", tuple(READY if pods is None else pods), known, **more)
    return decide(state, memory or Memory(), NOW)


QUIET = Memory(((NOW - timedelta(hours=1), 1),))
"""Nothing was recommended within any window."""


def size_of(found: Decision) -> int | None:
    updates = [action for action in found.plan.actions if isinstance(action, Update)]
    assert all(update.subresource == "scale" for update in updates)
    return updates[0].obj["spec"]["replicas"] if updates else None


def status_of(found: Decision) -> Object:
    (written,) = [action.obj["status"] for action in found.plan.actions if isinstance(action, UpdateStatus)]
    status: Object = written
    return status


def events(found: Decision) -> list[tuple[str, str]]:
    return [(action.reason, action.message) for action in found.plan.actions if isinstance(action, Record)]


def conditions(found: Decision) -> dict[str, tuple[str, str, str]]:
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in status_of(found)["conditions"]}


def test_a_busy_target_grows_and_it_is_told_word_for_word() -> None:
    found = decided(an_autoscaler())
    name = "cpu resource utilization (percentage of request)"
    assert size_of(found) == 4
    assert events(found) == [("SuccessfulRescale", f"New size: 4; reason: {name} above target")]
    assert conditions(found) == {
        "AbleToScale": (
            "True",
            "SucceededRescale",
            "the HPA controller was able to update the target scale to 4",
        ),
        "ScalingActive": (
            "True",
            "ValidMetricFound",
            f"the HPA was able to successfully calculate a replica count from {name}",
        ),
        "ScalingLimited": ("False", "DesiredWithinRange", "the desired count is within the acceptable range"),
    }
    status = status_of(found)
    assert (status["currentReplicas"], status["desiredReplicas"], status["lastScaleTime"]) == (2, 4, rfc3339(NOW))
    current = {"averageValue": "100m", "averageUtilization": 100}
    assert status["currentMetrics"] == [{"type": "Resource", "resource": {"name": "cpu", "current": current}}]
    assert found.memory.changes == ((NOW, 2),)
    assert found.plan.requeue_after == 15


def test_a_change_that_fails_is_told_and_not_remembered() -> None:
    found = decided(an_autoscaler())
    update = next(action for action in found.plan.actions if isinstance(action, Update))
    instead: list[Action] = list(found.plan.on_failure(update, Forbidden("no")))
    assert [action.reason for action in instead if isinstance(action, Record)] == ["FailedRescale"]
    (status,) = [action.obj["status"] for action in instead if isinstance(action, UpdateStatus)]
    (able,) = [c for c in status["conditions"] if c["type"] == "AbleToScale"]
    assert (able["status"], able["reason"]) == ("False", "FailedUpdateScale")
    assert found.unscaled.changes == ()


@pytest.mark.parametrize(
    ("spec", "replicas", "expected", "reason"),
    [
        ({"maxReplicas": 3}, 5, 3, "Current number of replicas above Spec.MaxReplicas"),
        ({"minReplicas": 4}, 2, 4, "Current number of replicas below Spec.MinReplicas"),
    ],
)
def test_bounds_come_before_metrics(spec: Object, replicas: int, expected: int, reason: str) -> None:
    found = decided(an_autoscaler(**spec), replicas, {})
    assert size_of(found) == expected
    assert events(found) == [("SuccessfulRescale", f"New size: {expected}; reason: {reason}")]


def test_a_target_of_none_is_left_alone() -> None:
    found = decided(an_autoscaler(), 0)
    assert size_of(found) is None
    assert conditions(found)["ScalingActive"][:2] == ("False", "ScalingDisabled")


def test_what_cannot_be_measured_is_told() -> None:
    found = decided(an_autoscaler(), usages={})
    cause = "unable to get metrics for resource cpu: no metrics returned from resource metrics API"
    said = f"failed to get cpu utilization: {cause}"
    first = f"first error is: failed to get cpu resource metric value: {said}"
    assert events(found) == [
        ("FailedGetResourceMetric", said),
        ("FailedComputeMetricsReplicas", f"invalid metrics (1 invalid out of 1), {first}"),
    ]
    told = ("False", "FailedGetResourceMetric", f"the HPA was unable to compute the replica count: {said}")
    assert conditions(found)["ScalingActive"] == told
    assert size_of(found) is None


def test_one_metric_that_fails_keeps_others_from_shrinking_alone() -> None:
    unserved = {"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"averageValue": "1"}}}
    grows = decided(an_autoscaler(metrics=[unserved, CPU]))
    assert size_of(grows) == 4
    assert events(grows)[0][0] == "FailedGetPodsMetric"
    assert status_of(grows)["currentMetrics"][0] == {"type": ""}
    shrinks = decided(an_autoscaler(metrics=[unserved, CPU]), usages=used(a=1, b=1))
    assert size_of(shrinks) is None
    assert events(shrinks)[-1][0] == "FailedComputeMetricsReplicas"


def pods_metric(target: str) -> Object:
    return {
        "type": "Pods",
        "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": target}},
    }


def object_metric(**target: str) -> Object:
    about = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {"type": "Object", "object": {"metric": {"name": "m"}, "describedObject": about, "target": dict(target)}}


def external_metric(**target: str) -> Object:
    metric = {"name": "m", "selector": {"matchLabels": {"a": "b"}}}
    return {"type": "External", "external": {"metric": metric, "target": dict(target)}}


NO_CUSTOM = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
NO_EXTERNAL = (
    "unable to get external metric n/m/&LabelSelector{MatchLabels:map[string]string{a: b,},"
    "MatchExpressions:[]LabelSelectorRequirement{},}: unable to fetch metrics from external metrics API: the server"
    " could not find the requested resource (get m.external.metrics.k8s.io)"
)
VALUE: Object = {"type": "Value", "value": "10"}
SHARE: Object = {"type": "AverageValue", "averageValue": "10"}


@pytest.mark.parametrize(
    ("metric", "reason", "said", "error"),
    [
        (
            pods_metric("10"),
            "FailedGetPodsMetric",
            f"unable to get metric m: {NO_CUSTOM}",
            f"failed to get pods metric value: unable to get metric m: {NO_CUSTOM}",
        ),
        (
            object_metric(**VALUE),
            "FailedGetObjectMetric",
            f"unable to get metric m: Deployment on n web/{NO_CUSTOM}",
            f"failed to get object metric value: unable to get metric m: Deployment on n web/{NO_CUSTOM}",
        ),
        (
            object_metric(**SHARE),
            "FailedGetObjectMetric",
            f"unable to get metric m: Deployment on n web/{NO_CUSTOM}",
            "failed to get object metric value: failed to get m object metric: unable to get metric m: "
            f"Deployment on n web/{NO_CUSTOM}",
        ),
        (
            external_metric(**VALUE),
            "FailedGetExternalMetric",
            NO_EXTERNAL,
            f"failed to get m external metric value: failed to get external metric m: {NO_EXTERNAL}",
        ),
        (
            external_metric(**SHARE),
            "FailedGetExternalMetric",
            NO_EXTERNAL,
            f"failed to get m external metric value: failed to get m external metric: {NO_EXTERNAL}",
        ),
    ],
)
def test_a_metric_that_nobody_serves_is_told_word_for_word(metric: Object, reason: str, said: str, error: str) -> None:
    found = decided(an_autoscaler(metrics=[metric]))
    whole = f"invalid metrics (1 invalid out of 1), first error is: {error}"
    assert events(found) == [(reason, said), ("FailedComputeMetricsReplicas", whole)]
    told = ("False", reason, f"the HPA was unable to compute the replica count: {said}")
    assert conditions(found)["ScalingActive"] == told
    assert status_of(found)["currentMetrics"] == [{"type": ""}]


def told_of(*values: str, **more: Any) -> list[Object]:
    """MetricValues (custom.metrics.k8s.io) of the pods a, b and so on."""
    return [
        {"describedObject": {"kind": "Pod", "name": name}, "timestamp": rfc3339(NOW), "value": value, **more}
        for name, value in zip("abc", values, strict=False)
    ]


@pytest.mark.parametrize(
    ("metric", "items", "replicas", "current", "name"),
    [
        (pods_metric("10"), told_of("20", "20"), 4, {"averageValue": "20"}, "pods metric m"),
        (pods_metric("10"), told_of("10500m", "10500m"), 2, {"averageValue": "10500m"}, ""),
        # Which pod tells nothing is idle on the way up.
        (pods_metric("10"), told_of("30"), 3, {"averageValue": "30"}, "pods metric m"),
        (object_metric(**VALUE), told_of("15"), 3, {"value": "15"}, "Deployment metric m"),
        (object_metric(**VALUE), told_of("10500m"), 2, {"value": "10500m"}, ""),
        (object_metric(**SHARE), told_of("31"), 4, {"averageValue": "15500m"}, "external metric m(nil)"),
        (object_metric(**SHARE), told_of("21"), 2, {"averageValue": "10500m"}, ""),
        (
            external_metric(**VALUE),
            [{"value": "10"}, {"value": "5"}],
            3,
            {"value": "15"},
            "external metric m(&LabelSelector{MatchLabels:map[string]string{a: b,},"
            "MatchExpressions:[]LabelSelectorRequirement{},})",
        ),
        (external_metric(**SHARE), [{"value": "20"}, {"value": "1"}], 2, {"averageValue": "10500m"}, ""),
    ],
)
def test_what_metrics_of_other_servers_ask_for(
    metric: Object, items: list[Object], replicas: int, current: Object, name: str
) -> None:
    found = decided(an_autoscaler(metrics=[metric]), answers=lambda question: {"items": items})
    assert (size_of(found) or 2) == replicas
    (entry,) = status_of(found)["currentMetrics"]
    shown = entry[metric["type"].lower()]
    assert shown["current"] == current
    assert shown["metric"]["name"] == "m"
    if name:
        assert events(found) == [("SuccessfulRescale", f"New size: {replicas}; reason: {name} above target")]


@pytest.mark.parametrize(
    ("metric", "path", "selectors"),
    [
        (pods_metric("1"), "namespaces/n/pods/*/m", ("a=b", "")),
        (object_metric(**VALUE), "namespaces/n/deployments.apps/web/m", ("", "")),
        (
            {
                "type": "Object",
                "object": {
                    "metric": {"name": "m", "selector": {"matchLabels": {"x": "y"}}},
                    "describedObject": {"apiVersion": "v1", "kind": "Namespace", "name": "other"},
                    "target": VALUE,
                },
            },
            "namespaces/n/metrics/m",
            ("", "x=y"),
        ),
        (external_metric(**VALUE), "namespaces/n/m", ("a=b", "")),
    ],
)
def test_what_is_asked_of_other_servers(metric: Object, path: str, selectors: tuple[str, str]) -> None:
    asked: list[Question] = []

    def answers(question: Question) -> Object:
        asked.append(question)
        return {"items": told_of("1")}

    decided(an_autoscaler(metrics=[metric]), answers=answers)
    assert [(each.path, each.label_selector, each.metric_selector) for each in asked] == [(path, *selectors)]


@pytest.mark.parametrize(
    ("metric", "items", "said"),
    [
        (pods_metric("1"), [], "unable to get metric m: no metrics returned from custom metrics API"),
        (
            object_metric(**VALUE),
            [],
            "unable to get metric m: Deployment on n web/unable to fetch metrics from custom metrics API: the custom"
            " metrics API server returned 0 results when we asked for exactly one",
        ),
        (external_metric(**VALUE), [], "no metrics returned from external metrics API"),
    ],
)
def test_an_answer_without_values_is_told(metric: Object, items: list[Object], said: str) -> None:
    found = decided(an_autoscaler(metrics=[metric]), answers=lambda question: {"items": items})
    assert events(found)[0][1].endswith(said)


@pytest.mark.parametrize(
    ("value", "replicas", "there", "expected"),
    [("0", 1, 1, 0), ("0", 0, 0, None), ("25", 0, 0, 3), ("1", 0, 0, 1)],
)
def test_it_goes_to_none_and_comes_back_where_it_may(
    value: str, replicas: int, there: int, expected: int | None
) -> None:
    pods = [a_pod(str(number)) for number in range(there)]
    autoscaler = an_autoscaler(minReplicas=0, metrics=[external_metric(**VALUE)])
    found = decided(
        autoscaler, replicas, pods=pods, answers=lambda question: {"items": [{"value": value}]}, memory=QUIET
    )
    assert size_of(found) == expected


def test_the_metric_that_asks_for_most_decides() -> None:
    memory = {"type": "Resource", "resource": {"name": "memory", "target": {"averageValue": "256Ki"}}}
    found = decided(an_autoscaler(metrics=[CPU, memory]))
    assert size_of(found) == 4  # the limit; memory asks for 8
    assert events(found) == [("SuccessfulRescale", "New size: 4; reason: memory resource above target")]
    assert status_of(found)["currentMetrics"][1]["resource"]["current"] == {"averageValue": "1048576"}


def test_one_container_may_be_meant() -> None:
    source = {"name": "cpu", "container": "c", "target": {"averageUtilization": 50}}
    found = decided(an_autoscaler(metrics=[{"type": "ContainerResource", "containerResource": source}]))
    assert size_of(found) == 4
    assert status_of(found)["currentMetrics"][0]["containerResource"]["container"] == "c"
    other = {**source, "container": "x"}
    failed = decided(an_autoscaler(metrics=[{"type": "ContainerResource", "containerResource": other}]))
    assert "container x not present in metrics for pod n/a" in events(failed)[0][1]


def test_pods_of_two_autoscalers_are_nobodys() -> None:
    found = decided(an_autoscaler(), rivals=("n/g", "n/h"))
    said = "pods by selector a=b are controlled by multiple HPAs: [n/g n/h]"
    assert events(found) == [("AmbiguousSelector", said), ("FailedComputeMetricsReplicas", said)]


def test_a_target_that_is_not_there_is_told() -> None:
    state = State(an_autoscaler(), None, 'deployments.apps "d" not found')
    found = decide(state, Memory(), NOW)
    assert events(found) == [("FailedGetScale", 'deployments.apps "d" not found')]
    assert conditions(found)["AbleToScale"][:2] == ("False", "FailedGetScale")


def remembered(*recommendations: tuple[int, int], changes: tuple[tuple[int, int], ...] = ()) -> Memory:
    """(seconds ago, replicas)."""
    past = ((NOW - timedelta(seconds=ago), replicas) for ago, replicas in recommendations)
    changed = ((NOW - timedelta(seconds=ago), by) for ago, by in changes)
    return Memory(tuple(past), tuple(changed))


UP: Object = {"scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": []}, "scaleDown": {}}


def policies(direction: str, *found: tuple[str, int, int], select: str = "Max", window: int = 0) -> Object:
    rules = [{"type": kind, "value": value, "periodSeconds": period} for kind, value, period in found]
    return {**UP, direction: {"selectPolicy": select, "stabilizationWindowSeconds": window, "policies": rules}}


@pytest.mark.parametrize(
    ("behavior", "memory", "current", "desired", "expected", "reason"),
    [
        (None, Memory(), 2, 9, 4, "ScaleUpLimit"),
        (None, Memory(), 4, 30, 8, "ScaleUpLimit"),
        (None, Memory(), 6, 30, 10, "TooManyReplicas"),
        (None, Memory(), 6, 0, 1, "TooFewReplicas"),
        (None, remembered((200, 5)), 6, 1, 5, "DesiredWithinRange"),
        (None, remembered((400, 5)), 6, 1, 1, "DesiredWithinRange"),
        (policies("scaleUp", ("Pods", 3, 60)), Memory(), 2, 9, 5, "ScaleUpLimit"),
        (policies("scaleUp", ("Percent", 50, 60)), Memory(), 3, 9, 5, "ScaleUpLimit"),
        (policies("scaleUp", ("Pods", 3, 60), ("Percent", 200, 60)), Memory(), 2, 9, 6, "ScaleUpLimit"),
        (policies("scaleUp", ("Pods", 3, 60), ("Percent", 200, 60), select="Min"), Memory(), 2, 9, 5, "ScaleUpLimit"),
        (policies("scaleUp", ("Pods", 3, 60), select="Disabled"), Memory(), 2, 9, 2, "ScaleUpLimit"),
        # What was added within the period counts.
        (policies("scaleUp", ("Pods", 3, 60)), remembered(changes=((30, 2),)), 4, 9, 5, "ScaleUpLimit"),
        (policies("scaleUp", ("Pods", 3, 60)), remembered(changes=((90, 2),)), 4, 9, 7, "ScaleUpLimit"),
        (policies("scaleUp", ("Pods", 9, 60), window=60), remembered((30, 3)), 2, 9, 3, "DesiredWithinRange"),
        (policies("scaleDown", ("Pods", 2, 60)), Memory(), 9, 1, 7, "ScaleDownLimit"),
        (policies("scaleDown", ("Percent", 50, 60)), Memory(), 9, 1, 4, "ScaleDownLimit"),
        (policies("scaleDown", ("Pods", 2, 60)), remembered(changes=((30, -2),)), 7, 1, 7, "ScaleDownLimit"),
        (policies("scaleDown", ("Pods", 20, 60)), Memory(), 9, 0, 1, "TooFewReplicas"),
        (policies("scaleDown", ("Pods", 2, 60), window=100), remembered((50, 9)), 9, 1, 9, "DesiredWithinRange"),
        (policies("scaleDown", ("Pods", 2, 60), select="Disabled"), Memory(), 9, 1, 9, "ScaleDownLimit"),
    ],
)
def test_how_fast_it_may_go(
    behavior: Object | None, memory: Memory, current: int, desired: int, expected: int, reason: str
) -> None:
    found = limit(an_autoscaler(behavior=behavior), memory, current, desired, NOW)
    assert (found.replicas, found.limited[1]) == (expected, reason)


@given(st.integers(1, 20), st.integers(0, 40), st.lists(st.tuples(st.integers(0, 600), st.integers(0, 20))))
def test_no_rule_leads_out_of_the_bounds(current: int, desired: int, past: list[tuple[int, int]]) -> None:
    for behavior in (None, policies("scaleUp", ("Pods", 3, 60)), policies("scaleDown", ("Percent", 10, 60))):
        autoscaler = an_autoscaler(behavior=behavior, minReplicas=2, maxReplicas=12)
        start = min(max(current, 2), 12)
        assert 2 <= limit(autoscaler, remembered(*past), start, desired, NOW).replicas <= 12


def deployment() -> Object:
    spec = {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}}
    return {"metadata": {"name": "d", "namespace": "n"}, "spec": spec}


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ({"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}, 'deployments.apps "x" not found'),
        ({"apiVersion": "apps/v1", "kind": "Thing", "name": "x"}, 'no matches for kind "Thing" in group "apps"'),
        ({"apiVersion": "v1", "kind": "Service", "name": "x"}, "the server could not find the requested resource"),
    ],
)
def test_why_there_is_no_target(reference: Object, said: str) -> None:
    world = World((HORIZONTAL_POD_AUTOSCALERS, an_autoscaler(scaleTargetRef=reference).obj))
    state = observer(Usages)(world, Key("n", "h"))
    assert state is not None
    assert (state.target, state.missing) == (None, said)


def test_it_decides_every_quarter_of_a_minute_and_not_at_each_change() -> None:
    usage = Usages({}, {("n", name): found for name, found in used(a=100, b=100).items()})
    world = World(
        (HORIZONTAL_POD_AUTOSCALERS, an_autoscaler().obj), (DEPLOYMENTS, deployment()), *((PODS, p.obj) for p in READY)
    )
    controller = horizontal_pod_autoscaler(lambda: usage)
    state = controller.observe(world, Key("n", "h"))
    waits = controller.plan(state, NOW)
    assert (waits.actions, waits.requeue_after) == ((), 3)
    at_work = controller.plan(state, NOW + timedelta(seconds=3))
    assert any(isinstance(action, Update) for action in at_work.actions)
    again = controller.plan(state, NOW + timedelta(seconds=8))
    assert (again.actions, again.requeue_after) == ((), 10)
