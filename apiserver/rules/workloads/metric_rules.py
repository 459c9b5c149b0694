"""What upstream refuses in an autoscaler's metrics: one source each, and a target that fits it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from apiserver.rules.field_errors import all_of, forbidden, invalid_value, not_supported, required
from apiserver.rules.pods.resource_rules import container_resource_name
from apiserver.rules.reference_rules import segment_errors, version_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.quantity import ZERO, of
from machinery.api.resource import Object

_TYPES = ("ContainerResource", "External", "Object", "Pods", "Resource")
_TARGETS = ("Utilization", "Value", "AverageValue")


def metric_errors(metric: Object, path: str) -> Iterator[Cause]:
    """Only the first source that is given is looked into."""
    kind = metric.get("type") or ""
    if not kind:
        yield required(f"{path}.type", "must specify a metric source type")
    unknown = [] if kind in _TYPES else [not_supported(f"{path}.type", kind, _TYPES)]
    yield from unknown
    given = [field for field in _SOURCES if metric.get(field) is not None]
    if given:
        yield from _SOURCES[given[0]](metric[given[0]], f"{path}.{given[0]}")
    # Upstream says this twice.
    yield from unknown
    wanted = kind[:1].lower() + kind[1:]
    if not unknown and wanted not in given:
        yield required(f"{path}.{wanted}", "must populate information for the given metric source")
    if len(given) > 1:
        for field in given:
            if field != wanted:
                yield forbidden(f"{path}.{field}", "must populate the given metric source only")


def _object_errors(source: Object, path: str) -> Iterator[Cause]:
    described = source.get("describedObject") or {}
    yield from segment_errors(described, f"{path}.describedObject", "kind", "name")
    yield from version_errors(described, f"{path}.describedObject", wants_group=False)
    yield from _named_errors(source, path)
    target = source.get("target") or {}
    if target.get("value") is None and target.get("averageValue") is None:
        yield required(f"{path}.target.averageValue", "must set either a target value or averageValue")


def _external_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from _named_errors(source, path)
    target = source.get("target") or {}
    whole, each = target.get("value"), target.get("averageValue")
    if whole is None and each is None:
        detail = "must set either a target value for metric or a per-pod target"
        yield required(f"{path}.target.averageValue", detail)
    if whole is not None and each is not None:
        detail = "may not set both a target value for metric and a per-pod target"
        yield forbidden(f"{path}.target.value", detail)


def _pods_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from _named_errors(source, path)
    if (source.get("target") or {}).get("averageValue") is None:
        yield required(f"{path}.target.averageValue", "must specify a positive target averageValue")


def _container_errors(source: Object, path: str) -> Iterator[Cause]:
    name, container = source.get("name"), source.get("container")
    if name:
        yield from container_resource_name(name, f"{path}.name")
    else:
        yield required(f"{path}.name", "must specify a resource name")
    if container:
        yield from all_of(f"{path}.container", container, names.dns_label(container))
    else:
        yield required(f"{path}.container", "must specify a container")
    yield from _share_errors(source, path)


def _resource_errors(source: Object, path: str) -> Iterator[Cause]:
    if not source.get("name"):
        yield required(f"{path}.name", "must specify a resource name")
    yield from _share_errors(source, path)


_SOURCES: dict[str, Callable[[Object, str], Iterator[Cause]]] = {
    "object": _object_errors,
    "external": _external_errors,
    "pods": _pods_errors,
    "resource": _resource_errors,
    "containerResource": _container_errors,
}


def _named_errors(source: Object, path: str) -> Iterator[Cause]:
    if name := (source.get("metric") or {}).get("name"):
        yield from all_of(f"{path}.metric.name", name, names.path_segment(name))
    else:
        yield required(f"{path}.metric.name", "must specify a metric name")
    yield from _target_errors(source.get("target") or {}, f"{path}.target")


def _share_errors(source: Object, path: str) -> Iterator[Cause]:
    target = source.get("target") or {}
    yield from _target_errors(target, f"{path}.target")
    share, each = target.get("averageUtilization"), target.get("averageValue")
    if share is None and each is None:
        detail = "must set either a target raw value or a target utilization"
        yield required(f"{path}.target.averageUtilization", detail)
    if share is not None and each is not None:
        yield forbidden(f"{path}.target.averageValue", "may not set both a target raw value and a target utilization")


def _target_errors(target: Object, path: str) -> Iterator[Cause]:
    kind, share = target.get("type") or "", target.get("averageUtilization")
    if not kind:
        yield required(f"{path}.type", "must specify a metric target type")
    if kind not in _TARGETS:
        yield invalid_value(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        if (amount := target.get(field)) is not None and of(amount) <= ZERO:
            yield invalid_value(f"{path}.{field}", str(amount), "must be positive")
    if share is not None and share < 1:
        yield invalid_value(f"{path}.averageUtilization", share, "must be greater than 0")
