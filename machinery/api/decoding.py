"""Request bodies into objects: JSON, YAML or protobuf, with upstream's complaints where they do not fit.

A body without kind or apiVersion is taken to be what the request's path says, as upstream's decoder does.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson

from machinery.api.canonical import sound
from machinery.api.errors import BadRequest, UnsupportedMediaType
from machinery.api.messages import META_KINDS, message_of, resource_message
from machinery.api.resource import Object, Resource
from machinery.structs import Struct

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"

Kind = tuple[str, str, str]
"""group, version, kind"""

# No kind nests so deep; what does would exhaust the stack of whoever walks it.
_MAX_DEPTH = 200
# Behind these alone can a number stand; a string that looks so costs time alone. One pattern each, as the regular
# expression engine searches for a beginning that is fixed many times faster than for one of several.
_FRACTIONS = tuple(re.compile(before + rb"-?[0-9]+[.eE]") for before in (rb'":', rb"\[", rb","))
# Characters that YAML does not print, or folds.
_FOLDED = re.compile(rb"\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]|\xef(?:\xbb\xbf|\xbf[\xbe\xbf])")
_LEGACY_SCHEME = 'in scheme "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"'


def decode_body(body: bytes, content_type: str, kind: Kind | None) -> Object:
    """The object as JSON; raises BadRequest or UnsupportedMediaType in upstream's words."""
    return _decode(body, content_type, kind)[0]


class Body(Struct, frozen=True):
    """A decoded body: `complaints` are what strict validation holds against it, unknown and duplicate fields.

    Where nothing is, `obj` is the canonical object of `message`; else `message` is empty and `obj` as it came.
    """

    obj: Object
    complaints: Sequence[str] = ()
    message: str = ""


def decode_strict(body: bytes, content_type: str, kind: Kind | None) -> Body:
    """As `decode_body`, with what is to be said of the fields."""
    obj, duplicates, media = _decode(body, content_type, kind)
    if media == PROTOBUF:
        return Body(obj)
    group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
    name = message_of(group, version, str(obj.get("kind", "")))
    repeats = media == JSON and may_repeat_keys(body, obj)
    if name is not None and not repeats and (found := sound(obj, name)) is not None:
        return Body(found, duplicates, name)
    from machinery.api.type_errors import complaints

    checked = with_duplicates(body) if repeats else obj
    return Body(obj, [*duplicates, *complaints(checked, name)[0]])


def may_repeat_keys(body: bytes, obj: Any) -> bool:
    """False only if no object of the JSON text holds a key twice; told by writing it again, as most clients would."""
    text, again = body.rstrip(), orjson.dumps(obj)
    # Go writes these three escaped.
    return text != again and (
        b"\\u00" not in text
        or text.replace(b"\\u003c", b"<").replace(b"\\u003e", b">").replace(b"\\u0026", b"&") != again
    )


def strict_error(kind: str, version: str, errors: Sequence[str]) -> BadRequest:
    """What `fieldValidation=Strict` answers to the errors of `decode_strict`."""
    return BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {strict_message(errors)}')


def strict_message(errors: Sequence[str]) -> str:
    return f"strict decoding error: {', '.join(errors)}"


def field_errors(obj: Object, resource: Resource) -> tuple[list[str], list[str]]:
    """(unknown fields, values of wrong types) of an object of a built-in kind, in upstream's words."""
    from machinery.api.type_errors import complaints

    name = resource_message(resource)
    return ([], []) if name is None or sound(obj, name) is not None else complaints(obj, name)


def check_types(obj: Object, resource: Resource) -> None:
    """Raises BadRequest where a value has not the type of its field."""
    types = field_errors(obj, resource)[1]
    if types:
        raise BadRequest(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {types[0]}'
        )


def _decode(body: bytes, content_type: str, kind: Kind | None) -> tuple[Object, list[str], str]:
    media = content_type.partition(";")[0].strip().lower()
    duplicates: list[str] = []
    if media == JSON or not content_type:
        media, obj = JSON, _json(body, kind)
    elif media == YAML:
        obj, duplicates = _yaml(body, kind)
    elif media == PROTOBUF:
        from machinery.api.protobuf import decode

        obj = decode(body)
    else:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{JSON}, {YAML}, {PROTOBUF}"
        )
    return (_of_kind(obj, kind, body) if kind else obj), duplicates, media


