"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386). The given document is never changed."""

from __future__ import annotations

from typing import Any

import orjson

from machinery.api.decoding import nests_too_deep
from machinery.api.errors import BadRequest, Invalid, RequestEntityTooLarge
from machinery.api.resource import Object

_MOST_COPIED = 3 * 1024 * 1024
_REJECTED = "the server rejected our request due to an error in our request"


class _CannotApply(Exception):
    """An operation does not fit the document; the API answers all of them with the same words."""


def merge_patch(doc: Object, patch: Any) -> Object:
    """The document with the patch merged in: null removes, objects merge, all else replaces."""
    if not isinstance(patch, dict):
        raise BadRequest("Invalid JSON Patch")
    merged = _merge(doc, patch)
    return merged if isinstance(merged, dict) else {}


def json_patch(doc: Object, patch: Any) -> Object:
    """The document after all operations in order; raises Invalid if one of them fails."""
    if patch is None:
        return doc
    if not isinstance(patch, list) or not all(isinstance(operation, dict | None) for operation in patch):
        raise BadRequest("Invalid JSON Patch")
    if len(patch) > 10000:
        said = f"The allowed maximum operations in a JSON patch is 10000, got {len(patch)}"
        raise RequestEntityTooLarge(f"Request entity too large: {said}")
    result: Any = _copy(doc)
    copied = 0
    try:
        for operation in (each or {} for each in patch):
            if operation.get("op") == "copy":
                # Each copy may hold all those before it.
                copied += _size(_get(result, _tokens(operation.get("from"))))
                if copied > _MOST_COPIED:
                    raise _CannotApply("copy")
            result = _operate(result, operation)
    except _CannotApply as error:
        raise Invalid(_REJECTED) from error
    if not isinstance(result, dict) or nests_too_deep(result):
        raise Invalid(_REJECTED)
    return result


def _size(value: Any) -> int:
    try:
        return len(orjson.dumps(value))
    except (orjson.JSONEncodeError, RecursionError):
        # Deeper than can be written is larger than may be copied.
        return _MOST_COPIED + 1


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def _operate(doc: Any, operation: dict[str, Any]) -> Any:
    kind, path = operation.get("op"), operation.get("path")
    if not isinstance(path, str):
        raise _CannotApply("path")
    match kind:
        case "add":
            return _add(doc, _tokens(path), _copy(operation.get("value")))
        case "remove":
            return _remove(doc, _tokens(path))
        case "replace":
            tokens = _tokens(path)
            _get(doc, tokens)
            return _replace(doc, tokens, _copy(operation.get("value")))
        case "move":
            source = _tokens(operation.get("from"))
            value = _get(doc, source)
            return _add(_remove(doc, source), _tokens(path), value)
        case "copy":
            return _add(doc, _tokens(path), _copy(_get(doc, _tokens(operation.get("from")))))
        case "test":
            if not _equal(_get_or_none(doc, _tokens(path)), operation.get("value")):
                raise _CannotApply("test")
            return doc
        case _:
            raise _CannotApply("op")


def _tokens(path: Any) -> list[str]:
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise _CannotApply("path")
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]


def _get(doc: Any, tokens: list[str]) -> Any:
    for token in tokens:
        if isinstance(doc, dict) and token in doc:
            doc = doc[token]
        elif isinstance(doc, list):
            doc = doc[_index(doc, token, len(doc))]
        else:
            raise _CannotApply(token)
    return doc


def _get_or_none(doc: Any, tokens: list[str]) -> Any:
    try:
        return _get(doc, tokens)
    except _CannotApply:
        # A test for null passes where the value is absent.
        if tokens:
            _get(doc, tokens[:-1])
        return None


def _add(doc: Any, tokens: list[str], value: Any) -> Any:
    if not tokens:
        return value
    parent, last = _get(doc, tokens[:-1]), tokens[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(parent, last, len(parent) + 1), value)
    else:
        raise _CannotApply(last)
    return doc


def _replace(doc: Any, tokens: list[str], value: Any) -> Any:
    if not tokens:
        return value
    parent, last = _get(doc, tokens[:-1]), tokens[-1]
    parent[last if isinstance(parent, dict) else _index(parent, last, len(parent))] = value
    return doc


def _remove(doc: Any, tokens: list[str]) -> Any:
    if not tokens:
        raise _CannotApply("root")
    parent, last = _get(doc, tokens[:-1]), tokens[-1]
    if isinstance(parent, dict) and last in parent:
        del parent[last]
    elif isinstance(parent, list):
        del parent[_index(parent, last, len(parent))]
    else:
        raise _CannotApply(last)
    return doc


def _index(items: list[Any], token: str, end: int) -> int:
    negative = token.startswith("-")
    digits = token[1:] if negative else token
    if not digits.isascii() or not digits.isdigit() or (len(digits) > 1 and digits[0] == "0"):
        raise _CannotApply(token)
    # The API server's library counts negative indices from the end, beyond the RFC.
    index = end - int(digits) if negative else int(digits)
    if not 0 <= index < end:
        raise _CannotApply(token)
    return index


def _equal(left: Any, right: Any) -> bool:
    """JSON equality: unlike Python's, true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
