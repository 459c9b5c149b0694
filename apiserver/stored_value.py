"""What the store holds under a key, as Go would have read it: whatever wrote it, what is shown has the kind's types.

Values of this process have been through the same gate before they were written. Others may be anything: a
kube-apiserver's protobuf, an older server's JSON, a hand's mistake. What Go could not decode is not shown at all, so
that no component ever meets a value of another type than its field's. Pure.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import orjson

from apiserver.cache_entry import KEY_PREFIX, bucket_prefix
from apiserver.kinds.rules import rules_for
from apiserver.registry.conversion import to_stored
from apiserver.registry.managed import are_sound
from machinery.api.canonical import canonical
from machinery.api.decoding import is_too_deep
from machinery.api.errors import BadRequest
from machinery.api.resource import Object, Resource
from machinery.api.resources import RESOURCES

_PROTOBUF = b"k8s\0"


class UnreadableError(Exception):
    """The value is no object of its key's kind; the message says why."""


@cache
def _rows() -> dict[str, Resource]:
    stored = [row for row in RESOURCES if row.is_stored and row.stored_as is None]
    return {f"{KEY_PREFIX}{row.storage_prefix}/": row for row in stored}


def row_of(key: str) -> Resource | None:
    """The stored kind under whose prefix the key lies; None for custom resources and what is none."""
    return _rows().get(bucket_prefix(key))


def names_of(key: str) -> tuple[str, str]:
    """Namespace ("" for none) and name, as the key says them."""
    namespace, slash, name = key.removeprefix(bucket_prefix(key)).partition("/")
    return (namespace, name) if slash else ("", namespace)


def readable(key: str, value: bytes) -> bytes:
    """The value's canonical JSON, the value itself where it is that already; raises UnreadableError."""
    row = row_of(key)
    obj = _parsed(value)
    if row is None:
        return value
    _check_key(key, row)
    try:
        made = canonical(_of_row(obj, row), row)
        # As upstream: what an older server stored gets the defaults that came since.
        rules_for(row).default(made)
    except BadRequest as error:
        raise UnreadableError(error.message) from error
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        raise UnreadableError(f"it can't be decoded: {error}") from error
    _name(made, key)
    if not are_sound(made["metadata"].get("managedFields") or []):
        del made["metadata"]["managedFields"]
    return value if made == obj and value[:1] == b"{" else _encoded(made)


def _parsed(value: bytes) -> Object:
    try:
        if value.startswith(_PROTOBUF):
            from machinery.api.protobuf import decode

            return decode(value)
        obj: Any = orjson.loads(value)
    except BadRequest as error:
        raise UnreadableError(error.message) from error
    except orjson.JSONDecodeError as error:
        raise UnreadableError(f"it is no JSON: {error}") from error
    if not isinstance(obj, dict):
        raise UnreadableError("it is no object")
    if is_too_deep(value, obj):
        raise UnreadableError("it nests too deep")
    if not isinstance(obj.get("metadata") or {}, dict):
        raise UnreadableError("its metadata is no object")
    return obj


def _check_key(key: str, row: Resource) -> None:
    namespace, name = names_of(key)
    if not name or "/" in name or bool(namespace) != row.namespaced:
        raise UnreadableError("its key is none of this kind")


def _of_row(obj: Object, row: Resource) -> Object:
    """The object in the version that is stored; upstream may have kept it in another one that is served."""
    kind, version = obj.get("kind"), obj.get("apiVersion")
    if (kind, version) == (row.kind, row.api_version):
        return obj
    for other in RESOURCES:
        if other.stored_as is not None and (kind, version) == (other.kind, other.api_version):
            converted = to_stored({**obj, "metadata": obj.get("metadata") or {}}, other)
            if converted.get("apiVersion") == row.api_version:
                return converted
    raise UnreadableError(f'no kind "{kind}" is registered for version "{version}"')


def _name(made: Object, key: str) -> None:
    """Puts the key's names where the object has none; another name than the key's is nobody's to find.

    An object without a uid gets one of its key, as owners, preconditions and pods' directories are told by it.
    """
    namespace, name = names_of(key)
    metadata = made["metadata"]
    for field, expected in (("name", name), ("namespace", namespace)):
        if expected and metadata.setdefault(field, expected) != expected:
            raise UnreadableError(f'its {field} is "{metadata[field]}", not that of its key')
    if not namespace and metadata.get("namespace"):
        raise UnreadableError("it names a namespace, which its kind has not")
    metadata.setdefault("uid", str(uuid5(NAMESPACE_URL, key)))


def _encoded(made: Object) -> bytes:
    return orjson.dumps({"kind": made["kind"], "apiVersion": made["apiVersion"], "metadata": made["metadata"], **made})
