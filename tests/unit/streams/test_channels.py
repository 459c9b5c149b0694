"""Channels over WebSocket, and how a command's end is told: messages as clients send and expect them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinery.streams.channels import (
    COMMAND_PROTOCOLS,
    PLAIN,
    STDIN,
    ChannelProtocol,
    Message,
    chosen,
    close_message,
)
from machinery.streams.remote_command import SPDY_PROTOCOLS, SUCCESS, Sizes, exited, failed, negotiated

V5, V4, V4_TEXT, *_ = COMMAND_PROTOCOLS


@given(st.sampled_from([PLAIN, *COMMAND_PROTOCOLS]), st.integers(0, 9), st.binary(max_size=100))
def test_a_message_survives_the_wire(protocol: ChannelProtocol, channel: int, data: bytes) -> None:
    assert protocol.decode(protocol.encode(channel, data)) == Message(channel, data)


@pytest.mark.parametrize(
    ("protocol", "wire", "said"),
    [
        (V5, b"\x00ls\n", Message(STDIN, b"ls\n")),
        (V5, b"\xff\x00", Message(STDIN, b"", is_end=True)),
        (V5, b"\xff", None),
        (V4, b"\xff\x00", Message(255, b"\x00")),
        (V4_TEXT, b"0bHMK", Message(STDIN, b"ls\n")),
        (V4_TEXT, b"0*", None),
        (V4, b"", None),
    ],
)
def test_messages(protocol: ChannelProtocol, wire: bytes, said: Message | None) -> None:
    assert protocol.decode(wire) == said


def test_a_client_ends_a_channel() -> None:
    assert V5.decode(close_message(STDIN)) == Message(STDIN, b"", is_end=True)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (["v5.channel.k8s.io"], "v5.channel.k8s.io"),
        (["v4.channel.k8s.io", "v5.channel.k8s.io"], "v4.channel.k8s.io"),
        (["v9.channel.k8s.io", "base64.channel.k8s.io"], "base64.channel.k8s.io"),
        ([], ""),
        (["v9.channel.k8s.io"], None),
    ],
)
def test_the_client_s_order_decides(asked: list[str], found: str | None) -> None:
    protocol = chosen(asked, COMMAND_PROTOCOLS)
    assert (protocol.name if protocol else None) == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (["v4.channel.k8s.io", "v3.channel.k8s.io"], "v4.channel.k8s.io"),
        (["v5.channel.k8s.io, v4.channel.k8s.io"], "v4.channel.k8s.io"),
        (["channel.k8s.io"], "channel.k8s.io"),
        (["v9"], None),
        ([], None),
    ],
)
def test_spdy_s_protocols(asked: list[str], found: str | None) -> None:
    assert negotiated(asked, SPDY_PROTOCOLS) == found


def test_the_end_of_a_command() -> None:
    assert SUCCESS.status() == b'{"metadata":{},"status":"Success"}'
    assert exited(["true"], 0) == SUCCESS
    assert json.loads(exited(["sh", "-c", "exit 3"], 3).status()) == {
        "metadata": {},
        "status": "Failure",
        "message": "command terminated with non-zero exit code: error executing command [sh -c exit 3], exit code 3",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
    }
    assert json.loads(failed("it broke").status()) == {
        "metadata": {},
        "status": "Failure",
        "message": "Internal error occurred: it broke",
        "reason": "InternalError",
        "details": {"causes": [{"message": "it broke"}]},
        "code": 500,
    }


@pytest.mark.parametrize(
    ("pieces", "sizes"),
    [
        ([b'{"Width":80,"Height":24}'], [[(80, 24)]]),
        ([b'{"Width":80,"Heig', b'ht":24}\n{"Width":1,"Height":2}\n'], [[], [(80, 24), (1, 2)]]),
        ([b'{"width":80,"height":24}{"Width":0,"Height":0}'], [[(80, 24), (0, 0)]]),
    ],
)
def test_sizes_come_in_any_pieces(pieces: list[bytes], sizes: list[list[tuple[int, int]]]) -> None:
    reader = Sizes()
    assert [reader.feed(piece) for piece in pieces] == sizes


@pytest.mark.parametrize("said", [b"x" * 2000, b"7", b"{}", b'{"Width":-1,"Height":1}', b"\xff"])
def test_what_is_no_size_is_refused(said: bytes) -> None:
    with pytest.raises(ValueError):
        Sizes().feed(said)
