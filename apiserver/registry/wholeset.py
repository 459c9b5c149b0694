"""The set of all fields of a value: what a create, and whatever a write adds, gives to its manager. Pure.

It is made for every new object, so what emits it is compiled from the schema at first use: one function a definition
that knows its fields' paths. The form of the set is `fieldset`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from machinery.api.schema import Definition

Trie = dict[str, Any]
SELF: Trie = {}
MEMBER = "."
DEFAULT_KEYS = {"protocol": "TCP"}
"""Defaults of list keys that the published schema does not tell."""

Emit = Callable[[Any], Trie]
Name = Callable[[Any], str]


def whole(value: Any, schema: Definition | None) -> Trie:
    """The value as a member, with everything below it."""
    return schema.compiled(_emitter)(value) if schema is not None and isinstance(value, (dict, list)) else SELF


def form_of(schema: Definition | None, value: Any) -> str:
    """map, keyed, set, or leaf for scalars and all that is replaced as a whole."""
    if schema is None:
        return "leaf"
    if isinstance(value, dict):
        return "map" if _is_open(schema) else "leaf"
    if isinstance(value, list):
        return {"map": "keyed", "set": "set"}.get(schema.list_type, "leaf")
    return "leaf"


def keyed(value: Any, schema: Definition) -> dict[str, Any]:
    """The items of a list by their path element."""
    if not isinstance(value, list):
        return {}
    name = schema.compiled(_namer)
    return {name(item): item for item in value}


def element(item: Any, schema: Definition) -> str:
    """The path element of a list's item."""
    return schema.compiled(_namer)(item)


def _is_open(schema: Definition) -> bool:
    return (bool(schema.field_names) or schema.values is not None) and schema.map_type != "atomic"


def _emitter(schema: Definition) -> Emit:
    of_map = _leaf if not _is_open(schema) else _struct(schema) if schema.field_names else _open_map(schema)
    of_list = _list(schema)
    return lambda value: of_map(value) if isinstance(value, dict) else of_list(value)


def _leaf(value: Any) -> Trie:
    return SELF


def _struct(schema: Definition) -> Emit:
    known: dict[str, tuple[str, Emit]] = {}

    def emit(value: dict[str, Any]) -> Trie:
        if not value:
            return SELF
        found: Trie = {MEMBER: SELF}
        for key, item in value.items():
            field = known.get(key)
            if field is None:
                field = (f"f:{key}", _below(schema.field(key)))
                if key in schema.raw["properties"]:
                    # Keys that no schema names could be without number.
                    known[key] = field
            found[field[0]] = field[1](item) if isinstance(item, (dict, list)) else SELF
        return found

    return emit


def _open_map(schema: Definition) -> Emit:
    below = _below(schema.values)

    def emit(value: dict[str, Any]) -> Trie:
        if not value:
            return SELF
        found: Trie = {MEMBER: SELF}
        for key, item in value.items():
            found[f"f:{key}"] = below(item) if isinstance(item, (dict, list)) else SELF
        return found

    return emit


def _list(schema: Definition) -> Emit:
    if schema.list_type not in ("map", "set"):
        return _leaf
    name = schema.compiled(_namer)
    below = _below(schema.items) if schema.list_type == "map" else _leaf

    def emit(value: list[Any]) -> Trie:
        if not value:
            return SELF
        found: Trie = {MEMBER: SELF}
        for item in value:
            found[name(item)] = below(item) if isinstance(item, (dict, list)) else SELF
        return found

    return emit


def _below(schema: Definition | None) -> Emit:
    """Compiles when first called, as some definitions hold themselves."""
    if schema is None:
        return _leaf

    def emit(value: Any) -> Trie:
        return schema.compiled(_emitter)(value)

    return emit


def _namer(schema: Definition) -> Name:
    if schema.list_type != "map":
        return lambda item: f"v:{orjson.dumps(item).decode()}"
    defaults = {key: _default(schema, key) for key in schema.list_map_keys}
    if len(defaults) == 1:
        return _single_key(schema.list_map_keys[0], defaults)

    def name(item: Any) -> str:
        fields = item if isinstance(item, dict) else {}
        values = {}
        for key, default in defaults.items():
            value = fields.get(key)
            if value is None:
                value = default
            if value is not None:
                values[key] = value
        return f"k:{orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()}"

    return name


def _single_key(key: str, defaults: dict[str, Any]) -> Name:
    default = defaults[key]
    head = f'k:{{"{key}":'

    def name(item: Any) -> str:
        value = item.get(key) if isinstance(item, dict) else None
        if value is None:
            value = default
        return f"{head}{orjson.dumps(value).decode()}}}" if value is not None else "k:{}"

    return name


def _default(schema: Definition, key: str) -> Any:
    field = schema.items.field(key) if schema.items else None
    return (field.default if field else None) or DEFAULT_KEYS.get(key)
