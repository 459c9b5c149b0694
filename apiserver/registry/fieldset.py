"""Sets of fields in the form in which managedFields keeps them, and what of an object they name. Pure.

A set is a trie of `f:name`, `k:{…}` and `v:…`. An empty node is a member itself, one with "." is a member that has
more below, any other only leads to members; None is the empty set. Tries are shared: never change one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from apiserver.registry.wholeset import MEMBER, SELF, Trie, form_of, keyed, whole
from machinery.api.schema import Definition


class _Absent:
    """What a comparison sees where a side has nothing, which is not the same as null."""


ABSENT: Final = _Absent()


def is_set(trie: Any) -> bool:
    """Whether the JSON is a set of fields; what clients and stores hand over may be anything."""
    if not isinstance(trie, dict):
        return False
    return all(_is_path(path) and is_set(below) for path, below in trie.items())


def _is_path(path: str) -> bool:
    kind, colon, rest = path.partition(":")
    if path == MEMBER or (kind == "f" and colon):
        return True
    try:
        value = orjson.loads(rest)
    except orjson.JSONDecodeError:
        return False
    return kind == "v" or (kind == "k" and isinstance(value, dict)) or (kind == "i" and isinstance(value, int))


def compare(old: Any, new: Any, schema: Definition | None) -> tuple[Trie | None, Trie | None]:
    """(fields added or modified, fields removed) between two states."""
    if old is ABSENT:
        return whole(new, schema), None
    if new is ABSENT:
        return None, whole(old, schema)
    if old == new:
        return None, None
    form = form_of(schema, new if _has(new) else old)
    if form == "map":
        return _compare_maps(old, new, schema)
    if form in ("keyed", "set"):
        return _compare_lists(old, new, schema)
    return _compare_leaves(old, new)


def _has(value: Any) -> bool:
    return value is not ABSENT and value is not None


def _compare_leaves(old: Any, new: Any) -> tuple[Trie | None, Trie | None]:
    return (None, SELF) if new is ABSENT else (SELF, None)


def _compare_maps(old: Any, new: Any, schema: Definition | None) -> tuple[Trie | None, Trie | None]:
    before, after = old if isinstance(old, dict) else {}, new if isinstance(new, dict) else {}
    if not before and not after:
        return _compare_leaves(old, new)
    changed: Trie = {}
    removed: Trie = {}
    for key, value in after.items():
        if key not in before:
            changed[f"f:{key}"] = whole(value, schema.field(key) if schema else None)
            continue
        left = before[key]
        # Most of what an update holds is what there was.
        if left is not value and left != value:
            _collect(f"f:{key}", compare(left, value, schema.field(key) if schema else None), changed, removed)
    for key, value in before.items():
        if key not in after:
            removed[f"f:{key}"] = whole(value, schema.field(key) if schema else None)
    return _finish(old, new, changed, removed)


def _compare_lists(old: Any, new: Any, schema: Definition | None) -> tuple[Trie | None, Trie | None]:
    assert schema is not None
    before, after = keyed(old, schema), keyed(new, schema)
    if not before and not after:
        return _compare_leaves(old, new)
    changed: Trie = {}
    removed: Trie = {}
    for path in {**before, **after}:
        below = compare(before.get(path, ABSENT), after.get(path, ABSENT), schema.items)
        _collect(path, below, changed, removed)
    return _finish(old, new, changed, removed)


def _collect(path: str, below: tuple[Trie | None, Trie | None], changed: Trie, removed: Trie) -> None:
    if below[0] is not None:
        changed[path] = below[0]
    if below[1] is not None:
        removed[path] = below[1]


def _finish(old: Any, new: Any, changed: Trie, removed: Trie) -> tuple[Trie | None, Trie | None]:
    return _node(changed, is_member=old is ABSENT), _node(removed, is_member=new is ABSENT)


def _node(below: Trie, *, is_member: bool) -> Trie | None:
    if not below:
        return SELF if is_member else None
    return {MEMBER: SELF, **below} if is_member else below


def is_member(node: Trie) -> bool:
    return not node or MEMBER in node


def union(left: Trie | None, right: Trie | None) -> Trie | None:
    if left is None or right is None or left is right:
        return right if left is None else left
    below: Trie = dict(_below(left))
    for path, node in _below(right):
        below[path] = union(below.get(path), node)
    return _node(below, is_member=is_member(left) or is_member(right))


def difference(left: Trie | None, right: Trie | None) -> Trie | None:
    """What of `left` is not a member of `right`."""
    if left is None or right is None:
        return left
    below: Trie = {}
    for path, node in _below(left):
        kept = difference(node, right.get(path)) if path in right else node
        if kept is not None:
            below[path] = kept
    return _node(below, is_member=is_member(left) and not is_member(right))


def intersection(left: Trie | None, right: Trie | None) -> Trie | None:
    if left is None or right is None:
        return None
    below: Trie = {}
    for path, node in _below(left):
        both = intersection(node, right.get(path)) if path in right else None
        if both is not None:
            below[path] = both
    return _node(below, is_member=is_member(left) and is_member(right))


def root_difference(left: Trie | None, right: Trie | None) -> Trie | None:
    """As `difference` for whole sets, whose root is never a member."""
    if not left or not right:
        return left or None
    return _rooted(difference({"f:": left}, {"f:": right}))


def root_union(left: Trie | None, right: Trie | None) -> Trie | None:
    """As `union` for whole sets."""
    if not left or not right:
        return left or right or None
    return {key: value for key, value in (union(left, right) or {}).items() if key != MEMBER} or None


def root_intersection(left: Trie | None, right: Trie | None) -> Trie | None:
    """As `intersection` for whole sets."""
    if not left or not right:
        return None
    return _rooted(intersection({"f:": left}, {"f:": right}))


def _rooted(found: Trie | None) -> Trie | None:
    return (found or {}).get("f:") or None


def _below(node: Trie) -> Iterable[tuple[str, Trie]]:
    return ((path, child) for path, child in node.items() if path != MEMBER)


def without(trie: Trie | None, paths: Iterable[tuple[str, ...]]) -> Trie | None:
    """The set without whatever lies at or below these paths of field names."""
    for path in paths:
        if trie is None:
            return None
        trie = _cut(trie, path)
    return trie or None


def _cut(node: Trie, path: tuple[str, ...]) -> Trie | None:
    key = f"f:{path[0]}"
    if key not in node:
        return node
    rest = {name: child for name, child in node.items() if name != key}
    if len(path) > 1 and (kept := _cut(node[key], path[1:])) is not None:
        return {**rest, key: kept}
    return rest or None


def members(trie: Trie | None, prefix: str = "") -> Iterator[str]:
    """The paths of all members, as messages write them: `.spec.containers[name="a"].image`.

    Those of one level come before what lies below any of it.
    """
    below = sorted(_below(trie or {}), key=lambda pair: pair[0])
    yield from (prefix + shown(path) for path, node in below if is_member(node))
    for path, node in below:
        yield from members(node, prefix + shown(path)) if node else ()


def shown(path: str) -> str:
    """A path element as messages write it."""
    kind, _, text = path.partition(":")
    if kind == "f":
        return f".{text}"
    if kind == "v":
        return f"[={text}]"
    if kind == "k":
        pairs = orjson.loads(text)
        return "[" + ",".join(f"{key}={orjson.dumps(pairs[key]).decode()}" for key in sorted(pairs)) + "]"
    return f"[{text}]"
