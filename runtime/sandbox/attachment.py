"""The streams of a running container by conmon's attach socket: what it writes from now on, and its standard input.

Each packet of conmon begins with a byte that says which stream it is of; what is sent goes to the container's input,
where it has one. Closing our half ends that input, unless conmon was told to leave it open.
"""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from machinery.linux.descriptor import Descriptor
from runtime.errors import Unknown

_STDOUT, _STDERR = 2, 3
_PACKET = 8192
_READ, _LARGEST = 199, 1000


class Attachment:
    """Attached streams; close it in the end. Any number of them may be attached at a time."""

    def __init__(self, bundle: Path) -> None:
        """Raises Unknown where no conmon listens, as that of a container that has ended."""
        self._sizes = bundle / "winsz"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        folder = os.open(bundle, os.O_PATH | os.O_CLOEXEC)
        try:
            # The path itself may be longer than an address can be.
            self._socket.connect(f"/proc/self/fd/{folder}/attach")
        except OSError as error:
            self._socket.close()
            raise Unknown(f"failed to attach to container: {error.strerror}") from error
        finally:
            os.close(folder)
        self._descriptor = Descriptor(os.dup(self._socket.fileno()))

    async def read(self) -> tuple[bytes, bool]:
        """The next piece of output, and whether it is of stderr; empty once the container has ended."""
        while packet := await self._descriptor.read(_PACKET + 1):
            if packet[0] in (_STDOUT, _STDERR) and len(packet) > 1:
                return packet[1:], packet[0] == _STDERR
        return b"", False

    async def write(self, data: bytes) -> None:
        """Returns once conmon has it; raises BrokenPipeError where the container has ended."""
        await self._descriptor.write(data, _PACKET)

    def close_stdin(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    async def resize(self, width: int, height: int) -> None:
        await asyncio.to_thread(self._tell_size, width, height)

    def _tell_size(self, width: int, height: int) -> None:
        try:
            descriptor = os.open(self._sizes, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            # conmon is gone, and the terminal with it.
            return
        try:
            os.write(descriptor, size_line(width, height))
        finally:
            os.close(descriptor)

    def close(self) -> None:
        self._descriptor.close()
        self._socket.close()


def size_line(width: int, height: int) -> bytes:
    """As long as what conmon reads at once: up to 2.1.6 it takes the first of several lines for each of them."""
    said = b"%d %d" % (min(height, _LARGEST), min(width, _LARGEST))
    return said.ljust(_READ - 1) + b"\n"
