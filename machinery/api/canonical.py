"""Objects as a Go struct would write them: what the API stores, compares and answers.

Unknown fields go, empty optional ones go, mandatory ones appear, quantities and times take their canonical form. The
writer of each message is compiled once, when the first object with it comes; it builds new containers throughout.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from machinery.api import messages, quantity
from machinery.api.errors import BadRequest
from machinery.api.messages import Field, message, resource_message
from machinery.api.resource import Object, Resource
from machinery.api.timestamps import parse_micro_time, parse_time, rfc3339, rfc3339_micro

Write = Callable[[Any], Any]
"""Gives the canonical value; None stands for null or nothing."""

_ZEROS: dict[str, Any] = {"string": "", "bool": False, "int32": 0, "int64": 0, "double": 0, "bytes": None}

# An upstream store keeps objects as protobuf, which has no empty list: it comes back as null. These groups it keeps as
# JSON, and lists of objects are never stored.
_EMPTY = frozenset(("list", "map"))
_KEPT_AS_JSON = ("k8s.io.apiextensions_apiserver.", "k8s.io.kube_aggregator.")


class Mismatch(Exception):
    """A value that Go could not decode into the field."""


def canonical(obj: Object, resource: Resource) -> Object:
    """A new, canonical object; raises BadRequest in upstream's words where a value has the wrong type.

    Objects of custom resources come back copied and otherwise as they are: their schema is not known here.
    """
    name = resource_message(resource)
    if name is None:
        copied: Object = _copy(obj)
        return copied
    return canonical_kind(obj, name)


def canonical_kind(obj: Object, name: str) -> Object:
    """As `canonical`, by the message's full name."""
    head = {key: obj[key] for key in ("kind", "apiVersion") if obj.get(key)}
    try:
        return head | _struct(name)(obj)
    except (Mismatch, AttributeError, TypeError, ValueError) as error:
        from machinery.api.type_errors import type_errors

        complaints = type_errors(obj, name)
        if not complaints:
            raise
        version = str(obj.get("apiVersion", "")).rpartition("/")[2]
        kind = obj.get("kind", "")
        raise BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {complaints[0]}') from error


def completed(obj: Object, resource: Resource) -> Object:
    """`obj`, canonical field by field, with the fields that it must have; the very object where it lacks none."""
    name = resource_message(resource)
    missing = {} if name is None else {key: absent() for key, absent in _always(name) if key not in obj}
    return {**obj, **missing} if missing else obj


def sound(obj: Object, name: str) -> Object | None:
    """The canonical object; None where Go's decoder would complain of anything, be it an unknown field."""
    try:
        return _whole(name, is_strict=True)(obj)
    except (Mismatch, AttributeError, TypeError, ValueError):
        return None


def _whole(name: str, *, is_strict: bool) -> Callable[[Any], Object]:
    """Writes an object that says its kind and version itself."""

    def write(value: Any) -> Object:
        rest = dict(value)
        said = ((key, rest.pop(key, None)) for key in ("kind", "apiVersion"))
        head = {key: _string_or_null(text) if type(text) is not str else text for key, text in said}
        return {key: text for key, text in head.items() if text} | _struct(name, is_strict=is_strict)(rest)

    return write


@cache
def _struct(name: str, *, is_strict: bool = False) -> Callable[[Any], Object]:
    if name == messages.EMPTY:
        return _empty
    fields = message(name).fields
    writers = _Writers(name, fields, is_strict=is_strict)
    always = _always(name)

    def write(value: Any) -> Object:
        out: Object = {}
        for key, item in value.items():
            plain, write_field, drops = writers[key]
            if type(item) is plain:
                written = item
            elif item is None:
                continue
            else:
                written = write_field(item)
            if written or not drops:
                out[key] = written
        for key, absent in always:
            if key not in out:
                out[key] = absent()
        return out

    return write


@cache
def _always(name: str) -> tuple[tuple[str, Callable[[], Any]], ...]:
    """The fields that are written in any case, and what is where nothing is said."""
    return tuple((field.name, _absent(field)) for field in message(name).fields.values() if _is_always(field))


_FieldWriter = tuple[type | None, Write, bool]
"""The type whose values stand as they are, the writer of others, and whether nothing is written of an empty value."""


class _Writers(dict[str, _FieldWriter]):
    """By field: how it is written. Compiled at the field's first use, as some messages hold themselves."""

    def __init__(self, name: str, fields: Mapping[str, Field], *, is_strict: bool) -> None:
        super().__init__()
        self._name = name
        self._fields = fields
        self._rounds = _has_resource_lists(name)
        self._is_stored = not name.endswith("List") and not name.startswith(_KEPT_AS_JSON)
        self._is_strict = is_strict

    def __missing__(self, key: str) -> _FieldWriter:
        field = self._fields.get(key)
        if field is None:
            if self._is_strict:
                raise Mismatch
            return None, _nothing, True
        drops = _drops_empty(field) or (self._is_stored and field.kind in _EMPTY)
        drops = drops and (self._name, key) != _MEANT_EMPTY
        if self._rounds and field.map_value == messages.QUANTITY:
            write = _map(_milli_quantity, lambda: "0")
        else:
            write = _value(field, is_strict=self._is_strict)
        made = self[key] = (_PLAIN.get(write), write, drops)
        return made


