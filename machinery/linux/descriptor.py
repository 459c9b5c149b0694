"""Reading and writing descriptors that may not block the loop: pipes, terminals, sockets that keep packets apart."""

from __future__ import annotations

import asyncio
import errno
import os

CHUNK = 1 << 16


class Descriptor:
    """A descriptor of one's own, made non-blocking; one reader and one writer at a time."""

    def __init__(self, number: int) -> None:
        os.set_blocking(number, False)
        self._number = number
        self.is_closed = False
        self._waiting: set[asyncio.Future[None]] = set()

    def fileno(self) -> int:
        return self._number

    async def read(self, most: int = CHUNK) -> bytes:
        """What there is, as soon as there is something; empty at the end, and of a terminal that was hung up."""
        while not self.is_closed:
            try:
                return os.read(self._number, most)
            except BlockingIOError:
                await self._ready(for_writing=False)
            except OSError as error:
                if error.errno in (errno.EIO, errno.ECONNRESET):
                    return b""
                raise
        return b""

    async def write(self, data: bytes, piece: int = CHUNK) -> None:
        """Returns once all is taken, in writes of at most `piece` bytes; raises BrokenPipeError where nobody reads."""
        view = memoryview(data)
        while view:
            if self.is_closed:
                raise BrokenPipeError("closed")
            try:
                view = view[os.write(self._number, view[:piece]) :]
            except BlockingIOError:
                await self._ready(for_writing=True)
            except OSError as error:
                if error.errno in (errno.EIO, errno.ECONNRESET):
                    raise BrokenPipeError("hung up") from error
                raise

    def close(self) -> None:
        """Again is harmless; whoever waits for it finds it at its end."""
        if not self.is_closed:
            self.is_closed = True
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._number)
            loop.remove_writer(self._number)
            os.close(self._number)
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)

    async def _ready(self, *, for_writing: bool) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        self._waiting.add(ready)

        def tell() -> None:
            if not ready.done():
                ready.set_result(None)

        add, remove = (loop.add_writer, loop.remove_writer) if for_writing else (loop.add_reader, loop.remove_reader)
        add(self._number, tell)
        try:
            await ready
        finally:
            self._waiting.discard(ready)
            if not self.is_closed:
                remove(self._number)
