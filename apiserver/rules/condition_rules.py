"""What upstream refuses in a status's conditions of the common form (meta/v1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apiserver.rules.field_errors import all_of, duplicate, invalid_value, not_supported, required, too_long
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_STATUSES = ("False", "True", "Unknown")
_LONGEST_REASON, _LONGEST_MESSAGE = 1024, 32 * 1024
_REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_BAD_REASON = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric"
    " characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',"
    f"  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '{_REASON}')"
)


def condition_errors(conditions: list[Object] | None, path: str = "status.conditions") -> Iterator[Cause]:
    seen: set[str] = set()
    for index, condition in enumerate(conditions or ()):
        where, kind = f"{path}[{index}]", condition.get("type") or ""
        if kind in seen:
            yield duplicate(f"{where}.type", kind)
        seen.add(kind)
        yield from _errors(condition, kind, where)


def _errors(condition: Object, kind: str, path: str) -> Iterator[Cause]:
    generation, reason = condition.get("observedGeneration") or 0, condition.get("reason") or ""
    yield from all_of(f"{path}.type", kind, names.qualified_name(kind))
    if condition.get("status") not in _STATUSES:
        yield not_supported(f"{path}.status", condition.get("status") or "", _STATUSES)
    if generation < 0:
        yield invalid_value(f"{path}.observedGeneration", generation, "must be greater than or equal to zero")
    if not condition.get("lastTransitionTime"):
        yield required(f"{path}.lastTransitionTime", "must be set")
    if not reason:
        yield required(f"{path}.reason", "must be set")
    elif re.fullmatch(_REASON, reason) is None:
        yield invalid_value(f"{path}.reason", reason, _BAD_REASON)
    if len(reason) > _LONGEST_REASON:
        yield too_long(f"{path}.reason", _LONGEST_REASON)
    if len(condition.get("message") or "") > _LONGEST_MESSAGE:
        yield too_long(f"{path}.message", _LONGEST_MESSAGE)
