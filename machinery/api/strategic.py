"""Strategic merge patch: a merge patch that knows which lists are merged by key, and obeys `$` directives.

Merge keys and strategies come from the schema. The given object is never changed. Directives: `$patch` (replace,
delete), `$deleteFromPrimitiveList/<field>`, `$setElementOrder/<field>`, `$retainKeys`.
"""

from __future__ import annotations

from typing import Any

from machinery.api.errors import BadRequest, Invalid
from machinery.api.resource import Object, Resource
from machinery.api.schema import Definition, definition

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategic_merge(doc: Object, patch: Any, resource: Resource) -> Object:
    """The object with the patch merged in; raises BadRequest or Invalid in upstream's words."""
    if not isinstance(patch, dict):
        raise BadRequest("json: cannot unmarshal array into Go value of type map[string]interface {}")
    return merge(doc, patch, definition(resource))


def merge(doc: Object, patch: Object, schema: Definition | None) -> Object:
    """As `strategic_merge` under any schema; without one lists are replaced."""
    match patch.get(_PATCH):
        case None:
            return _merge_map(doc, patch, schema)
        case "replace":
            return {key: _cleaned(value) for key, value in patch.items() if key != _PATCH}
        case "delete":
            return {}
        case other:
            raise BadRequest(f"unknown patch type: {other} in map: {_go_map(patch)}")


def _merge_map(doc: Object, patch: Object, schema: Definition | None) -> Object:
    merged = _retained(doc, patch)
    orders = {key[len(_ORDER) :]: value for key, value in patch.items() if key.startswith(_ORDER)}
    for key, value in patch.items():
        if key in (_PATCH, _RETAIN) or key.startswith(_ORDER):
            continue
        if key.startswith(_DELETE_PRIMITIVES):
            _delete_primitives(merged, key[len(_DELETE_PRIMITIVES) :], value, patch)
        elif value is None:
            merged.pop(key, None)
        else:
            field = schema.field(key) if schema else None
            merged[key] = _merge_value(merged.get(key), value, field, key)
    for key, order in orders.items():
        items = merged.get(key)
        if isinstance(items, list) and isinstance(order, list):
            field = schema.field(key) if schema else None
            merge_key = field.patch_merge_key if field else ""
            merged[key] = _ordered(items, order, doc.get(key) or [], merge_key)
    return merged


def _retained(doc: Object, patch: Object) -> Object:
    keys = patch.get(_RETAIN)
    if keys is None:
        return dict(doc)
    if not isinstance(keys, list):
        raise BadRequest("unexpected type for $retainKeys")
    for key in patch:
        if not key.startswith("$") and patch[key] is not None and key not in keys:
            raise BadRequest("$retainKeys list doesn't contain all the fields present in the patch")
    return {key: value for key, value in doc.items() if key in keys}


def _delete_primitives(merged: Object, key: str, gone: Any, patch: Object) -> None:
    if not isinstance(gone, list):
        raise BadRequest("unexpected type for $deleteFromPrimitiveList")
    items = merged.get(key)
    if isinstance(items, list):
        kept = [item for item in items if item not in gone]
        if kept or key in patch:
            merged[key] = kept
        else:
            del merged[key]


def _merge_value(old: Any, new: Any, field: Definition | None, key: str) -> Any:
    if isinstance(new, dict):
        if isinstance(old, dict) and not (field and "replace" in field.patch_strategies):
            return merge(old, new, field)
        # Upstream drops a map with a directive where there is nothing that the directive could change.
        return {} if _PATCH in new else merge({}, new, field)
    if isinstance(new, list):
        merges = field is not None and "merge" in field.patch_strategies
        if not merges or field is None:
            return [_cleaned(item) for item in new]
        kept = old if isinstance(old, list) else []
        if any(isinstance(item, dict) for item in (*new, *kept)):
            return _merge_objects(kept, new, field, key)
        both = [*kept, *(item for at, item in enumerate(new) if item not in kept and item not in new[:at])]
        return _ordered(both, new, kept, "")
    return new


def _merge_objects(old: list[Any], new: list[Any], field: Definition, key: str) -> list[Any]:
    merge_key, items = field.patch_merge_key, field.items
    if not merge_key:
        raise BadRequest("cannot merge lists without merge key")
    if any(isinstance(item, dict) and item.get(_PATCH) == "replace" for item in new):
        return [_cleaned(item) for item in new if not (isinstance(item, dict) and item.get(_PATCH) == "replace")]
    for item in new:
        if not isinstance(item, dict):
            raise BadRequest(f"unexpected item in list {key}")
        if merge_key not in item:
            raise _without_key(item, merge_key)
    gone = [item for item in new if item.get(_PATCH) == "delete"]
    merged = [one for one in old if not any(_same(one, item, merge_key) for item in gone)]
    for item in new:
        if item in gone:
            continue
        at = next((at for at, one in enumerate(merged) if _same(one, item, merge_key)), None)
        if at is None:
            merged.append(merge({}, item, items))
        else:
            merged[at] = merge(merged[at], item, items)
    return _ordered(merged, [item for item in new if item not in gone], old, merge_key)


def _without_key(item: Object, merge_key: str) -> Invalid:
    return Invalid(f"map: {_go_map(item)} does not contain declared merge key: {merge_key}")


def _go_map(value: Any) -> str:
    """A value as Go prints it."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_go_map(item)}' for key, item in sorted(value.items()))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_go_map, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def _same(left: Any, right: Object, merge_key: str) -> bool:
    return isinstance(left, dict) and merge_key in left and bool(left[merge_key] == right[merge_key])


def _ordered(items: list[Any], order: list[Any], before: list[Any], merge_key: str) -> list[Any]:
    """Items that the order names stand in its order; others keep their place among them as they stood before."""

    def identity(item: Any) -> Any:
        found = item.get(merge_key) if isinstance(item, dict) else item
        # What no list can be keyed by has no place of its own.
        return found if _hashable(found) else None

    wanted = [identity(item) for item in order]
    named = sorted((item for item in items if identity(item) in wanted), key=lambda item: wanted.index(identity(item)))
    others = [item for item in items if identity(item) not in wanted]
    places = {identity(item): at for at, item in enumerate(before) if _hashable(identity(item))}
    out: list[Any] = []
    while named and others:
        mine, other = places.get(identity(named[0])), places.get(identity(others[0]))
        # What only the server has goes first where it is known to have stood before the patch's next item.
        is_after = mine is not None and other is not None and other < mine
        out.append(others.pop(0) if is_after else named.pop(0))
    return [*out, *named, *others]


def _hashable(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | None)


def _cleaned(value: Any) -> Any:
    """The value without directives, null fields and their items, as it is set where nothing was before."""
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items() if item is not None and not key.startswith("$")}
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return value
