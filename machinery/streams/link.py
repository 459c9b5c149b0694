"""What carries bytes both ways, a socket or a WebSocket's messages alike, and two of them joined."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from machinery.streams.takeover import LIMIT

LOG = logging.getLogger("streams")


class Link(Protocol):
    """Carries bytes both ways."""

    async def receive(self) -> bytes:
        """The next bytes; empty at the end."""

    async def send(self, data: bytes) -> None:
        """Returns when more may be sent; raises ConnectionError where the peer is gone."""


class StreamLink:
    """A socket as a link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def receive(self) -> bytes:
        try:
            return await self._reader.read(LIMIT)
        except ConnectionError:
            return b""

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


async def join(one: Link, other: Link) -> None:
    """Returns when either has ended: what it said before is sent by then. Each direction waits for whoever takes it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_copy(*way)) for way in ((one, other), (other, one))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def _copy(source: Link, target: Link) -> None:
    try:
        while data := await source.receive():
            await target.send(data)
    except OSError as error:
        # A peer that leaves in the middle is no failure of ours, whether TCP or TLS notices.
        LOG.debug("a stream broke: %s", error)
