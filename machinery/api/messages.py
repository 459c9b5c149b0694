"""The Go structs behind the API's objects: their JSON fields, types, and numbers on the protobuf wire.

Canonical JSON, decoding errors and protobuf all derive from these rows. A message is parsed when it is first asked for,
straight out of the data's bytes, so a server pays for the kinds in use only.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import orjson

from machinery.api.resource import Resource
from machinery.structs import Struct

_DATA = Path(__file__).parent / "data"

META = "k8s.io.apimachinery.pkg.apis.meta.v1."
_APIEXTENSIONS = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1."

QUANTITY = "k8s.io.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "k8s.io.apimachinery.pkg.util.intstr.IntOrString"
TIME, MICRO_TIME = META + "Time", META + "MicroTime"
FIELDS_V1, DURATION = META + "FieldsV1", META + "Duration"
RAW_EXTENSION = "k8s.io.apimachinery.pkg.runtime.RawExtension"
EMPTY = _APIEXTENSIONS + "CustomResourceSubresourceStatus"
WHOLE = frozenset(("k8s.io.api.core.v1.PersistentVolumeClaim",))
"""Kinds that stand whole, with kind and apiVersion, inside of another: a StatefulSet's claim templates."""
JSON_VALUE = _APIEXTENSIONS + "JSON"
PROPS = _APIEXTENSIONS + "JSONSchemaProps"
PROPS_OR_ARRAY, PROPS_OR_BOOL = PROPS + "OrArray", PROPS + "OrBool"
PROPS_OR_STRINGS = PROPS + "OrStringArray"

RAW = frozenset((FIELDS_V1, RAW_EXTENSION, JSON_VALUE, PROPS_OR_ARRAY, PROPS_OR_BOOL, PROPS_OR_STRINGS))
"""Messages whose JSON form is any value."""
STRING_LISTS = frozenset(
    (
        META + "Verbs",
        "k8s.io.api.authentication.v1.ExtraValue",
        "k8s.io.api.authorization.v1.ExtraValue",
        "k8s.io.api.certificates.v1.ExtraValue",
    )
)
"""Messages that wrap what JSON writes as a plain list of strings."""

# Groups whose Go packages are not `k8s.io.api.<first part of the group>`.
_PACKAGES = {
    "": "k8s.io.api.core",
    "apiextensions.k8s.io": "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "k8s.io.kube_aggregator.pkg.apis.apiregistration",
    "meta.k8s.io": "k8s.io.apimachinery.pkg.apis.meta",
}
META_KINDS = frozenset(
    (
        "CreateOptions", "DeleteOptions", "GetOptions", "ListOptions", "PatchOptions", "Status", "UpdateOptions",
        "WatchEvent",
    )
)  # fmt: skip
"""Kinds of `meta/v1` that every group version registers."""


class Field(Struct, frozen=True):
    """One field: `kind` and `rule` as Go declares it, `type` a scalar's name or a message's."""

    name: str
    kind: str
    rule: str
    type: str
    repeated: bool
    number: int

    @property
    def map_value(self) -> str:
        """The type of the map's values; empty if this is no map."""
        return self.type[11:-1] if self.type.startswith("map<string,") else ""


class Message(Struct, frozen=True):
    """`fields` by JSON name; `wire` by number, where an inlined struct stands as the message that it is."""

    name: str
    fields: dict[str, Field]
    wire: dict[int, Field | Message]

    @property
    def go_name(self) -> str:
        return self.name.rpartition(".")[2]


@cache
def message(name: str) -> Message:
    """The message by full name, `k8s.io.api.apps.v1.Deployment`; KeyError if there is none."""
    rules = _row(_go_fields(), name) or {}
    numbers = _row(_wire_fields(), name)
    if numbers is None:
        raise KeyError(name)
    renamed = _wire_names().get(name, {})
    fields: dict[str, Field] = {}
    wire: dict[int, Field | Message] = {}
    for number, (wire_name, kind, *repeated) in sorted(numbers.items(), key=lambda item: int(item[0])):
        json_name = renamed.get(wire_name, wire_name)
        if json_name == "inline":
            inlined = message(kind)
            wire[int(number)] = inlined
            fields.update(inlined.fields)
            continue
        go_kind, rule = rules.get(json_name, ("scalar", "omitempty"))
        field = Field(json_name, go_kind, rule, kind, bool(repeated), int(number))
        wire[int(number)] = fields[json_name] = field
    # A field of the outer struct wins over an inlined one of the same name.
    fields.update({entry.name: entry for entry in wire.values() if isinstance(entry, Field)})
    return Message(name, fields, wire)


@cache
def message_of(group: str, version: str, kind: str) -> str | None:
    """The message of a built-in kind, or None."""
    package = META.rstrip(".") if kind in META_KINDS else f"{_package(group)}.{version}"
    name = f"{package}.{kind}"
    return name if f'"{name}":'.encode() in _wire_fields() else None


def resource_message(resource: Resource) -> str | None:
    """The message of the resource's kind; None for custom resources."""
    return message_of(resource.group, resource.version, resource.kind)


def _package(group: str) -> str:
    return _PACKAGES.get(group) or f"k8s.io.api.{group.split('.')[0]}"


def _row(data: bytes, name: str) -> dict[str, list[str]] | None:
    # Rows are flat objects of lists, so the first closing brace ends one.
    key = f'"{name}":'.encode()
    start = data.find(key)
    if start < 0:
        return None
    start += len(key)
    row: dict[str, list[str]] = orjson.loads(data[start : data.index(b"}", start) + 1])
    return row


@cache
def _wire_fields() -> bytes:
    return (_DATA / "protobuf-fields.json").read_bytes()


@cache
def _go_fields() -> bytes:
    return (_DATA / "go-fields.json").read_bytes().partition(b'"wire_names":')[0]


@cache
def _wire_names() -> dict[str, dict[str, str]]:
    tail = (_DATA / "go-fields.json").read_bytes().partition(b'"wire_names":')[2]
    names: dict[str, dict[str, str]] = orjson.loads(tail.strip()[:-1])
    return names
