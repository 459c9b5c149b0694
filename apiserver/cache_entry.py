"""One object as the watch cache keeps it: its bytes in two halves, what the indexes ask for, the parsed form on demand.

The store's JSON has no resourceVersion. It is written first in `metadata`, the one place that is found without
parsing, so that a GET or a watch event costs one join of three pieces.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import orjson

from machinery.api.resource import Object
from machinery.structs import Struct

KEY_PREFIX = "/registry/"

_METADATA = b'"metadata":{'
_PROTOBUF = b"k8s\0"
_NO_LABELS: Mapping[str, str] = MappingProxyType({})
_SWEPT_AT_ONCE = 256
"""Letting go of many objects in one go would hold the loop."""


class Bounds(Struct, frozen=True):
    """How many entries keep their parsed form: `least` always, up to `most` those used within `seconds`."""

    least: int = 1024
    most: int = 16_384
    seconds: float = 30.0


class ParsedObjects:
    """Keeps the parsed form of what is in use: while ten thousand pods roll over they stay, afterwards they go.

    An entry that was used since it was looked at last gets another while (second chance). One that was replaced keeps
    nothing and takes no place.
    """

    def __init__(self, bounds: Bounds = Bounds(), now: Callable[[], float] = time.monotonic) -> None:  # noqa: B008
        self._bounds = bounds
        self._now = now
        self._entries: deque[tuple[float, Entry]] = deque()

    def add(self, entry: Entry) -> None:
        now = self._now()
        self._entries.append((now, entry))
        for _ in range(_SWEPT_AT_ONCE):
            if len(self._entries) <= self._bounds.least or not self._is_over(*self._entries[0], now):
                return
            _, oldest = self._entries.popleft()
            if oldest.is_parsed and oldest.was_used:
                oldest.was_used = False
                self._entries.append((now, oldest))
            else:
                oldest.forget()

    def _is_over(self, since: float, entry: Entry, now: float) -> bool:
        too_many = len(self._entries) > self._bounds.most
        return too_many or not entry.is_parsed or now - since > self._bounds.seconds


class Entry:
    """An object at one revision; immutable but for the parsed form, which comes and goes."""

    __slots__ = (
        "key", "namespace", "name", "head", "tail", "revision", "create_revision",
        "labels", "owners", "is_controlled", "node", "was_used", "_object", "_parsed",
    )  # fmt: skip

    def __init__(
        self,
        key: str,
        value: bytes,
        revision: int,
        create_revision: int,
        parsed: ParsedObjects,
        obj: Object | None = None,
    ) -> None:
        """`obj` is what `value` holds where that is known; it is copied as far as it is changed."""
        self.key = key
        self.revision = revision
        self.create_revision = create_revision
        self._parsed = parsed
        self.was_used = False
        self.namespace, self.name = _names(key)
        if obj is None:
            value, obj = _read(value)
        self.head, self.tail = halves(value)
        metadata = obj.get("metadata") or {}
        self.labels: Mapping[str, str] = metadata.get("labels") or _NO_LABELS
        owners = metadata.get("ownerReferences") or ()
        self.owners = tuple(owner.get("uid", "") for owner in owners)
        self.is_controlled = any(owner.get("controller") for owner in owners)
        spec = obj.get("spec")
        self.node: str = (spec.get("nodeName") or "") if isinstance(spec, dict) else ""
        self._object: Object | None = _with_revision(obj, revision)
        parsed.add(self)

    @classmethod
    def loaded(cls, key: str, value: bytes, revision: int, create_revision: int, parsed: ParsedObjects) -> Entry:
        """One of many at a start: nobody has asked for its parsed form yet."""
        entry = cls(key, value, revision, create_revision, _NONE_PARSED)
        entry._parsed = parsed
        return entry

    @property
    def json(self) -> bytes:
        """The object's JSON with its resourceVersion."""
        return b"%b%d%b" % (self.head, self.revision, self.tail)

    @property
    def object(self) -> Object:
        """The parsed form with its resourceVersion; shared, so never changed."""
        found = self._object
        if found is None:
            found = self._object = orjson.loads(self.json)
            self._parsed.add(self)
        self.was_used = True
        return found

    @property
    def is_parsed(self) -> bool:
        return self._object is not None

    def forget(self) -> None:
        """The parsed form is made again when it is asked for."""
        self._object = None

    def deleted_at(self, revision: int) -> Entry:
        """The last state under the revision of its deletion, as watchers get it."""
        last = object.__new__(Entry)
        for name in _KEPT:
            setattr(last, name, getattr(self, name))
        last.revision, last._parsed, last._object, last.was_used = revision, self._parsed, None, False
        return last

    def __repr__(self) -> str:
        return f"Entry({self.key!r}, revision={self.revision})"


_NONE_PARSED = ParsedObjects(Bounds(least=0, most=0))
_KEPT = ("key", "namespace", "name", "head", "tail", "create_revision", "labels", "owners", "is_controlled", "node")


def halves(value: bytes) -> tuple[bytes, bytes]:
    """The JSON before and behind the digits of the resourceVersion."""
    at = value.find(_METADATA)
    if at < 0 or value.count(b"{", 0, at) != 1:
        # Another writer's order: within a nested object comes first what we look for.
        obj = orjson.loads(value)
        metadata = obj.pop("metadata", None) or {}
        value = orjson.dumps({"metadata": metadata, **obj})
        at = value.find(_METADATA)
    at += len(_METADATA)
    head = value[:at] + b'"resourceVersion":"'
    tail = value[at:]
    return head, (b'"' if tail.startswith(b"}") else b'",') + tail


def splice(value: bytes, revision: int) -> bytes:
    """The stored JSON with its resourceVersion."""
    head, tail = halves(value)
    return b"%b%d%b" % (head, revision, tail)


def _read(value: bytes) -> tuple[bytes, Object]:
    """The stored JSON and its parsed form; a kube-apiserver's protobuf becomes JSON."""
    if value.startswith(_PROTOBUF):
        from machinery.api.protobuf import decode

        obj: Object = decode(value)
        return orjson.dumps(obj), obj
    parsed: Any = orjson.loads(value)
    if not isinstance(parsed, dict):
        raise ValueError("a stored value is no object")
    if isinstance(parsed.get("metadata"), dict) and "resourceVersion" in parsed["metadata"]:
        del parsed["metadata"]["resourceVersion"]
        value = orjson.dumps(parsed)
    return value, parsed


def _with_revision(obj: Object, revision: int) -> Object:
    metadata = obj.get("metadata")
    return {**obj, "metadata": {**(metadata if isinstance(metadata, dict) else {}), "resourceVersion": str(revision)}}


def _names(key: str) -> tuple[str, str]:
    parts = key.removeprefix(bucket_prefix(key)).split("/")
    return (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])


def bucket_prefix(key: str) -> str:
    """The part of a key that says its resource: `/registry/pods/`, `/registry/services/specs/`."""
    parts = key.removeprefix(KEY_PREFIX).split("/")
    # Custom resources lie under group and plural, Services and Endpoints under one word more.
    depth = 2 if "." in parts[0] or parts[0] == "services" else 1
    return f"{KEY_PREFIX}{'/'.join(parts[:depth])}/"
