"""The structure of each kind as OpenAPI tells it: field types, and how lists and maps are merged.

Strategic merge, server-side apply and the OpenAPI documents read it. A definition is parsed when it is first asked for.
The same class reads the schema of a custom resource.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import orjson

from machinery.api.messages import message_of
from machinery.api.resource import Resource

_DATA = Path(__file__).parent / "data"

T = TypeVar("T")

Kind = tuple[str, str, str]
"""group, version, kind"""


class Definition:
    """One schema; children are definitions too, made when asked for."""

    __slots__ = ("__dict__", "_children", "_compiled", "raw")

    def __init__(self, raw: dict[str, Any]) -> None:
        # What stands beside a reference belongs to the field, what is referred to, to its type.
        self.raw = {**structure(raw["$ref"]), **raw} if "$ref" in raw else raw
        self._children: dict[str, Definition] = {}
        self._compiled: dict[Callable[[Definition], Any], Any] = {}

    def compiled(self, compiler: Callable[[Definition], T]) -> T:
        """What `compiler` makes of this definition, made once."""
        try:
            made: T = self._compiled[compiler]
        except KeyError:
            made = self._compiled[compiler] = compiler(self)
        return made

    @property
    def type(self) -> str:
        """object, array, string, integer, number, boolean; empty where any value will do."""
        kind: str = self.raw.get("type", "")
        return kind

    @property
    def name(self) -> str:
        """The definition's full name, where it has one."""
        reference: str = self.raw.get("$ref", "")
        return reference

    @property
    def default(self) -> Any:
        return self.raw.get("default")

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(self.raw.get("properties", ()))

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(self.raw.get("required", ()))

    def field(self, name: str) -> Definition | None:
        """The named property, or what any key of a map holds; None if there is no such field."""
        child = self._children.get(name)
        if child is None:
            raw = self.raw.get("properties", {}).get(name)
            if raw is None:
                # Not remembered by name: a map's keys are without number.
                return self.values
            child = self._children[name] = Definition(raw)
        return child

    @cached_property
    def items(self) -> Definition | None:
        """The items of a list."""
        raw = self.raw.get("items")
        return Definition(raw) if isinstance(raw, dict) else None

    @cached_property
    def values(self) -> Definition | None:
        """The values of a map."""
        raw = self.raw.get("additionalProperties")
        return Definition(raw) if isinstance(raw, dict) else None

    @property
    def is_map(self) -> bool:
        return "additionalProperties" in self.raw

    @property
    def preserves_unknown_fields(self) -> bool:
        return bool(self.raw.get("x-kubernetes-preserve-unknown-fields"))

    @property
    def list_type(self) -> str:
        """atomic, set or map: how appliers share a list. Lists are atomic where nothing is said."""
        kind: str = self.raw.get("x-kubernetes-list-type", "atomic")
        return kind

    @property
    def list_map_keys(self) -> tuple[str, ...]:
        return tuple(self.raw.get("x-kubernetes-list-map-keys", ()))

    @property
    def map_type(self) -> str:
        """granular or atomic: how appliers share a map or struct."""
        kind: str = self.raw.get("x-kubernetes-map-type", "granular")
        return kind

    @property
    def patch_strategies(self) -> tuple[str, ...]:
        """merge, replace, retainKeys: what a strategic merge patch does here."""
        said: str = self.raw.get("x-kubernetes-patch-strategy", "")
        return tuple(said.split(",")) if said else ()

    @property
    def patch_merge_key(self) -> str:
        key: str = self.raw.get("x-kubernetes-patch-merge-key", "")
        return key


@cache
def definition(of: Resource | Kind) -> Definition | None:
    """The definition of a built-in kind; None for others, whose schema their CustomResourceDefinition holds."""
    group, version, kind = (of.group, of.version, of.kind) if isinstance(of, Resource) else of
    message = message_of(group, version, kind)
    return named(definition_name(message)) if message else None


@cache
def named(name: str) -> Definition:
    """The definition by its full name, `io.k8s.api.apps.v1.Deployment`; KeyError if there is none."""
    return Definition({"$ref": name})


def from_json_schema(schema: dict[str, Any]) -> Definition:
    """The definition in a CustomResourceDefinition's `openAPIV3Schema`."""
    return Definition(schema)


def definition_name(message: str) -> str:
    """`io.k8s.api.apps.v1.Deployment` for the message `k8s.io.api.apps.v1.Deployment`."""
    _, _, tail = message.partition(".io.")
    head, _, rest = tail.partition(".")
    return f"io.k8s.{head.replace('_', '-')}.{rest}"


def structure(name: str) -> dict[str, Any]:
    """The raw definition without descriptions."""
    return _row(_lines("schemas.gz"), name)


def descriptions(name: str) -> dict[str, str]:
    """What is said of each field; of the definition itself under the empty name."""
    return descriptions_in(descriptions_text(), name)


def descriptions_in(text: bytes, name: str) -> dict[str, str]:
    """As `descriptions`, for those who ask for many and hold the text meanwhile."""
    return _row(text, name)


def names() -> list[str]:
    """Every definition, sorted."""
    return [line.partition(b"\t")[0].decode() for line in _lines("schemas.gz").splitlines()]


@cache
def _lines(file: str) -> bytes:
    return gzip.decompress((_DATA / file).read_bytes())


def descriptions_text() -> bytes:
    """All descriptions. Large, and needed for documents only, so it is not kept."""
    return gzip.decompress((_DATA / "descriptions.gz").read_bytes())


def data_bytes() -> bytes:
    """The committed files as they are: documents made from the same bytes are the same."""
    return (_DATA / "schemas.gz").read_bytes() + (_DATA / "descriptions.gz").read_bytes()


def _row(lines: bytes, name: str) -> dict[str, Any]:
    key = f"{name}\t".encode()
    start = 0 if lines.startswith(key) else lines.find(b"\n" + key) + 1
    if start == 0 and not lines.startswith(key):
        raise KeyError(name)
    row: dict[str, Any] = orjson.loads(lines[start + len(key) : lines.index(b"\n", start)])
    return row
