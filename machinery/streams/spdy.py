"""A connection of SPDY/3.1 without I/O: bytes in, events out; bytes to send are asked for.

As Kubernetes' peers speak it (moby/spdystream): no windows. Such a peer sends no WINDOW_UPDATE and heeds none, so a
window would stall after 64 KiB; whoever is behind stops reading the connection instead.
"""

from __future__ import annotations

from machinery.streams.spdy_frames import (
    Data,
    Decoder,
    Encoder,
    Fields,
    Frame,
    GoAway,
    Headers,
    Ping,
    ProtocolError,
    RstStream,
    SynReply,
    SynStream,
)
from machinery.structs import Struct

PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL = 1, 2, 3, 5
STREAM_ALREADY_CLOSED = 9
MOST_STREAMS = 2048


class Opened(Struct, frozen=True):
    """The peer opened a stream; it was answered already, as spdystream drops data of a stream without an answer."""

    stream: int
    fields: Fields


class Replied(Struct, frozen=True):
    stream: int
    fields: Fields


class Received(Struct, frozen=True):
    stream: int
    data: bytes


class Ended(Struct, frozen=True):
    """The peer sends no more on this stream."""

    stream: int


class Reset(Struct, frozen=True):
    """Neither side uses the stream any more."""

    stream: int
    status: int


class Ponged(Struct, frozen=True):
    id: int


class GoneAway(Struct, frozen=True):
    """The peer opens no more streams and takes none."""

    last_stream: int


Event = Opened | Replied | Received | Ended | Reset | Ponged | GoneAway


class _Stream(Struct):
    may_send: bool = True
    may_receive: bool = True


class Connection:
    """One side of a connection; `is_client` decides whose stream and ping numbers are odd."""

    def __init__(self, *, is_client: bool) -> None:
        self._encoder, self._decoder = Encoder(), Decoder()
        self._out: list[bytes] = []
        self._streams: dict[int, _Stream] = {}
        self._next = self._next_ping = 1 if is_client else 2
        self._last_received = 0
        self._is_leaving = False

    def receive(self, data: bytes) -> list[Event]:
        """What the bytes mean; raises ProtocolError, after which the connection is of no use."""
        events: list[Event] = []
        for frame in self._decoder.feed(data):
            events += self._handle(frame)
        return events

    def to_send(self) -> bytes:
        """What is to be sent by now; asked for again, only what came after it."""
        found, self._out = b"".join(self._out), []
        return found

    def open(self, fields: Fields, *, fin: bool = False) -> int:
        """The number of a new stream."""
        number, self._next = self._next, self._next + 2
        self._streams[number] = _Stream(may_send=not fin)
        self._send(SynStream(number, fields, fin))
        return number

    def send(self, stream: int, data: bytes, *, fin: bool = False) -> None:
        """Queues data; what is sent on a stream that was closed or reset is dropped."""
        found = self._streams.get(stream)
        if found is None or not found.may_send or not (data or fin):
            return
        self._send(Data(stream, data, fin))
        if fin:
            found.may_send = False
            self._forget_ended(stream)

    def reset(self, stream: int, status: int = CANCEL) -> None:
        """Ends a stream both ways; nothing where it has ended."""
        if self._streams.pop(stream, None) is not None:
            self._send(RstStream(stream, status))

    def ping(self) -> int:
        """The number by which the peer answers."""
        number, self._next_ping = self._next_ping, self._next_ping + 2
        self._send(Ping(number))
        return number

    def go_away(self) -> None:
        """Says that no further stream is taken."""
        if not self._is_leaving:
            self._is_leaving = True
            self._send(GoAway(self._last_received))

    def _send(self, frame: Frame) -> None:
        self._out.append(self._encoder.encode(frame))

    def _handle(self, frame: Frame) -> list[Event]:
        match frame:
            case SynStream():
                return self._opened(frame)
            case Data(stream, data, fin):
                return self._data(stream, data, fin=fin)
            case SynReply(stream, fields, fin):
                if stream not in self._streams:
                    return []
                return [Replied(stream, fields), *(self._ended(stream) if fin else [])]
            case Headers(stream, _, fin):
                return self._ended(stream) if fin and stream in self._streams else []
            case RstStream(stream, status):
                return [Reset(stream, status)] if self._streams.pop(stream, None) is not None else []
            case Ping(number):
                if number % 2 == self._next_ping % 2:
                    return [Ponged(number)]
                self._send(frame)
            case GoAway(last):
                return [GoneAway(last)]
        return []

    def _opened(self, frame: SynStream) -> list[Event]:
        number = frame.stream
        if number == 0 or number % 2 == self._next % 2:
            raise ProtocolError(f"stream {number} is not the peer's to open")
        if number <= self._last_received:
            self._send(RstStream(number, PROTOCOL_ERROR))
            return []
        self._last_received = number
        if self._is_leaving or len(self._streams) >= MOST_STREAMS:
            self._send(RstStream(number, REFUSED_STREAM))
            return []
        self._streams[number] = _Stream()
        self._send(SynReply(number))
        return [Opened(number, frame.fields), *(self._ended(number) if frame.fin else [])]

    def _data(self, stream: int, data: bytes, *, fin: bool) -> list[Event]:
        found = self._streams.get(stream)
        if found is None:
            if not self._is_past(stream):
                self._send(RstStream(stream, INVALID_STREAM))
            # Else it was on its way when the stream was reset.
            return []
        if not found.may_receive:
            self.reset(stream, STREAM_ALREADY_CLOSED)
            return [Reset(stream, STREAM_ALREADY_CLOSED)]
        events: list[Event] = [Received(stream, data)] if data else []
        return [*events, *(self._ended(stream) if fin else [])]

    def _is_past(self, stream: int) -> bool:
        return stream < self._next if stream % 2 == self._next % 2 else 0 < stream <= self._last_received

    def _ended(self, stream: int) -> list[Event]:
        self._streams[stream].may_receive = False
        self._forget_ended(stream)
        return [Ended(stream)]

    def _forget_ended(self, stream: int) -> None:
        found = self._streams[stream]
        if not found.may_send and not found.may_receive:
            del self._streams[stream]
