"""Fields that stay as they are once an object is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiserver.rules.field_errors import invalid_value
from machinery.api.errors import Cause
from machinery.api.resource import Object

IMMUTABLE = "field is immutable"


def immutable(*paths: str) -> Callable[[Object, Object], list[Cause]]:
    """A rule for updates: the values at these dotted paths stay as they are."""

    def errors(new: Object, old: Object) -> list[Cause]:
        return [invalid_value(path, value, IMMUTABLE) for path in paths if (value := _at(new, path)) != _at(old, path)]

    return errors


def _at(obj: Object, path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
