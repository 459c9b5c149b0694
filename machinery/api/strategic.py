"""Strategic merge patch: a merge patch that knows which lists are merged by key, and obeys `$` directives.

Merge keys and strategies come from the schema. The given object is never changed. Directives: `$patch` (replace,
delete), `$deleteFromPrimitiveList/<field>`, `$setElementOrder/<field>`, `$retainKeys`.
"""

from __future__ import annotations

from typing import Any

from machinery.api.errors import BadRequest, Invalid, UnknownError
from machinery.api.resource import Object, Resource
from machinery.api.schema import Definition, definition

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategic_merge(doc: Object, patch: Any, resource: Resource) -> Object:
    """The object with the patch merged in; raises BadRequest or Invalid in upstream's words."""
    return merge(doc, patch, definition(resource))


def merge(doc: Object, patch: Object, schema: Definition | None) -> Object:
    """As `strategic_merge` under any schema; without one lists are replaced."""
    if _PATCH not in patch:
        return _merge_map(doc, patch, schema)
    match patch[_PATCH]:
        case "replace":
            return {key: _cleaned(value) for key, value in patch.items() if key != _PATCH}
        case "delete":
            return {}
        case other:
            raise _unknown_directive(other, patch)


def _unknown_directive(directive: Any, patch: Object) -> UnknownError:
    if isinstance(directive, str):
        said = directive
    else:
        said = f"%!s({go_type(directive)}={go_text(directive)})" if directive is not None else "%!s(<nil>)"
    return UnknownError(f"unknown patch type: {said} in map: {go_text(patch)}")


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
            _merge_field(merged, key, value, schema)
    for key, order in orders.items():
        if not isinstance(order, list):
            raise UnknownError(f"expected a []interface {{}}, but received a {go_type(order)}")
        items = merged.get(key)
        if isinstance(items, list):
            field = schema.field(key) if schema else None
            merge_key = field.patch_merge_key if field else ""
            _check_order(patch.get(key) or [], order, merge_key)
            merged[key] = _ordered(items, order, doc.get(key) or [], merge_key)
    return merged


def _retained(doc: Object, patch: Object) -> Object:
    keys = patch.get(_RETAIN)
    if keys is None:
        return dict(doc)
    is_sound = isinstance(keys, list) and all(
        key in keys for key, value in patch.items() if value is not None and not key.startswith("$")
    )
    if not is_sound:
        raise BadRequest("invalid patch format of retainKeys")
    return {key: value for key, value in doc.items() if key in keys}


def _delete_primitives(merged: Object, key: str, gone: Any, patch: Object) -> None:
    items = merged.get(key)
    # What is no list names nothing that could be deleted.
    if isinstance(items, list) and isinstance(gone, list):
        kept = [item for item in items if item not in gone]
        if kept or key in patch:
            merged[key] = kept
        else:
            del merged[key]


def _merge_field(merged: Object, key: str, new: Any, schema: Definition | None) -> None:
    old = merged.get(key)
    if key in merged and go_type(old) == go_type(new):
        merged[key] = _merge_value(old, new, schema.field(key) if schema else None, key)
    elif isinstance(new, dict) and _PATCH in new:
        # Where nothing is there is nothing that the directive could change.
        merged.pop(key, None)
    else:
        merged[key] = _cleaned(new)


def _merge_value(old: Any, new: Any, field: Definition | None, key: str) -> Any:
    """The two values, which are of one type, as one."""
    if isinstance(new, dict):
        return _cleaned(new) if field and "replace" in field.patch_strategies else merge(old, new, field)
    if not isinstance(new, list):
        return new
    if field is None or "merge" not in field.patch_strategies:
        return [_cleaned(item) for item in new]
    types = {go_type(item) for item in (*old, *new)}
    if "[]interface {}" in types:
        raise Invalid("the server rejected our request due to an error in our request")
    if len(types) > 1:
        raise UnknownError(f"list element types are not identical: {go_text([old, new])}")
    if types == {"map[string]interface {}"}:
        return _merge_objects(old, new, field, key)
    both = [*old, *(item for at, item in enumerate(new) if item not in old and item not in new[:at])]
    return _ordered(both, new, old, "")


def _check_order(items: list[Any], order: list[Any], merge_key: str) -> None:
    """Raises UnknownError where the patch's items do not come in the order that it gives for them."""
    if not isinstance(items, list) or not items or not order:
        return
    names = iter([item.get(merge_key) if isinstance(item, dict) else item for item in order])
    for item in items:
        if isinstance(item, dict) and _PATCH in item:
            continue
        wanted = item.get(merge_key) if isinstance(item, dict) else item
        if not any(name == wanted for name in names):
            expected = f"$setElementOrder list:\n{go_text(order)}\n"
            raise UnknownError(f"The order in patch list:\n{go_text(items)}\n doesn't match {expected}")


def _merge_objects(old: list[Any], new: list[Any], field: Definition, key: str) -> list[Any]:
    merge_key, items = field.patch_merge_key, field.items
    if not merge_key:
        raise UnknownError(f"cannot merge lists without merge key for {key}")
    for item in new:
        _check_item(item, merge_key)
    if any(item.get(_PATCH) == "replace" for item in new):
        return [_cleaned(item) for item in new if _PATCH not in item]
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


def _check_item(item: Object, merge_key: str) -> None:
    if _PATCH in item and item[_PATCH] not in ("delete", "replace"):
        if item[_PATCH] == "merge":
            raise UnknownError("merging lists cannot yet be specified in the patch")
        raise _unknown_directive(item[_PATCH], item)
    if item.get(_PATCH) != "replace" and merge_key not in item:
        raise UnknownError(f"map: {go_text(item)} does not contain declared merge key: {merge_key}")


def go_type(value: Any) -> str:
    """What Go calls the type of a value that was read from JSON."""
    if value is None:
        return "<nil>"
    return next(name for kind, name in _GO_TYPES if isinstance(value, kind))


_GO_TYPES: tuple[tuple[type, str], ...] = (
    (dict, "map[string]interface {}"),
    (list, "[]interface {}"),
    (str, "string"),
    (bool, "bool"),
    (int, "int64"),
    (float, "float64"),
)


def go_text(value: Any) -> str:
    """A value as Go prints it."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go_text(item)}' for key, item in sorted(value.items()))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(go_text, value))}]"
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
    """The value without directives and what bears them, and without nulls: as it is set where nothing was before."""
    if isinstance(value, dict):
        return {
            key: _cleaned(item)
            for key, item in value.items()
            if item is not None and not key.startswith("$") and not _bears_directive(item)
        }
    if isinstance(value, list):
        return [_cleaned(item) for item in value if not _bears_directive(item)]
    return value


def _bears_directive(value: Any) -> bool:
    return isinstance(value, dict) and _PATCH in value
