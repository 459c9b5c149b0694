"""Objects on the wire as Kubernetes' protobuf: client-go sends it by default, and etcd may hold it.

Not the protobuf-JSON mapping: quantities, times, int-or-strings and raw JSON have messages of their own, see
`wire_values`. Go writes every scalar that is no pointer also when it is zero, so a zero means absent where Go's JSON
would omit it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import orjson

from machinery.api import wire_values
from machinery.api.errors import BadRequest
from machinery.api.messages import EMPTY, Field, Message, message, message_of
from machinery.api.resource import Object
from machinery.api.wire_values import delimited, read, tag, varint

MAGIC = b"k8s\0"

Decode = Callable[[bytes], Any]
Encode = Callable[[Any], bytes]


def decode(body: bytes) -> Object:
    """The object in the body, with kind and apiVersion; raises BadRequest if it is none that is known."""
    if not body.startswith(MAGIC):
        raise BadRequest("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        return _decode_unknown(body[len(MAGIC) :])
    except (IndexError, ValueError, OverflowError, RecursionError, AttributeError, TypeError, struct.error) as error:
        # A field of another wire type than its own gives a value of another Python type.
        raise BadRequest(f"unable to decode the protobuf body: {error}") from error


def encode(obj: Object) -> bytes:
    """The object with the magic in front; raises BadRequest for kinds without a protobuf form."""
    group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
    name = message_of(group, version, str(obj.get("kind", "")))
    if name is None:
        raise BadRequest(f"{obj.get('apiVersion')}, Kind={obj.get('kind')} cannot be encoded as protobuf")
    type_meta = delimited(1, str(obj["apiVersion"]).encode()) + delimited(2, str(obj["kind"]).encode())
    raw = encode_message(obj, name)
    return MAGIC + delimited(1, type_meta) + delimited(2, raw) + delimited(3, b"") + delimited(4, b"")


def decode_message(data: bytes, name: str) -> Object:
    """The JSON form of one message."""
    decoded: Object = _decoder(name)(data)
    return decoded


def encode_message(obj: Object, name: str) -> bytes:
    """The wire form of one message; fields that it does not know are left out."""
    return _encoder(name)(obj)


def _decode_unknown(data: bytes) -> Object:
    type_meta, raw, content_type = b"", b"", b""
    for number, value in read(data):
        if number == 1:
            type_meta = value
        elif number == 2:
            raw = value
        elif number == 4:
            content_type = value
    head = {number: value.decode() for number, value in read(type_meta)}
    api_version, kind = head.get(1, ""), head.get(2, "")
    if content_type == b"application/json":
        body = orjson.loads(raw)
        if not isinstance(body, dict):
            raise ValueError("it holds no object")
        return body
    group, _, version = api_version.rpartition("/")
    name = message_of(group, version, kind)
    if name is None:
        raise BadRequest(f'no kind "{kind}" is registered for version "{api_version}"')
    return {"kind": kind, "apiVersion": api_version, **decode_message(raw, name)}


@cache
def _decoder(name: str) -> Decode:
    if name == EMPTY:
        return lambda data: {}
    special = wire_values.decoder(name, decode_message)
    return special or _struct_decoder(message(name))


def _struct_decoder(described: Message) -> Decode:
    readers: dict[int, Callable[[Object, Any], None]] = {}

    def decode_struct(data: bytes) -> Object:
        out: Object = {}
        for number, value in read(data):
            reader = readers.get(number)
            if reader is None:
                entry = described.wire.get(number)
                if entry is None:
                    continue
                reader = readers[number] = _reader(entry)
            reader(out, value)
        return out

    return decode_struct


def _reader(entry: Field | Message) -> Callable[[Object, Any], None]:
    if isinstance(entry, Message):
        inlined = _decoder(entry.name)
        return lambda out, value: out.update(inlined(value))
    name = entry.name
    if entry.map_value:
        return _map_reader(name, _item_decoder(entry.map_value))
    item = _item_decoder(entry.type)
    if entry.repeated:
        return _list_reader(name, item, entry.type)
    may_be_zero = entry.kind == "pointer" or entry.rule == "always"

    def assign(out: Object, value: Any) -> None:
        decoded = item(value)
        if decoded is None or (not may_be_zero and not decoded and not isinstance(decoded, dict)):
            return
        out[name] = decoded

    return assign


def _map_reader(name: str, item: Decode) -> Callable[[Object, Any], None]:
    def assign(out: Object, value: Any) -> None:
        entry = dict(read(value))
        key = entry.get(1, b"").decode()
        out.setdefault(name, {})[key] = item(entry.get(2, b""))

    return assign


def _list_reader(name: str, item: Decode, kind: str) -> Callable[[Object, Any], None]:
    scalar = wire_values.SCALAR_DECODERS.get(kind, item)

    def assign(out: Object, value: Any) -> None:
        found = out.setdefault(name, [])
        if kind in wire_values.VARINTS and isinstance(value, bytes):
            found.extend(map(scalar, wire_values.packed(value)))
        else:
            found.append(item(value))

    return assign


def _item_decoder(kind: str) -> Decode:
    scalar = wire_values.SCALAR_DECODERS.get(kind)
    # Nested messages are looked up late, as some hold themselves.
    return scalar or (lambda value: _decoder(kind)(value))


@cache
def _encoder(name: str) -> Encode:
    if name == EMPTY:
        return lambda value: b""
    special = wire_values.encoder(name, encode_message)
    return special or _struct_encoder(message(name))


def _struct_encoder(described: Message) -> Encode:
    writers: list[Callable[[Object], Iterator[bytes]]] = []

    def encode_struct(value: Any) -> bytes:
        if not writers:
            writers.extend(_writer(number, entry) for number, entry in sorted(described.wire.items()))
        return b"".join(part for writer in writers for part in writer(value))

    return encode_struct


def _writer(number: int, entry: Field | Message) -> Callable[[Object], Iterator[bytes]]:
    if isinstance(entry, Message):
        inlined = entry.name

        def write_inlined(obj: Object) -> Iterator[bytes]:
            yield delimited(number, _encoder(inlined)(obj))

        return write_inlined
    if entry.map_value:
        return _map_writer(number, entry)
    if entry.repeated:
        return _list_writer(number, entry)
    name, item = entry.name, _item_encoder(number, entry.type)
    # A pointer is written when set; a value is always there, if only as its zero.
    zero = None if entry.kind in ("pointer", "raw", "bytes") else _zero(entry)

    def write(obj: Object) -> Iterator[bytes]:
        value = obj.get(name)
        if value is None:
            value = zero
        if value is not None:
            yield item(value)

    return write


def _zero(entry: Field) -> Any:
    if entry.kind == "list":
        return None
    return {"struct": {}, "time": "", "quantity": "0", "intOrString": 0}.get(
        entry.kind, wire_values.ZEROS.get(entry.type)
    )


def _map_writer(number: int, entry: Field) -> Callable[[Object], Iterator[bytes]]:
    name, item = entry.name, _item_encoder(2, entry.map_value)

    def write(obj: Object) -> Iterator[bytes]:
        for key, value in sorted((obj.get(name) or {}).items()):
            yield delimited(number, delimited(1, key.encode()) + item("" if value is None else value))

    return write


def _list_writer(number: int, entry: Field) -> Callable[[Object], Iterator[bytes]]:
    name, item = entry.name, _item_encoder(number, entry.type)

    def write(obj: Object) -> Iterator[bytes]:
        for value in obj.get(name) or ():
            yield item(value)

    return write


def _item_encoder(number: int, kind: str) -> Encode:
    scalar = wire_values.SCALAR_ENCODERS.get(kind)
    if scalar is not None:
        prefix = tag(number, wire_values.WIRE_TYPES[kind])
        if wire_values.WIRE_TYPES[kind] == 2:
            return lambda value: _sized(prefix, scalar(value))
        return lambda value: prefix + scalar(value)
    return lambda value: delimited(number, _encoder(kind)(value))


def _sized(prefix: bytes, data: bytes) -> bytes:
    return prefix + varint(len(data)) + data
