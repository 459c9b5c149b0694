"""Frames of SPDY/3.1 as values, and their bytes: what Kubernetes' clients before WebSockets speak, and tunnel since.

A header block is compressed with one zlib stream a direction and a dictionary that the protocol fixes, so an encoder
and a decoder belong to one connection each. No I/O.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import ClassVar

from machinery.structs import Struct, field

VERSION = 3
FIN, UNIDIRECTIONAL = 0x01, 0x02
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_REST = (
    b"100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 "
    b"Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 "
    b"Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept "
    b"Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    b"application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset="
    b"utf-8charset=iso-8859-1,utf-,*,enq=0."
)
_LONGEST_CONTROL = 1 << 16
_LONGEST_HEADERS = 1 << 18


def _sized(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


DICTIONARY = b"".join(_sized(word.replace("_", " ").encode()) for word in _WORDS.split()) + _REST

Fields = Mapping[str, str]
"""Header fields by their names in small letters; several values of one name are joined by NUL."""


class ProtocolError(Exception):
    """The peer broke SPDY in a way that ends the connection."""


class SynStream(Struct, frozen=True):
    kind: ClassVar[int] = 1
    stream: int
    fields: Fields = field(default_factory=dict)
    fin: bool = False
    priority: int = 0


class SynReply(Struct, frozen=True):
    kind: ClassVar[int] = 2
    stream: int
    fields: Fields = field(default_factory=dict)
    fin: bool = False


class RstStream(Struct, frozen=True):
    kind: ClassVar[int] = 3
    stream: int
    status: int


class Ping(Struct, frozen=True):
    kind: ClassVar[int] = 6
    id: int


class GoAway(Struct, frozen=True):
    kind: ClassVar[int] = 7
    last_stream: int
    status: int = 0


class Headers(Struct, frozen=True):
    kind: ClassVar[int] = 8
    stream: int
    fields: Fields = field(default_factory=dict)
    fin: bool = False


class Other(Struct, frozen=True):
    """A control frame that asks for nothing here: SETTINGS, WINDOW_UPDATE, CREDENTIAL and what may yet come."""

    type: int
    payload: bytes = b""


class Data(Struct, frozen=True):
    """A piece of a stream; a decoder may hand out one frame as several."""

    stream: int
    data: bytes
    fin: bool = False


Frame = SynStream | SynReply | RstStream | Ping | GoAway | Headers | Other | Data


class Encoder:
    """Gives the bytes of frames, to be sent in the order in which they were asked for."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(zdict=DICTIONARY)

    def encode(self, frame: Frame) -> bytes:
        match frame:
            case Data(stream, data, fin):
                return struct.pack(">II", stream, _flag(fin) << 24 | len(data)) + data
            case SynStream(stream, fields, fin, priority):
                head = struct.pack(">IIBB", stream, 0, priority << 5, 0)
                return _control(frame.kind, head + self._block(fields), _flag(fin))
            case SynReply(stream, fields, fin) | Headers(stream, fields, fin):
                return _control(frame.kind, struct.pack(">I", stream) + self._block(fields), _flag(fin))
            case RstStream(stream, status):
                return _control(frame.kind, struct.pack(">II", stream, status))
            case Ping(number):
                return _control(frame.kind, struct.pack(">I", number))
            case GoAway(last, status):
                return _control(frame.kind, struct.pack(">II", last, status))
            case Other(kind, payload):
                return _control(kind, payload)

    def _block(self, fields: Fields) -> bytes:
        pairs = [_sized(name.lower().encode()) + _sized(value.encode()) for name, value in fields.items()]
        return self._zlib.compress(struct.pack(">I", len(pairs)) + b"".join(pairs)) + self._zlib.flush(
            zlib.Z_SYNC_FLUSH
        )


class Decoder:
    """Takes bytes as they come and gives frames; data is handed on before its frame is complete."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zdict=DICTIONARY)
        self._buffer = bytearray()
        self._stream = self._left = self._flags = 0
        """Of the data frame that is being read."""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that the bytes complete; raises ProtocolError."""
        self._buffer += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        if self._left:
            return self._piece()
        if len(self._buffer) < 8:
            return None
        first, second = struct.unpack_from(">II", self._buffer)
        flags, length = second >> 24, second & 0xFFFFFF
        if not first >> 31:
            del self._buffer[:8]
            self._stream, self._left, self._flags = first, length, flags
            return self._piece() if length else Data(first, b"", bool(flags & FIN))
        if first >> 16 & 0x7FFF != VERSION:
            raise ProtocolError(f"version {first >> 16 & 0x7FFF} of SPDY")
        if length > _LONGEST_CONTROL:
            raise ProtocolError(f"a control frame of {length} bytes")
        if len(self._buffer) < 8 + length:
            return None
        payload = bytes(self._buffer[8 : 8 + length])
        del self._buffer[: 8 + length]
        try:
            return self._control(first & 0xFFFF, flags, payload)
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise ProtocolError(str(error)) from error

    def _piece(self) -> Data | None:
        """What there is of the current data frame."""
        data = bytes(self._buffer[: self._left])
        if not data:
            return None
        del self._buffer[: len(data)]
        self._left -= len(data)
        return Data(self._stream, data, not self._left and bool(self._flags & FIN))

    def _control(self, kind: int, flags: int, payload: bytes) -> Frame:
        fin = bool(flags & FIN)
        if kind == SynStream.kind:
            stream, _, priority = struct.unpack_from(">IIB", payload)
            return SynStream(stream & 0x7FFFFFFF, self._fields(payload[10:]), fin, priority >> 5)
        if kind in (SynReply.kind, Headers.kind):
            make = SynReply if kind == SynReply.kind else Headers
            (stream,) = struct.unpack_from(">I", payload)
            return make(stream & 0x7FFFFFFF, self._fields(payload[4:]), fin)
        if kind == RstStream.kind:
            stream, status = struct.unpack(">II", payload)
            return RstStream(stream & 0x7FFFFFFF, status)
        if kind == Ping.kind:
            return Ping(*struct.unpack(">I", payload))
        if kind == GoAway.kind:
            last, status = struct.unpack(">II", payload)
            return GoAway(last & 0x7FFFFFFF, status)
        return Other(kind, payload)

    def _fields(self, block: bytes) -> dict[str, str]:
        told = self._zlib.decompress(block, _LONGEST_HEADERS)
        if self._zlib.unconsumed_tail:
            raise ProtocolError("a header block that is too long")
        (count,) = struct.unpack_from(">I", told)
        at, found = 4, {}
        for _ in range(count):
            name, at = _text(told, at)
            value, at = _text(told, at)
            found[name] = value
        return found


def _text(told: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">I", told, at)
    end = at + 4 + length
    if end > len(told):
        raise ProtocolError("a header block that ends too early")
    return told[at + 4 : end].decode(), end


def _control(kind: int, payload: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(payload)) + payload


def _flag(fin: bool) -> int:  # noqa: FBT001
    return FIN if fin else 0
