"""What each metric of an autoscaler says: how many replicas, and its entry in the status; or why it says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from controllers.hpa_replicas import (
    MetricError,
    Proposal,
    Sample,
    Tolerance,
    by_utilization,
    by_value,
    requests_of,
)
from controllers.selection import go_text
from machinery.api import quantity
from machinery.api.resource import Object
from machinery.api.views import HorizontalPodAutoscaler, Pod
from machinery.usage import PodUsage

_NO_CUSTOM = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
_NO_EXTERNAL = (
    "unable to fetch metrics from external metrics API: the server could not find the requested resource "
    "(get {}.external.metrics.k8s.io)"
)
_NO_TARGET = "invalid resource metric source: neither an average utilization target nor an average value target was set"


@dataclass(frozen=True)
class Scene:
    """What the metrics are about: the pods that the target's selector matches, and what they use by name."""

    autoscaler: HorizontalPodAutoscaler
    pods: Sequence[Pod]
    usages: Mapping[str, PodUsage]
    replicas: int
    now: datetime


@dataclass(frozen=True)
class Verdict:
    """`status` is the entry of `currentMetrics`, bare where `error` says why the metric tells nothing.

    `reason` and `said` are what an Event and the condition then tell; `error` is worded for the whole of the metrics.
    """

    replicas: int = 0
    name: str = ""
    status: Object | None = None
    reason: str = ""
    said: str = ""
    error: str = ""


def judge(scene: Scene, metric: Object) -> Verdict:
    kind = metric["type"]
    if kind == "Resource":
        found = metric["resource"]
        prefix = f"failed to get {found['name']} resource metric value"
        return _resource(scene, found, "", "FailedGetResourceMetric", prefix)
    if kind == "ContainerResource":
        found = metric["containerResource"]
        prefix = f"failed to get {found['container']} container metric value"
        return _resource(scene, found, found["container"], "FailedGetContainerResourceMetric", prefix)
    return _unknown(scene, kind, metric)


def _resource(scene: Scene, source: Object, container: str, reason: str, prefix: str) -> Verdict:
    name = source["name"]
    try:
        found = _proposed(scene, name, container, source["target"])
    except MetricError as error:
        said = str(error) if str(error) == _NO_TARGET else f"failed to get {name} utilization: {error}"
        return Verdict(status={"type": ""}, reason=reason, said=said, error=f"{prefix}: {said}")
    current: Object = {"averageValue": str(quantity.from_milli(found.value))}
    told = f"{name} resource"
    if found.utilization is not None:
        current["averageUtilization"] = found.utilization
        told = f"{name} {'container ' if container else ''}resource utilization (percentage of request)"
    entry: Object = {"name": name, "current": current}
    if container:
        return Verdict(
            found.replicas, told, {"type": "ContainerResource", "containerResource": {**entry, "container": container}}
        )
    return Verdict(found.replicas, told, {"type": "Resource", "resource": entry})


def _proposed(scene: Scene, resource: str, container: str, target: Object) -> Proposal:
    try:
        samples = _samples(scene, resource, container)
    except MetricError as error:
        raise MetricError(f"unable to get metrics for resource {resource}: {error}") from None
    tolerance, is_cpu = tolerance_of(scene.autoscaler), resource == "cpu"
    if target.get("averageValue") is not None:
        aim = quantity.milli(str(target["averageValue"]))
        return by_value(scene.pods, samples, aim, scene.replicas, tolerance, now=scene.now, is_cpu=is_cpu)
    if target.get("averageUtilization") is None:
        raise MetricError(_NO_TARGET)
    requests = requests_of(scene.pods, resource, container)
    aim = int(target["averageUtilization"])
    return by_utilization(scene.pods, samples, aim, scene.replicas, tolerance, requests, now=scene.now, is_cpu=is_cpu)


def _samples(scene: Scene, resource: str, container: str) -> dict[str, Sample]:
    if not scene.usages:
        raise MetricError("no metrics returned from resource metrics API")
    found: dict[str, Sample] = {}
    for name, usage in scene.usages.items():
        if container and container not in usage.containers:
            namespace = scene.autoscaler.namespace
            raise MetricError(f"container {container} not present in metrics for pod {namespace}/{name}")
        meant = [usage.containers[container]] if container else list(usage.containers.values())
        if resource == "cpu":
            value = sum(-(-each.cpu // 1_000_000) for each in meant)
        elif resource == "memory":
            value = sum(each.memory for each in meant) * 1000
        else:
            # Nobody measures anything else.
            continue
        found[name] = Sample(value, usage.at, usage.window)
    return found


def tolerance_of(autoscaler: HorizontalPodAutoscaler) -> Tolerance:
    """The rules' own tolerances, else a tenth."""
    behavior = autoscaler.behavior or {}
    given = {
        direction: (behavior.get(rules) or {}).get("tolerance")
        for direction, rules in (("up", "scaleUp"), ("down", "scaleDown"))
    }
    return Tolerance(**{way: float(quantity.of(value)) for way, value in given.items() if value is not None})


def _unknown(scene: Scene, kind: str, metric: Object) -> Verdict:
    """Metrics that another server would have to tell; there is none."""
    bare: Object = {"type": ""}
    namespace = scene.autoscaler.namespace
    if kind == "Pods":
        said = f"unable to get metric {metric['pods']['metric']['name']}: {_NO_CUSTOM}"
        return Verdict(
            status=bare, reason="FailedGetPodsMetric", said=said, error=f"failed to get pods metric value: {said}"
        )
    if kind == "Object":
        about, name = metric["object"]["describedObject"], metric["object"]["metric"]["name"]
        said = f"unable to get metric {name}: {about['kind']} on {namespace} {about['name']}/{_NO_CUSTOM}"
        if metric["object"]["target"]["type"] == "AverageValue":
            said = f"failed to get {name} object metric: {said}"
        return Verdict(
            status=bare, reason="FailedGetObjectMetric", said=said, error=f"failed to get object metric value: {said}"
        )
    if kind == "External":
        name = metric["external"]["metric"]["name"]
        selector = go_text(metric["external"]["metric"].get("selector"))
        said = f"unable to get external metric {namespace}/{name}/{selector}: {_NO_EXTERNAL.format(name)}"
        if metric["external"]["target"].get("averageValue") is not None:
            said = f"failed to get {name} external metric: {said}"
        error = f"failed to get {name} external metric value: {said}"
        return Verdict(status=bare, reason="FailedGetExternalMetric", said=said, error=error)
    said = f'unknown metric source type "{kind}"'
    return Verdict(status=bare, reason="InvalidMetricSourceType", said=said, error=said)