_MEANT_EMPTY = ("k8s.io.api.autoscaling.v2.HPAScalingRules", "policies")
"""Where an empty list is no absent one to upstream: its defaults leave it for its validation to refuse."""


def _has_resource_lists(name: str) -> bool:
    """Whether the message's maps of quantities are ResourceLists, which upstream's defaults round up to thousandths."""
    return name.startswith("k8s.io.api.") and not name.startswith("k8s.io.api.resource.")


def _is_always(field: Field) -> bool:
    if field.rule == "omitzero":
        return False
    # Go's omitempty never drops a struct that is held by value.
    return field.rule == "always" or field.kind in ("struct", "time", "quantity", "intOrString", "raw")


def _drops_empty(field: Field) -> bool:
    return field.rule == "omitempty" and field.kind in ("scalar", "list", "map", "bytes")


def _absent(field: Field) -> Callable[[], Any]:
    """What is written for a mandatory field without a value."""
    match field.kind:
        case "struct":
            return lambda: _struct(field.type)({})
        case "quantity":
            return lambda: "0"
        case "intOrString":
            return lambda: 0
        case "scalar":
            zero = _ZEROS[field.type]
            return lambda: zero
        case _:
            return lambda: None


def _value(field: Field, *, is_strict: bool) -> Write:
    single = _single(field.map_value or field.type, is_strict=is_strict)
    if field.map_value:
        return _map(single, _null_item(field.map_value))
    if field.repeated:
        return _strings if field.type == "string" else _list(single, _null_item(field.type))
    return single


def _null_item(kind: str) -> Callable[[], Any]:
    """What Go writes for an item or map value that was null."""
    if kind in _ZEROS:
        zero = _ZEROS[kind]
        return lambda: zero
    if kind == messages.QUANTITY:
        return lambda: "0"
    if kind in _SINGLES or kind in messages.RAW or kind in messages.STRING_LISTS:
        return lambda: None
    return lambda: _struct(kind)({})


def _list(item: Write, null: Callable[[], Any]) -> Write:
    def write(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise Mismatch
        return [null() if one is None else item(one) for one in value]

    return write


def _map(item: Write, null: Callable[[], Any]) -> Write:
    if item is _string:
        return _string_map

    def write(value: Any) -> dict[str, Any]:
        return {key: null() if one is None else item(one) for key, one in value.items()}

    return write


def _string_map(value: Any) -> dict[str, str]:
    return {key: one if type(one) is str else _string_or_null(one) for key, one in value.items()}


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise Mismatch
    return [one if type(one) is str else _string_or_null(one) for one in value]


def _string_or_null(value: Any) -> str:
    if value is not None:
        raise Mismatch
    return ""


def _single(kind: str, *, is_strict: bool) -> Write:
    writer = _SINGLES.get(kind)
    if writer is not None:
        return _base64 if is_strict and kind == "bytes" else writer
    if kind in messages.RAW:
        # Objects are never changed in place, so what has no type of its own is shared.
        return _as_is
    if kind in messages.STRING_LISTS:
        return _strings
    if kind in messages.WHOLE:
        return _whole(kind, is_strict=is_strict)
    return _struct(kind, is_strict=is_strict)


def _empty(value: Any) -> Object:
    if not isinstance(value, dict):
        raise Mismatch
    return {}


def _base64(value: Any) -> str:
    base64.b64decode(_string(value).replace("\r", "").replace("\n", ""), validate=True)
    return str(value)


def _string(value: Any) -> str:
    if type(value) is not str:
        raise Mismatch
    return value


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise Mismatch
    return value


def _int32(value: Any) -> int:
    if type(value) is not int or not -(2**31) <= value < 2**31:
        raise Mismatch
    return value


def _int64(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise Mismatch
    return value


def _double(value: Any) -> float:
    if type(value) is not int and type(value) is not float:
        raise Mismatch
    return value


def _quantity(value: Any) -> str:
    if type(value) is str:
        return quantity.canonical(value.strip())
    if type(value) is bool:
        raise Mismatch
    return str(quantity.of(value))


def _milli_quantity(value: Any) -> str:
    if type(value) is bool:
        raise Mismatch
    return quantity.canonical_milli(value.strip() if type(value) is str else repr(value))


def _int_or_string(value: Any) -> int | str:
    return value if type(value) is str else _int32(value)


def _time(value: Any) -> str:
    if type(value) is str and len(value) == 20 and value[19] == "Z":
        parse_time(value)
        return value
    return rfc3339(parse_time(_string(value)))


def _micro_time(value: Any) -> str:
    return rfc3339_micro(parse_micro_time(_string(value)))


def _nothing(value: Any) -> None:
    return None


def _as_is(value: Any) -> Any:
    return value


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


_PLAIN: dict[Write, type] = {_string: str, _bool: bool}

_SINGLES: dict[str, Write] = {
    "string": _string,
    "bytes": _string,
    "bool": _bool,
    "int32": _int32,
    "int64": _int64,
    "double": _double,
    messages.QUANTITY: _quantity,
    messages.INT_OR_STRING: _int_or_string,
    messages.TIME: _time,
    messages.MICRO_TIME: _micro_time,
    messages.DURATION: _string,
}
