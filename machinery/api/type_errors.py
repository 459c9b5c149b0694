"""What Go's decoder complains of in an object: values of the wrong type, unknown and duplicate fields.

Runs only when something was found wrong or strictness was asked for; the words and their order are Go's.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from machinery.api import messages, quantity
from machinery.api.go_types import is_string_type, string_type
from machinery.api.messages import Field, Message, message
from machinery.api.timestamps import parse_micro_time, parse_time

_GO_TYPES = {"double": "float64", "bytes": "[]uint8"}
_MOST_STRICT = 100
_RANGES = {"int32": 2**31, "int64": 2**63}
_QUANTITY_MAPS = "v1.ResourceList"


class Duplicates(dict[str, Any]):
    """A JSON object in which `repeated` keys stood more than once; the last value won."""

    repeated: frozenset[str] = frozenset()


def type_errors(obj: Any, name: str) -> list[str]:
    """Every value of the wrong type, the first being the one that Go reports."""
    return complaints(obj, name)[1]


def complaints(obj: Any, name: str | None) -> tuple[list[str], list[str]]:
    """(strict errors: unknown and duplicate fields; type errors), each in the object's own order."""
    walk = _Walk()
    if name is None:
        walk.untyped(obj, "")
    else:
        walk.struct(obj, message(name), "", "", top=True)
    return walk.strict, walk.types


