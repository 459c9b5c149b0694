"""What a kind's rules say of an object, as lines `field: message`: the form of the tables in tests of the rules."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from apiserver.kinds.rules import Rules, rules_for
from machinery.api.errors import Cause
from machinery.api.resource import Object
from machinery.api.resources import BY_PATH

_TYPES = {
    "FieldValueRequired": "Required value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueNotFound": "Not found",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
}


def lines(causes: Iterable[Cause]) -> list[str]:
    """The causes as lines; each one's type is that of its message."""
    found = list(causes)
    for cause in found:
        assert cause.message.partition(":")[0] == _TYPES[cause.reason], cause
    return [f"{cause.field}: {cause.message}" for cause in found]


def rules_of(group: str, version: str, plural: str) -> Rules:
    return rules_for(BY_PATH[(group, version, plural)])


def on_create(rules: Rules, obj: Object) -> list[str]:
    """What is wrong with a new object once it is defaulted and prepared."""
    made = copy.deepcopy(obj)
    made.setdefault("metadata", {"name": "x"})
    rules.default(made)
    rules.prepare_create(made)
    return lines(rules.validate(made))


def on_update(rules: Rules, new: Object, old: Object) -> list[str]:
    """What is wrong with a change; both objects are defaulted first."""
    after, before = copy.deepcopy(new), copy.deepcopy(old)
    for obj in (after, before):
        obj.setdefault("metadata", {"name": "x"})
        rules.default(obj)
    rules.prepare_update(after, before)
    causes = list(rules.validate(after)) if rules.rechecked == "first" else []
    causes += rules.validate_update(after, before)
    return lines(causes + (rules.validate(after) if rules.rechecked == "last" else []))
