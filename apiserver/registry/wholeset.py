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
Compiler = Callable[[Definition], Emit]
Name = Callable[[Any], str]


def whole(value: Any, schema: Definition | None) -> Trie:
    """The value as a member, with everything below it."""
    return schema.compiled(_whole)(value) if schema is not None and isinstance(value, (dict, list)) else SELF


def configured(value: Any, schema: Definition | None) -> Trie:
    """The fields that an applied configuration names: its leaves, and the items of lists that have keys."""
    return schema.compiled(_naming)(value) if schema is not None and isinstance(value, (dict, list)) else SELF


def form_of(schema: Definition | None, value: Any) -> str:
    """map, keyed, set, or leaf for scalars and all that is replaced as a whole."""
    if schema is None:
        return "leaf"
    if isinstance(value, dict):
        return schema.compiled(_form_of_map)
    return schema.compiled(_form_of_list) if isinstance(value, list) else "leaf"


def _form_of_map(schema: Definition) -> str:
    return "map" if (schema.field_names or schema.values is not None) and schema.map_type != "atomic" else "leaf"


def _form_of_list(schema: Definition) -> str:
    return {"map": "keyed", "set": "set"}.get(schema.list_type, "leaf")


def keyed(value: Any, schema: Definition) -> dict[str, Any]:
    """The items of a list by their path element."""
    if not isinstance(value, list):
        return {}
    name = schema.compiled(_namer)
    return {name(item): item for item in value}


def element(item: Any, schema: Definition) -> str:
    """The path element of a list's item."""
    return schema.compiled(_namer)(item)


def _whole(schema: Definition) -> Emit:
    return _compiled(schema, _whole, {MEMBER: SELF})


def _naming(schema: Definition) -> Emit:
    # Who names a field has not the map or list around it.
    return _compiled(schema, _naming, {})


def _compiled(schema: Definition, compiler: Compiler, begin: Trie) -> Emit:
    """What emits sets by this schema: below by `compiler`, each map's and list's set beginning with `begin`."""
    of_map: Emit = _leaf
    if schema.compiled(_form_of_map) == "map":
        of_map = _struct(schema, compiler, begin) if schema.field_names else _open_map(schema, compiler, begin)
    of_list = _list(schema, compiler, begin)
    return lambda value: of_map(value) if isinstance(value, dict) else of_list(value)


def _leaf(value: Any) -> Trie:
    return SELF


def _struct(schema: Definition, compiler: Compiler, begin: Trie) -> Emit:
    known: dict[str, tuple[str, Emit]] = {}

    def emit(value: dict[str, Any]) -> Trie:
        if not value:
            return SELF
        found = dict(begin)
        for key, item in value.items():
            field = known.get(key)
            if field is None:
                field = (f"f:{key}", _below(schema.field(key), compiler))
                if key in schema.raw["properties"]:
                    # Keys that no schema names could be without number.
                    known[key] = field
            found[field[0]] = field[1](item) if isinstance(item, (dict, list)) else SELF
        return found

    return emit


def _open_map(schema: Definition, compiler: Compiler, begin: Trie) -> Emit:
    below = _below(schema.values, compiler)

    def emit(value: dict[str, Any]) -> Trie:
        if not value:
            return SELF
        found = dict(begin)
        for key, item in value.items():
            found[f"f:{key}"] = below(item) if isinstance(item, (dict, list)) else SELF
        return found

    return emit


def _list(schema: Definition, compiler: Compiler, begin: Trie) -> Emit:
    if schema.list_type not in ("map", "set"):
        return _leaf
    name = schema.compiled(_namer)
    below = _below(schema.items, compiler) if schema.list_type == "map" else None

    def emit(value: list[Any]) -> Trie:
        if not value:
            return SELF
        found = dict(begin)
        for item in value:
            if below is None:
                found[name(item)] = SELF
            else:
                # The item itself is a member, also of what is named.
                found[name(item)] = below(item) if begin else {MEMBER: SELF, **below(item)}
        return found

    return emit


def _below(schema: Definition | None, compiler: Compiler) -> Emit:
    """Compiles when first called, as some definitions hold themselves."""
    if schema is None:
        return _leaf

    def emit(value: Any) -> Trie:
        return schema.compiled(compiler)(value)

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