class _Walk:
    """`shown` is the path with indices for strict errors, `stack` the fields' path for type errors."""

    def __init__(self) -> None:
        self.strict: list[str] = []
        self.types: list[str] = []

    def struct(self, value: Any, described: Message, shown: str, stack: str, *, top: bool = False) -> None:
        for key, item in value.items():
            path = f"{shown}.{key}" if shown else key
            self._duplicate(value, key, path)
            field = described.fields.get(key)
            if field is None:
                if not (top and key in ("kind", "apiVersion")):
                    self._hold_against(f'unknown field "{path}"')
                elif item is not None and not isinstance(item, str):
                    self._mismatch(item, "TypeMeta", key, "string")
            elif item is not None:
                self._field(item, field, described, path, f"{stack}.{key}" if stack else key)

    def untyped(self, value: Any, shown: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                path = f"{shown}.{key}" if shown else key
                self._duplicate(value, key, path)
                self.untyped(item, path)
        elif isinstance(value, list):
            for at, item in enumerate(value):
                self.untyped(item, f"{shown}[{at}]")

    def _duplicate(self, value: dict[str, Any], key: str, path: str) -> None:
        if isinstance(value, Duplicates) and key in value.repeated:
            self._hold_against(f'duplicate field "{path}"')

    def _hold_against(self, said: str) -> None:
        # As Go's decoder: whoever has that many has seen the point.
        if len(self.strict) < _MOST_STRICT:
            self.strict.append(said)

    def _field(self, value: Any, field: Field, owner: Message, shown: str, stack: str) -> None:
        where = owner.go_name
        if field.map_value:
            if not isinstance(value, dict):
                self._mismatch(value, where, stack, _go_map(field.map_value))
                return
            for key, item in value.items():
                path = f"{shown}.{key}"
                self._duplicate(value, key, path)
                if item is not None:
                    self._single(item, field.map_value, where, path, stack)
        elif field.repeated or field.type in messages.STRING_LISTS:
            kind = field.type if field.repeated else "string"
            if not isinstance(value, list):
                self._mismatch(value, where, stack, f"[]{_go_type(kind)}")
                return
            for at, item in enumerate(value):
                if item is not None:
                    self._single(item, kind, where, f"{shown}[{at}]", stack)
        else:
            self._single(value, field.type, where, shown, stack)

    def _single(self, value: Any, kind: str, where: str, shown: str, stack: str) -> None:
        if kind in _CHECKS:
            self.scalar(value, kind, where, stack)
        elif kind in messages.RAW:
            self.untyped(value, shown)
        elif kind in messages.STRING_LISTS:
            if not isinstance(value, list):
                self._mismatch(value, where, stack, _go_type(kind))
        elif kind == messages.EMPTY or isinstance(value, dict) is False:
            if not isinstance(value, dict):
                self._mismatch(value, where, stack, _go_type(kind))
        else:
            self.struct(value, message(kind), shown, stack, top=kind in messages.WHOLE)

    def scalar(self, value: Any, kind: str, where: str, stack: str) -> None:
        expected = _CHECKS[kind]
        if not _is(value, expected):
            self._mismatch(value, where, stack, _go_type(kind) if kind in _SCALARS else expected)
            return
        limit = _RANGES.get(kind) or (_RANGES["int32"] if kind == messages.INT_OR_STRING else None)
        if limit and isinstance(value, int) and not -limit <= value < limit:
            self._mismatch(value, where, stack, "int32" if limit == 2**31 else "int64", literal=True)
        elif complaint := _malformed(value, kind):
            self.types.append(complaint)

    def _mismatch(self, value: Any, where: str, stack: str, go_type: str, *, literal: bool = False) -> None:
        kind = json_kind(value)
        if go_type in ("string", "[]string"):
            go_type = go_type.replace("string", string_type(where, stack.rpartition(".")[2]))
        if kind == "number" and (literal or go_type in ("int32", "int64")):
            kind = f"number {value}"
        self.types.append(f"json: cannot unmarshal {kind} into Go struct field {where}.{stack} of type {go_type}")


_SCALARS = frozenset(("string", "bool", "int32", "int64", "double", "bytes"))
# What JSON must hold for each type; the name is also what Go calls the type where its own decoder looks at it.
_CHECKS = {
    "string": "string",
    "bytes": "string",
    "bool": "bool",
    "int32": "int",
    "int64": "int",
    "double": "number",
    messages.QUANTITY: "any",
    messages.INT_OR_STRING: "int32",
    messages.TIME: "string",
    messages.MICRO_TIME: "string",
    messages.DURATION: "string",
}


def _is(value: Any, expected: str) -> bool:
    match expected:
        case "string":
            return isinstance(value, str)
        case "bool":
            return isinstance(value, bool)
        case "int":
            return type(value) is int
        case "number":
            return type(value) in (int, float)
        case "int32":
            return type(value) in (int, str)
        case _:
            return True


def _malformed(value: Any, kind: str) -> str:
    """What a type's own decoder says of the text; Go passes its words on as they are."""
    try:
        if kind == messages.QUANTITY:
            text = value if isinstance(value, str) else _json_text(value)
            quantity.parse(text.strip())
        elif kind == messages.TIME:
            parse_time(value)
        elif kind == messages.MICRO_TIME:
            parse_micro_time(value)
        elif kind == "bytes":
            base64.b64decode(value.replace("\r", "").replace("\n", ""), validate=True)
    except binascii.Error:
        return f"illegal base64 data at input byte {_base64_offset(value)}"
    except ValueError as error:
        return str(error)
    return ""


def _base64_offset(text: str) -> int:
    match = re.search(r"[^A-Za-z0-9+/]", text)
    if match is None or (match[0] == "=" and match.start() % 4 >= 2):
        return len(text) - len(text) % 4 if len(text) % 4 == 0 else len(text)
    return match.start()


def _go_map(kind: str) -> str:
    if kind == messages.QUANTITY:
        return _QUANTITY_MAPS
    return f"map[string]{_go_type(kind)}"


def _go_type(kind: str) -> str:
    if kind in _SCALARS:
        return _GO_TYPES.get(kind, kind)
    package, _, name = kind.rpartition(".")
    return f"{package.rpartition('.')[2]}.{name}"


def json_kind(value: Any) -> str:
    """What Go calls the JSON of a value."""
    if isinstance(value, bool):
        return "bool"
    kinds: dict[type, str] = {str: "string", int: "number", float: "number", list: "array"}
    return kinds.get(type(value), "object")


def _json_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else "{"


_UNLIKE = re.compile(r"json: cannot unmarshal (\w+)(?: (\S+))? into Go struct field \S+ of type (.+)", re.DOTALL)
_GO_KINDS = {"array": "slice", "object": "map", "number": "int64"}
_NUMBERS = ("int32", "int64", "float64")


def as_restored(said: str) -> str:
    """A type error as Go words it where it makes the object of maps, not of a text: after a strategic merge."""
    found = _UNLIKE.fullmatch(said)
    if found is None:
        return said
    kind = _GO_KINDS.get(found[1], found[1])
    if kind == "int64" and "." in (found[2] or ""):
        kind = "float64"
    target = found[3]
    if target.startswith("map["):
        return f"cannot restore map from {kind}"
    if target.startswith("[]"):
        return f"cannot restore slice from {kind}"
    if kind in _NUMBERS and target not in ("bool", *_NUMBERS) and _is_string(target):
        return f"cannot convert {kind} to {target}"
    if kind == "float64" and target in _NUMBERS:
        return f"cannot convert {kind} to {target}"
    if target in ("bool", "string", *_NUMBERS) or _is_string(target):
        return f"unrecognized type: {target if target in ('bool', *_NUMBERS) else 'string'}"
    return f"cannot restore struct from: {kind}"


def _is_string(target: str) -> bool:
    return target == "string" or is_string_type(target)
