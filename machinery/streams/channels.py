"""Channels over WebSocket messages: the protocols by which exec, attach and port-forward share one connection.

A message's first byte names its channel; the base64 protocols say it by a digit and carry text, for browsers. From v5
on a client can end a channel (KEP-4006), before that only the whole connection. No I/O.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from machinery.structs import Struct

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
_CLOSE = 255


class ChannelProtocol(Struct, frozen=True):
    """`name` is the WebSocket sub-protocol; "" is what a client speaks that asks for none."""

    name: str
    is_text: bool = False
    has_status: bool = True
    """Whether a command's end is told as a Status; before v4 failures alone, as text."""
    has_close: bool = False

    def encode(self, channel: int, data: bytes) -> bytes:
        if self.is_text:
            return b"%d" % channel + base64.b64encode(data)
        return bytes([channel]) + data

    def decode(self, message: bytes) -> Message | None:
        """What the message says; None where it says nothing that anybody understands."""
        if not message:
            return None
        if self.is_text:
            try:
                return Message(message[0] - ord("0"), base64.b64decode(message[1:], validate=True))
            except binascii.Error:
                return None
        if self.has_close and message[0] == _CLOSE:
            return Message(message[1], b"", is_end=True) if len(message) == 2 else None
        return Message(message[0], message[1:])


class Message(Struct, frozen=True):
    channel: int
    data: bytes
    is_end: bool = False
    """The sender sends no more on the channel."""


PLAIN = ChannelProtocol("", has_status=False)
COMMAND_PROTOCOLS = (
    ChannelProtocol("v5.channel.k8s.io", has_close=True),
    ChannelProtocol("v4.channel.k8s.io"),
    ChannelProtocol("v4.base64.channel.k8s.io", is_text=True),
    ChannelProtocol("channel.k8s.io", has_status=False),
    ChannelProtocol("base64.channel.k8s.io", is_text=True, has_status=False),
)
PORT_PROTOCOLS = (ChannelProtocol("v4.channel.k8s.io"), ChannelProtocol("v4.base64.channel.k8s.io", is_text=True))
TUNNEL = "SPDY/3.1+portforward.k8s.io"
"""The WebSocket sub-protocol whose messages are pieces of a SPDY connection."""


def close_message(channel: int) -> bytes:
    """What a client of v5 sends to end a channel."""
    return bytes([_CLOSE, channel])


def chosen(asked: Sequence[str], offered: Sequence[ChannelProtocol]) -> ChannelProtocol | None:
    """The first that the client asks for and the server offers; None where they share none."""
    if not asked:
        return PLAIN
    return next((each for name in asked for each in offered if each.name == name), None)
