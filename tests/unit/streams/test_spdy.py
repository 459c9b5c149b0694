"""SPDY/3.1: every frame survives the wire in any pieces, and a connection keeps its streams apart and in order."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinery.streams import spdy
from machinery.streams.spdy import Connection, Ended, GoneAway, Opened, Ponged, Received, Replied, Reset
from machinery.streams.spdy_frames import (
    DICTIONARY,
    Data,
    Decoder,
    Encoder,
    Frame,
    GoAway,
    Headers,
    Other,
    Ping,
    ProtocolError,
    RstStream,
    SynReply,
    SynStream,
)

NUMBERS = st.integers(1, 2**31 - 1)
FIELDS = st.dictionaries(st.text("abcdefghijklmnopqrstuvwxyz-:", min_size=1, max_size=20), st.text(max_size=50))
FRAMES = st.one_of(
    st.builds(SynStream, NUMBERS, FIELDS, st.booleans(), st.integers(0, 7)),
    st.builds(SynReply, NUMBERS, FIELDS, st.booleans()),
    st.builds(Headers, NUMBERS, FIELDS, st.booleans()),
    st.builds(RstStream, NUMBERS, st.integers(1, 11)),
    st.builds(Ping, NUMBERS),
    st.builds(GoAway, NUMBERS, st.integers(0, 2)),
    st.builds(Other, st.sampled_from([4, 9, 10, 77]), st.binary(max_size=40)),
    st.builds(Data, NUMBERS, st.binary(max_size=200), st.booleans()),
)


def joined(frames: list[Frame]) -> list[Frame]:
    """Pieces of one data frame put together again: only the last may end the stream."""
    found: list[Frame] = []
    for frame in frames:
        before = found[-1] if found else None
        if isinstance(frame, Data) and isinstance(before, Data) and before.stream == frame.stream and not before.fin:
            found[-1] = Data(frame.stream, before.data + frame.data, frame.fin)
        else:
            found.append(frame)
    return found


def test_the_dictionary_is_the_protocol_s() -> None:
    # The number by which a zlib stream names SPDY/3's dictionary.
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@given(st.lists(FRAMES, max_size=12), st.data())
def test_frames_survive_the_wire_in_any_pieces(frames: list[Frame], data: st.DataObject) -> None:
    encoder, decoder = Encoder(), Decoder()
    wire = b"".join(encoder.encode(frame) for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    found: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        found += decoder.feed(wire[start:end])
    assert joined(found) == joined(frames)


def test_a_frame_as_spdystream_writes_it() -> None:
    block = zlib.compressobj(zdict=DICTIONARY)
    fields = struct.pack(">I", 1) + struct.pack(">I", 10) + b"streamtype" + struct.pack(">I", 5) + b"error"
    payload = struct.pack(">IIBB", 1, 0, 0, 0) + block.compress(fields) + block.flush(zlib.Z_SYNC_FLUSH)
    wire = b"\x80\x03\x00\x01" + struct.pack(">I", len(payload)) + payload
    assert list(Decoder().feed(wire)) == [SynStream(1, {"streamtype": "error"})]


def test_a_large_data_frame_is_handed_on_as_it_comes() -> None:
    wire = Encoder().encode(Data(1, bytes(1000), fin=True))
    decoder = Decoder()
    assert list(decoder.feed(wire[:508])) == [Data(1, bytes(500))]
    assert list(decoder.feed(wire[508:])) == [Data(1, bytes(500), fin=True)]


@pytest.mark.parametrize(
    "wire",
    [
        b"\x80\x02\x00\x01\x00\x00\x00\x00",  # SPDY/2
        b"\x80\x03\x00\x01\x00\x02\x00\x00",  # a control frame of 128 KiB
        b"\x80\x03\x00\x06\x00\x00\x00\x01\x00",  # a PING of one byte
        b"\x80\x03\x00\x02\x00\x00\x00\x08\x00\x00\x00\x01junk",
    ],
)
def test_what_is_no_spdy_is_refused(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(Decoder().feed(wire))


def test_headers_that_unpack_to_too_much_are_refused() -> None:
    wire = Encoder().encode(SynStream(1, {"a": "x" * 1_000_000}))
    with pytest.raises(ProtocolError):
        list(Decoder().feed(wire))


class Pair:
    """A client and a server joined by their wire."""

    def __init__(self) -> None:
        self.client, self.server = Connection(is_client=True), Connection(is_client=False)

    def to_server(self) -> list[spdy.Event]:
        return self.server.receive(self.client.to_send())

    def to_client(self) -> list[spdy.Event]:
        return self.client.receive(self.server.to_send())


def test_a_stream_from_its_opening_to_its_end() -> None:
    pair = Pair()
    number = pair.client.open({"streamType": "data"})
    pair.client.send(number, b"hello")
    assert pair.to_server() == [Opened(1, {"streamtype": "data"}), Received(1, b"hello")]
    assert pair.to_client() == [Replied(1, {})]
    pair.client.send(number, b"", fin=True)
    assert pair.to_server() == [Ended(1)]
    pair.server.send(number, b"still here")
    pair.server.send(number, b"done", fin=True)
    assert pair.to_client() == [Received(1, b"still here"), Received(1, b"done"), Ended(1)]
    pair.server.send(number, b"too late")
    assert pair.server.to_send() == b""


def test_a_reset_ends_both_ways_and_what_was_under_way_is_dropped() -> None:
    pair = Pair()
    number = pair.client.open({})
    pair.to_server()
    pair.to_client()
    pair.client.reset(number)
    pair.server.send(number, b"under way")
    assert pair.to_server() == [Reset(number, spdy.CANCEL)]
    assert pair.to_client() == []
    assert pair.client.to_send() == b""


@pytest.mark.parametrize("frame", [Data(5, b"x"), Data(2, b"x")])
def test_data_of_a_stream_that_never_was_is_refused(frame: Data) -> None:
    server = Connection(is_client=False)
    assert server.receive(Encoder().encode(frame)) == []
    assert list(Decoder().feed(server.to_send())) == [RstStream(frame.stream, spdy.INVALID_STREAM)]


def test_data_after_the_end_resets_the_stream() -> None:
    encoder, server = Encoder(), Connection(is_client=False)
    server.receive(encoder.encode(SynStream(1, {}, fin=True)))
    assert server.receive(encoder.encode(Data(1, b"x"))) == [Reset(1, spdy.STREAM_ALREADY_CLOSED)]


def test_stream_numbers_must_grow_and_be_the_peer_s() -> None:
    encoder, server = Encoder(), Connection(is_client=False)
    server.receive(encoder.encode(SynStream(3)))
    server.to_send()
    assert server.receive(encoder.encode(SynStream(1))) == []
    assert RstStream(1, spdy.PROTOCOL_ERROR) in list(Decoder().feed(server.to_send()))
    with pytest.raises(ProtocolError):
        server.receive(encoder.encode(SynStream(4)))


def test_pings_are_answered_and_answers_told() -> None:
    pair = Pair()
    number = pair.client.ping()
    assert pair.to_server() == []
    assert pair.to_client() == [Ponged(number)]


def test_who_goes_away_takes_no_more_streams() -> None:
    pair = Pair()
    pair.client.open({})
    pair.to_server()
    pair.server.go_away()
    assert pair.to_client() == [Replied(1, {}), GoneAway(1)]
    pair.client.open({})
    assert pair.to_server() == []
    assert pair.to_client() == [Reset(3, spdy.REFUSED_STREAM)]


def test_no_client_opens_streams_without_end() -> None:
    pair = Pair()
    for _ in range(spdy.MOST_STREAMS):
        pair.client.open({})
    assert len(pair.to_server()) == spdy.MOST_STREAMS
    pair.client.open({})
    assert pair.to_server() == []


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=300)), max_size=30))
def test_each_stream_s_bytes_arrive_whole_and_in_order(pieces: list[tuple[int, bytes]]) -> None:
    pair = Pair()
    numbers = [pair.client.open({}) for _ in range(4)]
    for index, piece in pieces:
        pair.client.send(numbers[index], piece)
    for number in numbers:
        pair.client.send(number, b"", fin=True)
    got = dict.fromkeys(numbers, b"")
    ended = set()
    for event in pair.to_server():
        if isinstance(event, Received):
            got[event.stream] += event.data
        elif isinstance(event, Ended):
            ended.add(event.stream)
    assert got == {number: b"".join(p for i, p in pieces if numbers[i] == number) for number in numbers}
    assert ended == set(numbers)
