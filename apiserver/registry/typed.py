"""What an applied configuration has against its kind's schema, in the words of upstream's structured merge. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from apiserver.registry.fieldset import shown
from apiserver.registry.wholeset import element, namer
from machinery.api.schema import Definition
from machinery.api.strategic import go_text, go_type

Complaint = tuple[str, str]
"""The path of a value and what is wrong with it."""

Fits = Callable[[Any], bool]

_PLAIN = {"string": str, "integer": int, "boolean": bool}
_SCALAR_TYPES = (str, int, float, bool)
_NO_KEYS = "k:{}"
"""The path element of an item that has none of its list's keys."""
_ANY_SCALAR = ("Quantity", "IntOrString", "Time", "MicroTime")


def typed_errors(config: Any, schema: Definition) -> str:
    """All that is wrong, as one text; empty where nothing is."""
    if schema.compiled(_fits)(config):
        return ""
    found = [f"{path}: {said}" if path else said for path, said in _errors(config, schema, "")]
    return found[0] if len(found) == 1 else "\n  ".join(["errors:", *found]) if found else ""


def _fits(schema: Definition) -> Fits:
    """Tells without words, as most configurations need none, whether a value has nothing against it for certain."""
    if schema.preserves_unknown_fields:
        return _anything
    if schema.field_names or schema.values is not None:
        return _fits_map(schema)
    if schema.type == "array":
        return _fits_list(schema)
    if schema.type in ("", "object"):
        return _anything
    return lambda value: not any(_scalar_errors(value, schema, ""))


def _anything(value: Any) -> bool:
    return True


def _fits_map(schema: Definition) -> Fits:
    # Compiled at a field's first use, as some definitions hold themselves.
    known: dict[str, tuple[type | None, Fits]] = {}

    def learn(key: str) -> tuple[type | None, Fits] | None:
        below = schema.field(key)
        if below is None:
            return None
        learned = (_PLAIN.get(below.type), below.compiled(_fits))
        if key in schema.raw.get("properties", ()):
            known[key] = learned
        return learned

    def fits(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for key, item in value.items():
            field = known.get(key) or learn(key)
            if field is None:
                return False
            if type(item) is not field[0] and item is not None and not field[1](item):
                return False
        return True

    return fits


def _fits_list(schema: Definition) -> Fits:
    fits_item = schema.items.compiled(_fits) if schema.items is not None else _anything
    if schema.list_type not in ("map", "set"):
        return lambda value: type(value) is list and all(item is None or fits_item(item) for item in value)
    name = schema.compiled(namer)
    types = (dict,) if schema.list_type == "map" else _SCALAR_TYPES

    def fits(value: Any) -> bool:
        if type(value) is not list:
            return False
        names = {name(item) for item in value if type(item) in types}
        return len(names) == len(value) and _NO_KEYS not in names and all(map(fits_item, value))

    return fits


def _errors(value: Any, schema: Definition | None, path: str) -> Iterator[Complaint]:
    if schema is None or value is None or schema.preserves_unknown_fields:
        return
    if schema.field_names or schema.values is not None:
        yield from _map_errors(value, schema, path)
    elif schema.type == "array":
        yield from _list_errors(value, schema, path)
    elif schema.type not in ("", "object"):
        yield from _scalar_errors(value, schema, path)


def _map_errors(value: Any, schema: Definition, path: str) -> Iterator[Complaint]:
    if not isinstance(value, dict):
        yield path, f"expected map, got &{{{go_text(value)}}}"
        return
    for key, item in value.items():
        below = schema.field(key)
        if below is None:
            yield f"{path}.{key}", "field not declared in schema"
            # Upstream looks no further in this map.
            return
        yield from _errors(item, below, f"{path}.{key}")


def _list_errors(value: Any, schema: Definition, path: str) -> Iterator[Complaint]:
    if not isinstance(value, list):
        yield path, f"expected list, got &{{{go_text(value)}}}"
        return
    seen: set[str] = set()
    for at, item in enumerate(value):
        where = f"[{at}]"
        if schema.list_type in ("map", "set"):
            if why := _why_no_element(item, schema):
                yield path, f"element {at}: {why}"
                return
            name = element(item, schema)
            where = shown(name)
            if name in seen:
                yield path, f"duplicate entries for key {where}"
            seen.add(name)
        yield from _errors(item, schema.items, path + where)


def _why_no_element(item: Any, schema: Definition) -> str:
    """Why the item of a list that is a map or a set has no name in it."""
    if schema.list_type == "set":
        if isinstance(item, dict):
            return "associative list without keys has an element that's a map type"
        if isinstance(item, list):
            return "not supported: associative list with lists as elements"
        return "associative list without keys has an element that's an explicit null" if item is None else ""
    if item is None:
        return "associative list with keys may not have a null element"
    if not isinstance(item, dict):
        return "associative list with keys may not have non-map elements"
    if element(item, schema) == _NO_KEYS:
        keys = " ".join(f'"{key}"' for key in schema.list_map_keys)
        return (
            f"associative list with keys has an element that omits all key fields [{keys}] "
            "(and doesn't have default values for any key fields)"
        )
    return ""


def _scalar_errors(value: Any, schema: Definition, path: str) -> Iterator[Complaint]:
    is_any = schema.type == "string" and (
        schema.raw.get("format") not in (None, "", "byte") or schema.name.rpartition(".")[2] in _ANY_SCALAR
    )
    if is_any:
        if isinstance(value, dict | list):
            yield path, f"expected any scalar, got &{{{go_text(value)}}}"
        return
    fits, say = _SCALARS.get(schema.type, (lambda value: True, go_text))
    if not fits(value):
        yield path, say(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_SCALARS: dict[str, tuple[Callable[[Any], bool], Callable[[Any], str]]] = {
    "string": (
        lambda value: isinstance(value, str),
        lambda value: f"expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}",
    ),
    "integer": (_is_number, lambda value: f"expected numeric (int or float), got {go_type(value)}"),
    "number": (_is_number, lambda value: f"expected numeric (int or float), got {go_type(value)}"),
    "boolean": (lambda value: isinstance(value, bool), lambda value: f"expected boolean, got &{{{go_text(value)}}}"),
}
"""What a value must be, and what is said of one that isn't."""


def _go_syntax(value: Any) -> str:
    """A value as Go writes it in a program."""
    if isinstance(value, dict):
        inner = ", ".join(f"{_go_syntax(key)}:{_go_syntax(item)}" for key, item in sorted(value.items()))
        return f"map[string]interface {{}}{{{inner}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(map(_go_syntax, value))}}}"
    if isinstance(value, str):
        return orjson.dumps(value).decode()
    return "interface {}(nil)" if value is None else go_text(value)
