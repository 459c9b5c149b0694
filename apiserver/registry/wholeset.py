"""The set of all fields of a value: what a create, and whatever a write adds, gives to its manager. Pure.

It is made for every new object, so what emits it is compiled from the schema at first use: two functions a definition
that know its fields' paths and what emits those. The form of the set is `fieldset`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from machinery.api.schema import Definition

Trie = dict[str, Any]
SELF: Trie = {}
MEMBER = "."
DEFAULT_KEYS = {"protocol": "TCP"}
"""Defaults of list keys that the published schema does not tell."""

_LONGEST_KNOWN = 253
"""Names are no longer than that; longer texts would keep much memory."""

Emit = Callable[[Any], Trie]
Name = Callable[[Any], str]


class Emits(NamedTuple):
    """What emits the set of a value by one schema: of an object, and of a list."""

    of_map: Emit
    of_list: Emit


Compiler = Callable[[Definition], Emits]


def whole(value: Any, schema: Definition | None) -> Trie:
    """The value as a member, with everything below it."""
    return _emitted(value, schema, _whole)


def configured(value: Any, schema: Definition | None) -> Trie:
    """The fields that an applied configuration names: its leaves, and the items of lists that have keys."""
    return _emitted(value, schema, _naming)


def _emitted(value: Any, schema: Definition | None, compiler: Compiler) -> Trie:
    if schema is None or not isinstance(value, (dict, list)):
        return SELF
    emits = schema.compiled(compiler)
    return emits.of_map(value) if isinstance(value, dict) else emits.of_list(value)


def form_of(schema: Definition | None, value: Any) -> str:
    """map, keyed, set, or leaf for scalars and all that is replaced as a whole."""
    if schema is None:
        return "leaf"
    if isinstance(value, dict):
        return schema.compiled(form_of_map)
    return schema.compiled(form_of_list) if isinstance(value, list) else "leaf"


def form_of_map(schema: Definition) -> str:
    return "map" if (schema.field_names or schema.values is not None) and schema.map_type != "atomic" else "leaf"


def form_of_list(schema: Definition) -> str:
    return {"map": "keyed", "set": "set"}.get(schema.list_type, "leaf")


def keyed(value: Any, schema: Definition) -> dict[str, Any]:
    """The items of a list by their path element."""
    if not isinstance(value, list):
        return {}
    name = schema.compiled(namer)
    return {name(item): item for item in value}


def element(item: Any, schema: Definition) -> str:
    """The path element of a list's item."""
    return schema.compiled(namer)(item)


def _whole(schema: Definition) -> Emits:
    return _compiled(schema, _whole, {MEMBER: SELF})


def _naming(schema: Definition) -> Emits:
    # Who names a field has not the map or list around it.
    return _compiled(schema, _naming, {})


def _compiled(schema: Definition, compiler: Compiler, begin: Trie) -> Emits:
    """What emits sets by this schema: below by `compiler`, each map's and list's set beginning with `begin`."""
    of_map: Emit = _leaf
    if schema.compiled(form_of_map) == "map":
        of_map = _struct(schema, compiler, begin) if schema.field_names else _open_map(schema, compiler, begin)
    return Emits(of_map, _list(schema, compiler, begin))


def _leaf(value: Any) -> Trie:
    return SELF


_LEAVES = Emits(_leaf, _leaf)


def _struct(schema: Definition, compiler: Compiler, begin: Trie) -> Emit:
    # Compiled at a field's first use, as some definitions hold themselves.
    known: dict[str, tuple[str, Emit, Emit]] = {}

    def learn(key: str) -> tuple[str, Emit, Emit]:
        below = schema.field(key)
        learned = (f"f:{key}", *(below.compiled(compiler) if below is not None else _LEAVES))
        if key in schema.raw["properties"]:
            # Keys that no schema names could be without number.
            known[key] = learned
        return learned

    def emit(value: dict[str, Any]) -> Trie:
        if not value:
            return SELF
        found = begin.copy()
        for key, item in value.items():
            path, of_map, of_list = known.get(key) or learn(key)
            kind = type(item)
            found[path] = of_map(item) if kind is dict else of_list(item) if kind is list else SELF
        return found

    return emit


def _open_map(schema: Definition, compiler: Compiler, begin: Trie) -> Emit:
    of_map, of_list = schema.values.compiled(compiler) if schema.values is not None else _LEAVES

    def emit(value: dict[str, Any]) -> Trie:
        if not value:
            return SELF
        found = begin.copy()
        for key, item in value.items():
            kind = type(item)
            found[f"f:{key}"] = of_map(item) if kind is dict else of_list(item) if kind is list else SELF
        return found

    return emit


def _list(schema: Definition, compiler: Compiler, begin: Trie) -> Emit:
    if schema.list_type not in ("map", "set"):
        return _leaf
    name = schema.compiled(namer)
    is_keyed = schema.list_type == "map" and schema.items is not None
    of_map = schema.items.compiled(compiler).of_map if is_keyed and schema.items is not None else _leaf

    def emit(value: list[Any]) -> Trie:
        if not value:
            return SELF
        found = begin.copy()
        for item in value:
            below = of_map(item) if type(item) is dict else SELF
            # The item itself is a member, also of what is named.
            found[name(item)] = below if begin or not is_keyed else {MEMBER: SELF, **below}
        return found

    return emit


def namer(schema: Definition) -> Name:
    if schema.list_type != "map":
        return lambda item: f"v:{_text(item)}"
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
        if type(value) is str and len(value) <= _LONGEST_KNOWN:
            return _path(head, value)
        if value is None:
            value = default
        return f"{head}{_text(value)}}}" if value is not None else "k:{}"

    return name


@lru_cache(maxsize=4096)
def _path(head: str, text: str) -> str:
    """The same names come again in every set."""
    return f"{head}{_text(text)}}}"


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _default(schema: Definition, key: str) -> Any:
    field = schema.items.field(key) if schema.items else None
    return (field.default if field else None) or DEFAULT_KEYS.get(key)
