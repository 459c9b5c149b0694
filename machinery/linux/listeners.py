"""Who listens on which port of this machine, from /proc/net (that blocks: use a thread), and how to listen oneself."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from machinery.structs import Struct

_FILES = {"tcp": "tcp", "tcp6": "tcp", "udp": "udp", "udp6": "udp"}
# linux/in.h and linux/in6.h; Python has no names for them.
_FREEBIND = {socket.AF_INET: (socket.SOL_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}
# A UDP socket that no one has connected is in the state that TCP calls closed.
_LISTENS = {"tcp": "0A", "udp": "07"}


class Listener(Struct, frozen=True):
    """`address` is 0.0.0.0 or :: where it listens on all; `inode` names its socket."""

    protocol: str
    address: str
    port: int
    inode: int

    @property
    def is_everywhere(self) -> bool:
        return ipaddress.ip_address(self.address).is_unspecified


def listeners(proc: Path = Path("/proc/net")) -> list[Listener]:
    """All of this network namespace."""
    found = []
    for name, protocol in _FILES.items():
        with contextlib.suppress(FileNotFoundError):
            found += list(parse(protocol, (proc / name).read_text()))
    return found


def parse(protocol: str, table: str) -> Iterator[Listener]:
    """The listeners in the text of one of the kernel's socket tables (proc(5), /proc/net/tcp)."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        address, _, port = fields[1].partition(":")
        if fields[3] == _LISTENS[protocol]:
            yield Listener(protocol, _address(address), int(port, 16), int(fields[9]))


def _address(text: str) -> str:
    """Words of 32 bits in the machine's order, each as hex."""
    words = [int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8)]
    packed = b"".join(words)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def holder(inode: int, proc: Path = Path("/proc")) -> str:
    """The program that has the socket, as `nginx (process 12)`; empty where it can't be found."""
    wanted = f"socket:[{inode}]"
    for process in proc.iterdir():
        if process.name.isdigit():
            # Processes end while they are looked at.
            with contextlib.suppress(OSError):
                for descriptor in (process / "fd").iterdir():
                    if os.readlink(descriptor) == wanted:
                        return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return ""


def freely_bound(address: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """A socket that doesn't block, bound also to an address that the machine has not got yet: a laptop may be away from
    the network that has it, and come back. One of IPv6 leaves the port of IPv4 alone.

    Raises OSError where the port is taken.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind)
    try:
        made.setsockopt(*_FREEBIND[family], 1)
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        made.setblocking(False)  # noqa: FBT003
    except OSError:
        made.close()
        raise
    return made