def _json(body: bytes, kind: Kind | None) -> Object:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        from machinery.api.go_json import syntax_error

        said = syntax_error(body)
        if said:
            raise _unrecognized(body, kind, f"couldn't get version/kind; json parse error: {said}") from error
        # Lone surrogates and bytes that are no UTF-8: JSON to Go, which replaces them, not to the fast parser.
        value = _replaced(json.loads(body.decode("utf-8", "replace"), parse_int=_integer))
    if is_too_deep(body, value):
        raise _unrecognized(body, kind, "couldn't get version/kind; json parse error: exceeded max depth")
    if not isinstance(value, dict):
        what = {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
        if value is None:
            return {}
        said = f"json: cannot unmarshal {what} into Go value of type struct "
        said += '{ APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
        raise _unrecognized(body, kind, f"couldn't get version/kind; json parse error: {said}")
    return value


def _integer(text: str) -> int | float:
    """Python refuses to read integers of many digits, which no field holds anyway."""
    return int(text) if len(text) < 400 else float(text)


def _replaced(value: Any) -> Any:
    if isinstance(value, dict):
        return {_replaced(key): _replaced(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def is_too_deep(body: bytes, value: Any) -> bool:
    """Whether the JSON, of which `value` was read, nests deeper than any kind does."""
    return body.count(b"{") + body.count(b"[") > _MAX_DEPTH and nests_too_deep(value)


def nests_too_deep(value: Any) -> bool:
    """The same of a value alone, told without nesting calls."""
    depth, level = 0, [value]
    while level and depth <= _MAX_DEPTH:
        depth += 1
        level = [
            item
            for one in level
            if isinstance(one, dict | list)
            for item in (one.values() if isinstance(one, dict) else one)
        ]
    return depth > _MAX_DEPTH


def compact_json(body: bytes) -> Object | None:
    """What such a text means as YAML, too: clients apply JSON under YAML's name, and its parser is thirty times faster.

    None for whatever the two could read differently, repeated keys among it, and for texts not as we write them.
    """
    if body[:1] != b"{" or b"\x7f" in body or any(pattern.search(body) for pattern in _FRACTIONS):
        return None
    if not body.isascii() and _FOLDED.search(body):
        return None
    try:
        value: Object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return None if may_repeat_keys(body, value) else value


def _yaml(body: bytes, kind: Kind | None) -> tuple[Object, list[str]]:
    if (read := compact_json(body)) is not None and not is_too_deep(body, read):
        return read, []
    import yaml

    from machinery.api.yaml_body import explain, load

    try:
        value, lines = load(body)
    except yaml.YAMLError as error:
        raise _unrecognized(body, kind, f"error converting YAML to JSON: {explain(error)}") from error
    if not isinstance(value, dict):
        raise _unrecognized(body, kind, "couldn't get version/kind; json parse error: unexpected value")
    return value, ["\n  ".join(["yaml: unmarshal errors:", *lines])] if lines else []


def _of_kind(obj: Object, kind: Kind, body: bytes) -> Object:
    """The object with the expected kind filled in where it names none."""
    group, version, name = kind
    for key in ("kind", "apiVersion"):
        if not isinstance(obj.get(key, ""), str):
            what = {dict: "object", list: "array", bool: "bool", type(None): "null"}.get(type(obj[key]), "number")
            if what != "null":
                said = f"json: cannot unmarshal {what} into Go struct field .{key} of type string"
                raise _unrecognized(body, kind, f"couldn't get version/kind; json parse error: {said}")
    api_version = f"{group}/{version}" if group else version
    if not obj.get("kind") or not obj.get("apiVersion"):
        obj = {**obj, "kind": obj.get("kind") or name, "apiVersion": obj.get("apiVersion") or api_version}
    if obj["kind"] != name or obj["apiVersion"] != api_version:
        _refuse_other_kind(obj, kind)
    return obj


_ALSO_TAKEN = {("policy", "v1", "Eviction"): ("policy/v1beta1", "Eviction")}
"""What clients from before 1.22 send, which has the same fields."""


def _refuse_other_kind(obj: Object, kind: Kind) -> None:
    api_version, name = obj["apiVersion"], obj["kind"]
    if _ALSO_TAKEN.get(kind) == (api_version, name):
        return
    group, _, version = api_version.rpartition("/")
    if name == kind[2] and (name in META_KINDS or message_of(*kind) is None or message_of(group, version, name)):
        if name not in META_KINDS:
            expected = f"{kind[0]}/{kind[1]}" if kind[0] else kind[1]
            raise BadRequest(
                f"the API version in the data ({api_version}) does not match the expected API version ({expected})"
            )
        # Every group registers the options' kinds, and clients name whichever group they talk to.
        return
    raise BadRequest(
        f'{name} in version "{version}" cannot be handled as a {kind[2]}: {unlike(api_version, name, kind)}'
    )


def unlike(api_version: str, name: str, kind: Kind) -> str:
    """Why an object that says to be of another kind is none of `kind`."""
    group, _, version = api_version.rpartition("/")
    if message_of(group, version, name) is None:
        return f'no kind "{name}" is registered for version "{api_version}" {_LEGACY_SCHEME}'
    expected = f"{kind[0].split('.')[0] or 'core'}.{kind[2]}"
    return f"converting ({version}.{name}) to ({expected}): unknown conversion"


def _unrecognized(body: bytes, kind: Kind | None, said: str) -> BadRequest:
    of_type = kind[2] if kind else "Object"
    return BadRequest(f"the object provided is unrecognized (must be of type {of_type}): {said} ({_summary(body)})")


def _summary(body: bytes, limit: int = 30) -> str:
    if not body:
        return "<empty>"
    shown = body[:limit].decode("utf-8", "replace") if body[:1] == b"{" else body[:limit].hex()
    return f"{shown} ..." if len(body) > limit else shown


def with_duplicates(body: bytes) -> Any:
    """The JSON with objects that remember which of their keys stood there twice."""
    from machinery.api.type_errors import Duplicates

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        counts = Counter(key for key, _ in pairs)
        marked = Duplicates(found)
        marked.repeated = frozenset(key for key, count in counts.items() if count > 1)
        return marked

    return json.loads(body.decode("utf-8", "replace"), object_pairs_hook=collect, parse_int=_integer)
