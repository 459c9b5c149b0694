"""The two moves of server-side apply: merging a configuration in, and taking out what it named no longer. Pure."""

from __future__ import annotations

from typing import Any

from apiserver.registry.fieldset import is_member
from apiserver.registry.wholeset import Trie, element, form_of
from machinery.api.schema import Definition


def merged(live: Any, config: Any, schema: Definition | None) -> Any:
    """`live` with all that `config` says; lists with keys item by item, everything atomic as a whole."""
    if not isinstance(config, (dict, list)):
        return config
    form = form_of(schema, config)
    if form == "map" and isinstance(live, dict) and isinstance(config, dict):
        assert schema is not None
        result = dict(live)
        for key, value in config.items():
            # Most are plain values, which need no look at the schema.
            is_merged = isinstance(value, (dict, list)) and key in live
            result[key] = merged(live[key], value, schema.field(key)) if is_merged else value
        return result
    if form == "keyed" and isinstance(live, list) and isinstance(config, list):
        assert schema is not None
        return _merged_items(live, config, schema)
    if form == "set" and isinstance(live, list):
        return [*live, *(item for item in config if item not in live)]
    return config


def _merged_items(live: list[Any], config: list[Any], schema: Definition) -> list[Any]:
    """The live items that the configuration does not name keep their places before the next one that it names."""
    there = {element(item, schema): item for item in live}
    named = [(element(item, schema), item) for item in config]
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
        result.append(merged(there[path], item, schema.items) if path in there else item)
    while pending is not None:
        if pending[0] not in ahead:
            result.append(pending[1])
        pending = next(rest, None)
    return result


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
