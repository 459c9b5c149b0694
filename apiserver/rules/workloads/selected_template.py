"""A workload's selector and the template of its pods, which must fit together (apps/v1 validation)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apiserver.rules.field_errors import forbidden, invalid_value, not_supported, required
from apiserver.rules.label_rules import label_selector_errors
from apiserver.rules.pods.pod_rules import template_errors
from machinery.api import selectors
from machinery.api.errors import Cause
from machinery.api.resource import Object

_NO_MATCH = "`selector` does not match template `labels`"


def selected_template_errors(spec: Object, kind: str, *, called: str = "") -> Iterator[Cause]:
    """`kind` is what upstream says of the template, `called` of an empty selector; they differ for ReplicaSets."""
    selector, template = spec.get("selector"), spec.get("template") or {}
    wrong = list(label_selector_errors(selector, "spec.selector"))
    if selector is None:
        yield required("spec.selector")
    yield from wrong
    if selects_all(selector):
        yield invalid_value("spec.selector", selector, f"empty selector is invalid for {called or kind.lower()}")
    if wrong:
        yield invalid_value("spec.selector", selector, "invalid label selector")
        return
    yield from fit_errors(selector, labels_of(template))
    yield from always_restarted_errors(template, kind)


def selects_all(selector: Object | None) -> bool:
    """Whether a LabelSelector is there and selects everything."""
    return selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions")


def labels_of(template: Object) -> Any:
    return (template.get("metadata") or {}).get("labels")


def fit_errors(selector: Mapping[str, Any] | None, labels: Any) -> Iterator[Cause]:
    """A selector that can be read must select the template; none at all selects nothing."""
    if selector is None or not selectors.from_label_selector(selector).matches(labels or {}):
        yield invalid_value("spec.template.metadata.labels", labels, _NO_MATCH)


def always_restarted_errors(template: Object, kind: str) -> Iterator[Cause]:
    """The template of pods that are kept running for as long as their owner is there."""
    yield from template_errors(template, "spec.template")
    yield from restart_errors(template, kind)


def restart_errors(template: Object, kind: str) -> Iterator[Cause]:
    pod = template.get("spec") or {}
    if pod.get("restartPolicy") != "Always":
        path = "spec.template.spec.restartPolicy"
        yield not_supported(path, pod.get("restartPolicy") or "", ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {kind} is not Supported"
        yield forbidden("spec.template.spec.activeDeadlineSeconds", detail)
