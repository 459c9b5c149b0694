"""A patch's body, read: what it holds, what strict validation has against it, and Go's words where it is no patch.

Which words depends on whether fields are validated at all: only then does upstream read the patch before it applies it.
"""

from __future__ import annotations

from typing import Any

import orjson

from machinery.api.decoding import compact_json, is_too_deep, may_repeat_keys, nests_too_deep, with_duplicates
from machinery.api.errors import BadRequest
from machinery.api.type_errors import complaints, json_kind
from machinery.client.client import PatchType
from machinery.structs import Struct

_OPERATION = ("op", "path", "from", "value")
_READ_AS = {
    PatchType.JSON: ("[]handlers.jsonPatchOp", "jsonpatch.Patch"),
    PatchType.MERGE: ("map[string]interface {}", ""),
    PatchType.STRATEGIC: ("map[string]interface {}", "map[string]interface {}"),
}
"""The Go type of the whole patch, with validation and without."""


class PatchBody(Struct, frozen=True):
    """`patch` is a list of operations for JSON, an object otherwise."""

    patch: Any
    complaints: tuple[str, ...] = ()


def read_patch(body: bytes, patch_type: PatchType, *, validates: bool) -> PatchBody:
    """The patch of any type but apply; raises BadRequest where it is none."""
    prefix = "error decoding patch: " if validates and patch_type != PatchType.STRATEGIC else ""
    try:
        patch = orjson.loads(body)
    except orjson.JSONDecodeError:
        from machinery.api.go_json import syntax_error

        said = syntax_error(body) or "invalid character"
        unread = "Invalid JSON Patch" if patch_type == PatchType.MERGE and not validates else f"{prefix}{said}"
        raise BadRequest(unread) from None
    if is_too_deep(body, patch):
        raise BadRequest(f"{prefix}exceeded max depth")
    if patch is None and patch_type != PatchType.MERGE:
        return PatchBody([] if patch_type == PatchType.JSON else {})
    if not isinstance(patch, list if patch_type == PatchType.JSON else dict):
        go_type = _READ_AS[patch_type][0 if validates else 1]
        if patch is None or not go_type:
            raise BadRequest("Invalid JSON Patch")
        raise _unlike(prefix, patch, go_type)
    if isinstance(patch, list):
        _check_operations(patch, prefix, validates=validates)
    return PatchBody(patch, tuple(_complaints(body, patch, patch_type)) if validates else ())


def _check_operations(patch: list[Any], prefix: str, *, validates: bool) -> None:
    for operation in patch:
        if operation is not None and not isinstance(operation, dict):
            raise _unlike(prefix, operation, "handlers.jsonPatchOp" if validates else "jsonpatch.Operation")
        for field in _OPERATION[:3] if validates else ():
            value = (operation or {}).get(field)
            if value is not None and not isinstance(value, str):
                said = f"into Go struct field jsonPatchOp.{field} of type string"
                raise BadRequest(f"{prefix}json: cannot unmarshal {json_kind(value)} {said}")


def _complaints(body: bytes, patch: Any, patch_type: PatchType) -> list[str]:
    """Fields that the patch names twice, and those that no operation has."""
    found = complaints(with_duplicates(body), None)[0] if may_repeat_keys(body, patch) else []
    if patch_type != PatchType.JSON:
        return found
    unknown = [
        f'unknown field "[{at}].{field}"'
        for at, operation in enumerate(patch)
        for field in operation or ()
        if field not in _OPERATION
    ]
    return [f"json patch {said}" for said in (*found, *unknown)]


def _unlike(prefix: str, value: Any, go_type: str) -> BadRequest:
    return BadRequest(f"{prefix}json: cannot unmarshal {json_kind(value)} into Go value of type {go_type}")


def read_configuration(body: bytes) -> PatchBody:
    """An apply's configuration; raises BadRequest where it is none. Keys that stand twice are complained of."""
    if (read := compact_json(body)) is not None and not is_too_deep(body, read):
        return PatchBody(read)
    import yaml

    from machinery.api.yaml_body import explain, load

    try:
        value, lines = load(body)
    except yaml.YAMLError as error:
        raise BadRequest(f"error decoding YAML: error converting YAML to JSON: {explain(error)}") from error
    if value is None:
        return PatchBody({})
    if not isinstance(value, dict):
        raise _unlike(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: ", value, "map[string]interface {}"
        )
    if nests_too_deep(value):
        raise BadRequest("error decoding YAML: error unmarshaling JSON: while decoding JSON: exceeded max depth")
    return PatchBody(value, tuple(lines))
