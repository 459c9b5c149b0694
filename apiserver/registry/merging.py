"""The two moves of server-side apply: merging a configuration in, and taking out what it named no longer. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from apiserver.registry.fieldset import is_member
from apiserver.registry.wholeset import Trie, element, form_of_list, form_of_map, namer
from machinery.api.schema import Definition

Merge = Callable[[Any, Any], Any]


class _Merges(NamedTuple):
    """What merges a configuration's value into the live one by one schema: an object, and a list."""

    of_map: Merge
    of_list: Merge


def merged(live: Any, config: Any, schema: Definition | None) -> Any:
    """`live` with all that `config` says; lists with keys item by item, everything atomic as a whole."""
    if schema is None or not isinstance(config, (dict, list)):
        return config
    of_map, of_list = schema.compiled(_merges)
    return of_map(live, config) if isinstance(config, dict) else of_list(live, config)


def _merges(schema: Definition) -> _Merges:
    of_map = _map_merge(schema) if schema.compiled(form_of_map) == "map" else _replaced
    match schema.compiled(form_of_list):
        case "keyed":
            return _Merges(of_map, _items_merge(schema))
        case "set":
            return _Merges(of_map, _union)
    return _Merges(of_map, _replaced)


def _replaced(live: Any, config: Any) -> Any:
    return config


def _union(live: Any, config: list[Any]) -> list[Any]:
    return [*live, *(item for item in config if item not in live)] if isinstance(live, list) else config


def _map_merge(schema: Definition) -> Merge:
    def merge(live: Any, config: dict[str, Any]) -> Any:
        if not isinstance(live, dict):
            return config
        result = {**live, **config}
        for key, value in config.items():
            kind = type(value)
            # Most are plain values, which need no look at the schema.
            if (kind is dict or kind is list) and key in live:
                below = schema.field(key)
                if below is not None:
                    merges = below.compiled(_merges)
                    result[key] = (merges.of_map if kind is dict else merges.of_list)(live[key], value)
        return result

    return merge


def _items_merge(schema: Definition) -> Merge:
    name, items = schema.compiled(namer), schema.items
    merge = items.compiled(_merges).of_map if items is not None else _replaced

    def merge_items(live: Any, config: list[Any]) -> list[Any]:
        """The live items that the configuration does not name keep their places before the next one that it names."""
        if not isinstance(live, list):
            return config
        there = {name(item): item for item in live}
        named = [(name(item), item) for item in config]
        ahead = {path for path, _ in named}
        result: list[Any] = []
        rest = iter([*there.items()])
        pending = next(rest, None)
        for path, item in named:
            while pending is not None and pending[0] not in ahead:
                result.append(pending[1])
                pending = next(rest, None)
            if pending is not None and pending[0] == path:
                pending = next(rest, None)
            result.append(merge(there[path], item) if path in there and type(item) is dict else item)
        while pending is not None:
            if pending[0] not in ahead:
                result.append(pending[1])
            pending = next(rest, None)
        return result

    return merge_items


def pruned(value: Any, last: Trie, owned: Trie, schema: Definition | None) -> Any:
    """`value` without the fields of `last` that nobody in `owned` has."""
    if isinstance(value, dict):
        result = dict(value)
        for path, node in last.items():
            key = path.removeprefix("f:")
            if not path.startswith("f:") or key not in result:
                continue
            if is_member(node) and path not in owned:
                del result[key]
            elif node:
                below = schema.field(key) if schema else None
                result[key] = pruned(result[key], node, owned.get(path, {}), below)
        return result
    if isinstance(value, list) and schema is not None and schema.list_type in ("map", "set"):
        kept = []
        for item in value:
            path = element(item, schema)
            node = last.get(path)
            if node is None:
                kept.append(item)
            elif is_member(node) and path not in owned:
                continue
            else:
                kept.append(pruned(item, node, owned.get(path, {}), schema.items))
        return kept
    return value
