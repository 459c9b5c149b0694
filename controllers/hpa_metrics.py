"""What each metric of an autoscaler says: how many replicas, and its entry in the status; or why it says nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from controllers.hpa_readings import Answers, nobody, of_object, of_outside, samples
from controllers.hpa_replicas import (
    MetricError,
    Proposal,
    Sample,
    Tolerance,
    by_ratio,
    by_share,
    by_utilization,
    by_value,
    requests_of,
)
from controllers.selection import go_text
from machinery.api import quantity
from machinery.api.resource import Object
from machinery.api.views import HorizontalPodAutoscaler, Pod
from machinery.structs import Struct
from machinery.usage import PodUsage

T = TypeVar("T")
_NO_TARGET = (
    "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set"
)


class Scene(Struct, frozen=True):
    """What the metrics are about: the pods that the target's selector matches, and what they use by name.

    `replicas` are wanted, `there` are so many by the target's status; `answers` tells what other servers measure.
    """

    autoscaler: HorizontalPodAutoscaler
    pods: Sequence[Pod]
    usages: Mapping[str, PodUsage]
    replicas: int
    now: datetime
    there: int = 0
    selector: str = ""
    answers: Answers = nobody


class Verdict(Struct, frozen=True):
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
    if kind in _TOLD_BY_OTHERS:
        return _TOLD_BY_OTHERS[kind](scene, metric)
    said = f'unknown metric source type "{kind}"'
    return _failed("InvalidMetricSourceType", said, said)


def _resource(scene: Scene, source: Object, container: str, reason: str, prefix: str) -> Verdict:
    name = source["name"]
    try:
        found = _proposed(scene, name, container, source["target"])
    except MetricError as error:
        what = "usage" if source["target"].get("averageValue") is not None else "utilization"
        said = str(error) if str(error) == _NO_TARGET else f"failed to get {name} {what}: {error}"
        return _failed(reason, said, f"{prefix}: {said}")
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
    said = f"unable to get metrics for resource {resource}: "
    found = _told(said, lambda: _samples(scene, resource, container))
    tolerance, is_cpu = tolerance_of(scene.autoscaler), resource == "cpu"
    if target.get("averageValue") is not None:
        aim = quantity.milli(str(target["averageValue"]))
        return by_value(scene.pods, found, aim, scene.replicas, tolerance, now=scene.now, is_cpu=is_cpu)
    if target.get("averageUtilization") is None:
        raise MetricError(_NO_TARGET)
    requests = requests_of(scene.pods, resource, container)
    aim = int(target["averageUtilization"])
    return by_utilization(scene.pods, found, aim, scene.replicas, tolerance, requests, now=scene.now, is_cpu=is_cpu)


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


def _told(before: str, read: Callable[[], T]) -> T:
    """What `read` gives; a MetricError of its is told after these words."""
    try:
        return read()
    except MetricError as error:
        raise MetricError(f"{before}{error}") from None


def _pods(scene: Scene, metric: Object) -> Verdict:
    source, namespace = metric["pods"], scene.autoscaler.namespace
    identity, target = _identified(source["metric"]), quantity.milli(str(source["target"]["averageValue"]))
    said, tolerance = f"unable to get metric {identity['name']}: ", tolerance_of(scene.autoscaler)
    try:
        read = _told(said, lambda: samples(scene.answers, namespace, source["metric"], scene.selector))
        found = by_value(scene.pods, read, target, scene.replicas, tolerance, now=scene.now)
    except MetricError as error:
        return _failed("FailedGetPodsMetric", str(error), f"failed to get pods metric value: {error}")
    entry = {"metric": identity, "current": {"averageValue": _written(found.value)}}
    return Verdict(found.replicas, f"pods metric {identity['name']}", {"type": "Pods", "pods": entry})


def _object(scene: Scene, metric: Object) -> Verdict:
    source, namespace = metric["object"], scene.autoscaler.namespace
    about, identity, target = source["describedObject"], _identified(source["metric"]), source["target"]
    name = identity["name"]
    is_share = target.get("type") == "AverageValue"
    said = f"unable to get metric {name}: {about['kind']} on {namespace} {about['name']}/"
    try:
        value = _told(said, lambda: of_object(scene.answers, namespace, source["metric"], about))
        found = _proposed_for(scene, value, target, is_share=is_share)
    except MetricError as error:
        within = f"failed to get {name} object metric: " if is_share else ""
        return _failed("FailedGetObjectMetric", str(error), f"failed to get object metric value: {within}{error}")
    if is_share:
        entry = {"metric": identity, "current": {"averageValue": _written(found.value)}}
        told = f"external metric {name}({go_text(source['metric'].get('selector'))})"
    else:
        entry = {"metric": identity, "current": {"value": _written(found.value)}, "describedObject": about}
        told = f"{about['kind']} metric {name}"
    return Verdict(found.replicas, told, {"type": "Object", "object": entry})


def _external(scene: Scene, metric: Object) -> Verdict:
    source, namespace = metric["external"], scene.autoscaler.namespace
    identity, target = _identified(source["metric"]), source["target"]
    name, selector = identity["name"], go_text(source["metric"].get("selector"))
    is_share = target.get("averageValue") is not None
    said = f"unable to get external metric {namespace}/{name}/{selector}: "
    try:
        value = _told(said, lambda: of_outside(scene.answers, namespace, source["metric"]))
        found = _proposed_for(scene, value, target, is_share=is_share)
    except MetricError as error:
        within = f"failed to get {name} external metric" if is_share else f"failed to get external metric {name}"
        whole = f"failed to get {name} external metric value: {within}: {error}"
        return _failed("FailedGetExternalMetric", str(error), whole)
    current = {"averageValue" if is_share else "value": _written(found.value)}
    told = f"external metric {name}({selector})"
    return Verdict(found.replicas, told, {"type": "External", "external": {"metric": identity, "current": current}})


def _proposed_for(scene: Scene, value: int, target: Object, *, is_share: bool) -> Proposal:
    """For one value that all pods share, or that is theirs together."""
    tolerance = tolerance_of(scene.autoscaler)
    if is_share:
        return by_share(value, quantity.milli(str(target["averageValue"])), scene.there, tolerance)
    return by_ratio(scene.pods, value, quantity.milli(str(target["value"])), scene.replicas, tolerance)


def _failed(reason: str, said: str, error: str) -> Verdict:
    return Verdict(status={"type": ""}, reason=reason, said=said, error=error)


def _identified(metric: Object) -> Object:
    return {key: metric[key] for key in ("name", "selector") if metric.get(key) is not None}


def _written(milli: int) -> str:
    return str(quantity.from_milli(milli))


_TOLD_BY_OTHERS: Mapping[str, Callable[[Scene, Object], Verdict]] = {
    "Pods": _pods,
    "Object": _object,
    "External": _external,
}
