"""Metrics that another server tells: what an autoscaler asks for, and what comes back. Pure.

`custom.metrics.k8s.io/v1beta2` tells of pods and other objects, `external.metrics.k8s.io/v1beta1` of anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from controllers.hpa_replicas import MetricError, Sample
from machinery.api import quantity
from machinery.api.resource import Object
from machinery.api.resources import RESOURCES
from machinery.api.selectors import stored_selector
from machinery.api.timestamps import parse_time
from machinery.structs import Struct

_WINDOW = timedelta(minutes=1)
_PLAIN = "the server could not find the requested resource"


class Question(Struct, frozen=True):
    """A list of values in one of the two APIs: below which path, and of what has which labels."""

    group: str
    path: str
    label_selector: str = ""
    metric_selector: str = ""


Answers = Callable[[Question], Object]
"""The body that the API server answers with; raises MetricError, which says why there is none."""


def nobody(question: Question) -> Object:
    """What is answered where no APIService has the group."""
    if question.group == "custom.metrics.k8s.io":
        raise MetricError("no custom metrics API (custom.metrics.k8s.io) registered")
    raise MetricError(f"{_PLAIN} (get {question.path.rpartition('/')[2]}.external.metrics.k8s.io)")


def samples(answers: Answers, namespace: str, metric: Object, selector: str) -> Mapping[str, Sample]:
    """The metric of each of the pods that the selector matches, by their names; raises MetricError."""
    path = f"namespaces/{namespace}/pods/*/{metric['name']}"
    items = _custom(answers, Question("custom.metrics.k8s.io", path, selector, _selector(metric)))
    if not items:
        raise MetricError("no metrics returned from custom metrics API")
    return {item["describedObject"]["name"]: _sample(item) for item in items}


def of_object(answers: Answers, namespace: str, metric: Object, about: Object) -> int:
    """The metric of one object, in thousandths; raises MetricError. A namespace is always the autoscaler's own."""
    resource = _resource(about)
    place = "metrics" if resource == "namespaces" else f"{resource}/{about['name']}"
    path = f"namespaces/{namespace}/{place}/{metric['name']}"
    items = _custom(answers, Question("custom.metrics.k8s.io", path, "", _selector(metric)))
    if len(items) != 1:
        raise MetricError(
            "unable to fetch metrics from custom metrics API: the custom metrics API server returned "
            f"{len(items)} results when we asked for exactly one"
        )
    return quantity.milli(str(items[0]["value"]))


def of_outside(answers: Answers, namespace: str, metric: Object) -> int:
    """The sum of all values that the external metric has, in thousandths; raises MetricError."""
    path = f"namespaces/{namespace}/{metric['name']}"
    try:
        body = answers(Question("external.metrics.k8s.io", path, _selector(metric)))
    except MetricError as error:
        raise MetricError(f"unable to fetch metrics from external metrics API: {error}") from None
    items = body.get("items") or []
    if not items:
        raise MetricError("no metrics returned from external metrics API")
    return sum(quantity.milli(str(item["value"])) for item in items)


def _custom(answers: Answers, question: Question) -> list[Object]:
    try:
        return list(answers(question).get("items") or [])
    except MetricError as error:
        raise MetricError(f"unable to fetch metrics from custom metrics API: {error}") from None


def _sample(item: Object) -> Sample:
    seconds = item.get("windowSeconds")
    window = _WINDOW if seconds is None else timedelta(seconds=seconds)
    return Sample(quantity.milli(str(item["value"])), parse_time(item["timestamp"]), window)


def _resource(about: Object) -> str:
    """`deployments.apps`, as the path of a metric names what is described."""
    group = (about.get("apiVersion") or "").rpartition("/")[0]
    row = next((row for row in RESOURCES if (row.group, row.kind) == (group, about["kind"])), None)
    guessed = f"{about['kind'].lower()}s{'.' if group else ''}{group}"
    return guessed if row is None else row.qualified


def _selector(metric: Object) -> str:
    return str(stored_selector(metric["selector"])) if metric.get("selector") else ""
