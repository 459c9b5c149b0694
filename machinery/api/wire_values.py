"""The protobuf wire: tags and varints, scalars, and the messages that JSON writes as one value."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from machinery.api import messages
from machinery.api.timestamps import parse_time, rfc3339, rfc3339_micro

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# An API server writes the zero time as nothing, but 0001-01-01 may come as its seconds.
_ZERO_TIME_SECONDS = -62135596800

Nested = Callable[[bytes, str], Any]
NestedEncode = Callable[[Any, str], bytes]


def read(data: bytes) -> Iterator[tuple[int, Any]]:
    """Each field's number and value: int for varints, bytes for everything else. Raises IndexError if cut short."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                value, at = _varint(data, at)
                yield key >> 3, value
            case 2:
                size, at = _varint(data, at)
                if at + size > end:
                    raise IndexError("unexpected EOF")
                yield key >> 3, data[at : at + size]
                at += size
            case 1:
                yield key >> 3, data[at : at + 8]
                at += 8
            case 5:
                yield key >> 3, data[at : at + 4]
                at += 4
            case other:
                raise ValueError(f"illegal wireType {other}")


def packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while byte >= 0x80:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift += 7
    return value, at + 1


def varint(value: int) -> bytes:
    """Negative numbers take ten bytes, as two's complement of 64 bits."""
    if 0 <= value < 0x80:
        return value.to_bytes(1, "little")
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def delimited(number: int, data: bytes) -> bytes:
    return tag(number, 2) + varint(len(data)) + data


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _signed32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def _base64_text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _double(value: bytes) -> float | int:
    number: float = struct.unpack("<d", value)[0]
    # Go writes whole floats without a fraction.
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


VARINTS = frozenset(("bool", "int32", "int64"))
WIRE_TYPES = {"string": 2, "bytes": 2, "bool": 0, "int32": 0, "int64": 0, "double": 1}
ZEROS: dict[str, Any] = {"string": "", "bool": False, "int32": 0, "int64": 0, "double": 0.0}
SCALAR_DECODERS: dict[str, Callable[[Any], Any]] = {
    "string": bytes.decode,
    "bytes": _base64_text,
    "bool": bool,
    "int32": _signed32,
    "int64": _signed,
    "double": _double,
}
SCALAR_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "string": str.encode,
    "bytes": base64.b64decode,
    "bool": lambda value: b"\x01" if value else b"\x00",
    "int32": varint,
    "int64": varint,
    "double": lambda value: struct.pack("<d", value),
}


def decoder(name: str, nested: Nested) -> Callable[[bytes], Any] | None:
    """How the message reads, if JSON writes it as one value."""
    simple = _DECODERS.get(name)
    if simple is not None:
        return simple
    if name in messages.STRING_LISTS:
        return lambda data: [value.decode() for number, value in read(data) if number == 1]
    if name in (messages.PROPS_OR_ARRAY, messages.PROPS_OR_BOOL, messages.PROPS_OR_STRINGS):
        return lambda data: _either(data, name, nested)
    return None


def encoder(name: str, nested: NestedEncode) -> Callable[[Any], bytes] | None:
    """How the value is written, if JSON writes the message as one value."""
    simple = _ENCODERS.get(name)
    if simple is not None:
        return simple
    if name in messages.STRING_LISTS:
        return lambda value: b"".join(delimited(1, item.encode()) for item in value)
    if name in (messages.PROPS_OR_ARRAY, messages.PROPS_OR_BOOL, messages.PROPS_OR_STRINGS):
        return lambda value: _encode_either(value, name, nested)
    return None


def _moment(data: bytes) -> datetime | None:
    found = dict(read(data))
    seconds, nanos = _signed(found.get(1, 0)), _signed32(found.get(2, 0))
    if (seconds, nanos) == (0, 0) or seconds == _ZERO_TIME_SECONDS:
        return None
    return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)


def _time(data: bytes) -> str | None:
    moment = _moment(data)
    return rfc3339(moment) if moment else None


def _micro_time(data: bytes) -> str | None:
    moment = _moment(data)
    return rfc3339_micro(moment) if moment else None


def _encode_time(value: str) -> bytes:
    if not value:
        return b""
    since = parse_time(value) - _EPOCH
    seconds, micros = since.days * 86400 + since.seconds, since.microseconds
    return tag(1, 0) + varint(seconds) + tag(2, 0) + varint(micros * 1000)


def _quantity(data: bytes) -> str:
    text: bytes = dict(read(data)).get(1, b"0")
    return text.decode() or "0"


def _int_or_string(data: bytes) -> int | str:
    found = dict(read(data))
    if found.get(1, 0) == 1:
        text: bytes = found.get(3, b"")
        return text.decode()
    return _signed32(found.get(2, 0))


def _encode_int_or_string(value: int | str) -> bytes:
    kind, number, text = (1, 0, value) if isinstance(value, str) else (0, value, "")
    return tag(1, 0) + varint(kind) + tag(2, 0) + varint(number) + delimited(3, text.encode())


def _raw(data: bytes) -> Any:
    raw = dict(read(data)).get(1, b"")
    return orjson.loads(raw) if raw else None


def _encode_raw(value: Any) -> bytes:
    return delimited(1, orjson.dumps(value))


def _either(data: bytes, name: str, nested: Nested) -> Any:
    found = list(read(data))
    if name == messages.PROPS_OR_BOOL:
        schema = dict(found).get(2)
        return bool(dict(found).get(1, 0)) if schema is None else nested(schema, messages.PROPS)
    schema = dict(found).get(1)
    if schema is not None:
        return nested(schema, messages.PROPS)
    items = [value for number, value in found if number == 2]
    if name == messages.PROPS_OR_STRINGS:
        return [value.decode() for value in items]
    return [nested(value, messages.PROPS) for value in items]


def _encode_either(value: Any, name: str, nested: NestedEncode) -> bytes:
    if isinstance(value, bool):
        return tag(1, 0) + varint(int(value))
    if isinstance(value, dict):
        schema = nested(value, messages.PROPS)
        if name == messages.PROPS_OR_BOOL:
            return tag(1, 0) + varint(1) + delimited(2, schema)
        return delimited(1, schema)
    return b"".join(
        delimited(2, item.encode() if isinstance(item, str) else nested(item, messages.PROPS)) for item in value
    )


_DECODERS: dict[str, Callable[[bytes], Any]] = {
    messages.TIME: _time,
    messages.MICRO_TIME: _micro_time,
    messages.QUANTITY: _quantity,
    messages.INT_OR_STRING: _int_or_string,
    messages.FIELDS_V1: _raw,
    messages.RAW_EXTENSION: _raw,
    messages.JSON_VALUE: _raw,
}
_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    messages.TIME: _encode_time,
    messages.MICRO_TIME: _encode_time,
    messages.QUANTITY: lambda value: delimited(1, str(value).encode()),
    messages.INT_OR_STRING: _encode_int_or_string,
    messages.FIELDS_V1: _encode_raw,
    messages.RAW_EXTENSION: _encode_raw,
    messages.JSON_VALUE: _encode_raw,
}
