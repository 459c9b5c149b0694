"""What upstream refuses in labels, annotations and label selectors (meta/v1 validation), shared by every kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apiserver.rules.field_errors import all_of, forbidden, invalid_value, required, too_long
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
"""What every selector has; some know more."""
BAD_OPERATOR = "not a valid selector operator"
_MOST_ANNOTATION_BYTES = 256 * 1024


def label_errors(labels: Mapping[str, Any] | None, path: str) -> Iterator[Cause]:
    """Wrong keys and values of labels, or of a node selector, all at the map's own path."""
    for key, value in (labels or {}).items():
        if complaints := names.qualified_name(key):
            yield from all_of(path, key, complaints)
        if complaints := names.label_value(value or ""):
            yield from all_of(path, value or "", complaints)


def annotations_errors(annotations: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Wrong keys of annotations, and more of them than an object may have, all at the map's own path."""
    size = 0
    for key, value in annotations.items():
        if complaints := names.qualified_name(key.lower()):
            yield from all_of(path, key, complaints)
        size += len(key.encode()) + len((value or "").encode())
    if size > _MOST_ANNOTATION_BYTES:
        yield too_long(path, _MOST_ANNOTATION_BYTES)


def label_selector_errors(selector: Object | None, path: str) -> Iterator[Cause]:
    """All that is wrong with a LabelSelector; an absent one is sound."""
    if not selector:
        return
    if labels := selector.get("matchLabels"):
        yield from label_errors(labels, f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        yield from _expression_errors(expression, f"{path}.matchExpressions[{index}]")


def value_count_errors(operator: str, values: list[str] | None, path: str) -> Iterator[Cause]:
    """Whether the operator has the values that it needs, and none where it takes none; of others nothing is said."""
    if operator in ("In", "NotIn") and not values:
        yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    if operator in ("Exists", "DoesNotExist") and values:
        yield forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")


def _expression_errors(expression: Object, path: str) -> Iterator[Cause]:
    operator, values = expression.get("operator") or "", expression.get("values") or []
    if operator in OPERATORS:
        yield from value_count_errors(operator, values, path)
    else:
        yield invalid_value(f"{path}.operator", operator, BAD_OPERATOR)
    key = expression.get("key") or ""
    yield from all_of(f"{path}.key", key, names.qualified_name(key))
    for index, value in enumerate(values):
        yield from all_of(f"{path}.values[{index}]", value, names.label_value(value))
