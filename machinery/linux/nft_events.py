"""What others change in nftables, as the kernel tells it (linux/netfilter/nf_tables.h): which tables are concerned."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_NETFILTER, _GROUP = 12, 7
_SUBSYSTEM = 10
_HEADER, _FAMILY, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=B3x"), struct.Struct("=HH")
# Tables, chains and rules, new or gone; what sets hold is their own affair.
_KINDS = {0, 2, 3, 5, 6, 8}
_TABLE = 1
_FAMILIES = {1: "inet", 2: "ip", 5: "netdev", 7: "bridge", 10: "ip6"}
_BUFFER = 1 << 20


class Table(NamedTuple):
    family: str
    name: str


def listener() -> socket.socket:
    """A socket that does not block and gets a message for each change in this network namespace."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, _NETFILTER)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        made.bind((0, 1 << (_GROUP - 1)))
    except OSError:
        made.close()
        raise
    return made


def tables(data: bytes) -> Iterator[Table]:
    """The tables that the messages of one datagram are about."""
    at = 0
    while at + _HEADER.size + _FAMILY.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        if kind >> 8 == _SUBSYSTEM and kind & 0xFF in _KINDS:
            (family,) = _FAMILY.unpack_from(data, at + _HEADER.size)
            name = _attribute(data[at + _HEADER.size + _FAMILY.size : at + length])
            if name and family in _FAMILIES:
                yield Table(_FAMILIES[family], name)
        at += (length + 3) & ~3


def _attribute(attributes: bytes) -> str:
    """The table's name among a message's attributes."""
    at = 0
    while at + _ATTRIBUTE.size <= len(attributes):
        length, kind = _ATTRIBUTE.unpack_from(attributes, at)
        if length < _ATTRIBUTE.size:
            return ""
        if kind & 0x3FFF == _TABLE:
            return attributes[at + _ATTRIBUTE.size : at + length].rstrip(b"\0").decode(errors="replace")
        at += (length + 3) & ~3
    return ""
