"""events.k8s.io/v1 Events: stored as core's, but stricter: the old fields stay empty and only the series may change."""

from __future__ import annotations

from functools import partial
from typing import Any

from apiserver.kinds.events import event_errors
from apiserver.kinds.rules import Rules
from apiserver.rules.field_errors import invalid_value, required
from apiserver.rules.immutability import IMMUTABLE
from machinery.api.errors import Cause
from machinery.api.resource import Object

_errors = partial(event_errors, reporter="reportingController")
_OLD_FIELDS = ("firstTimestamp", "lastTimestamp", "count", "source")
# What may not change, in the order of upstream's complaints; it looks at the reason twice.
_FIXED = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason", "type",
    "eventTime", "action", "related", "reportingComponent", "reportingInstance",
)  # fmt: skip
_SAID = {"reportingComponent": "reportingController"}
_REFERENCE = ("Kind", "Namespace", "Name", "UID", "APIVersion", "ResourceVersion", "FieldPath")
_STRUCTS = {"involvedObject": _REFERENCE, "related": _REFERENCE, "source": ("Component", "Host")}
_KEYS = {"UID": "uid", "APIVersion": "apiVersion"}
_NOUGHT: dict[str, Any] = {"count": 0, "firstTimestamp": None, "lastTimestamp": None, "eventTime": None}


def validate(event: Object) -> list[Cause]:
    errors = [*_errors(event), *_series_errors(event)]
    if event.get("eventTime") is None:
        errors.append(required("eventTime"))
    if (kind := event.get("type") or "") not in ("Normal", "Warning"):
        errors.append(invalid_value("type", "", f"has invalid value: {kind}"))
    return errors + [invalid_value(field, "", "needs to be unset") for field in _OLD_FIELDS if event.get(field)]


def validate_update(new: Object, old: Object) -> list[Cause]:
    errors = _errors(new)
    if new.get("series") != old.get("series"):
        errors += _series_errors(new)
    changed = [field for field in _FIXED if (new.get(field) or None) != (old.get(field) or None)]
    return errors + [invalid_value(_SAID.get(field, field), _shown(new, field), IMMUTABLE) for field in changed]


def _shown(event: Object, field: str) -> Any:
    """The value as Go writes it: structs by the names of their fields."""
    value = event.get(field)
    if field in _STRUCTS:
        return {name: (value or {}).get(_key(name), "") for name in _STRUCTS[field]}
    return _NOUGHT.get(field, "") if value is None else value


def _key(name: str) -> str:
    return _KEYS.get(name, name[0].lower() + name[1:])


def _series_errors(event: Object) -> list[Cause]:
    series, errors = event.get("series"), []
    if series is None:
        return []
    if (series.get("count") or 0) < 2:
        errors.append(invalid_value("series.count", "", "should be at least 2"))
    if series.get("lastObservedTime") is None:
        errors.append(required("series.lastObservedTime"))
    return errors


RULES = Rules(
    validate=validate,
    validate_update=validate_update,
    rechecked="never",
    is_stricter=True,
    selectable_fields=(
        "regarding.kind",
        "regarding.namespace",
        "regarding.name",
        "regarding.uid",
        "regarding.apiVersion",
        "regarding.resourceVersion",
        "regarding.fieldPath",
        "reason",
        "reportingController",
        "type",
    ),
)
