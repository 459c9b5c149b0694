"""Words that most kinds' defaults are written in: values for absent fields, and the usual handling of status."""

from __future__ import annotations

import copy
from typing import Any

from machinery.api.resource import Object


def default_values(obj: Object, **values: Any) -> None:
    """Sets each field that is absent or null; each object gets a copy of its own."""
    for key, value in values.items():
        if obj.get(key) is None:
            obj[key] = copy.deepcopy(value)


def drop_status(obj: Object) -> None:
    """What a client says of the status of a new object is not heard."""
    obj.pop("status", None)


def keep_status(new: Object, old: Object) -> None:
    """The status is written through its sub-resource alone."""
    take_field(new, old, "status")


def take_field(target: Object, source: Object, field: str) -> None:
    """Makes the field what it is in `source`, which may be absent."""
    if field in source:
        target[field] = source[field]
    else:
        target.pop(field, None)
