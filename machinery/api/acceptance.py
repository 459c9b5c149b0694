"""Whether Go's decoder would take an object without any complaint: the quick answer for the many that are sound.

What it would complain of, and in which words, `type_errors` finds, at many times the cost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import orjson

from machinery.api import messages
from machinery.api.messages import Field, message
from machinery.api.type_errors import CHECKED, is_sound_value

Accept = Callable[[Any], bool]

_HEAD = ("kind", "apiVersion")


def is_sound(obj: Any, name: str) -> bool:
    """Every field is known and has the type of its own."""
    if not all(isinstance(obj.get(key), str | None) for key in _HEAD):
        return False
    return _struct(name)({key: item for key, item in obj.items() if key not in _HEAD})


def may_repeat_keys(body: bytes, obj: Any) -> bool:
    """False only if no object of the JSON text holds a key twice; told by writing it again, as most clients would."""
    return body.rstrip() != orjson.dumps(obj)


@cache
def _struct(name: str) -> Accept:
    if name == messages.EMPTY:
        return lambda value: type(value) is dict
    fields = message(name).fields
    checks: dict[str, Accept] = {}

    def accept(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for key, item in value.items():
            check = checks.get(key)
            if check is None:
                field = fields.get(key)
                if field is None:
                    return False
                check = checks[key] = _value(field)
            if item is not None and not check(item):
                return False
        return True

    return accept


def _value(field: Field) -> Accept:
    if field.map_value:
        item = _single(field.map_value)
        return lambda value: type(value) is dict and all([one is None or item(one) for one in value.values()])
    if field.repeated:
        return _list(_single(field.type))
    return _single(field.type)


def _list(item: Accept) -> Accept:
    return lambda value: type(value) is list and all([one is None or item(one) for one in value])


def _single(kind: str) -> Accept:
    plain = _PLAIN.get(kind)
    if plain is not None:
        return plain
    if kind in messages.RAW:
        return lambda value: True
    if kind in messages.STRING_LISTS:
        return _list(_PLAIN["string"])
    if kind in CHECKED:
        return lambda value: is_sound_value(value, kind)
    return _struct(kind)


_PLAIN: dict[str, Accept] = {
    "string": lambda value: type(value) is str,
    "bool": lambda value: type(value) is bool,
    "int32": lambda value: type(value) is int and -(2**31) <= value < 2**31,
    "int64": lambda value: type(value) is int and -(2**63) <= value < 2**63,
}
