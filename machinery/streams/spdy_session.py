"""A SPDY connection over a link: streams that are read and written, with back-pressure both ways.

What comes in waits at its stream; beyond a limit the whole link waits, as there are no windows (see `spdy`). What goes
out is written by one task, so that reading never waits for writing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from machinery.streams.inbox import LIMIT, Inbox
from machinery.streams.link import Link
from machinery.streams.spdy import Connection, Ended, Event, Opened, Received, Reset
from machinery.streams.spdy_frames import Fields, ProtocolError

_PIECE = 1 << 16


class SpdyStream:
    """One stream; after the session's end a read gives what had come, then the end."""

    def __init__(self, session: SpdySession, number: int, fields: Fields) -> None:
        self.number, self.fields = number, fields
        self.inbox = Inbox()
        self.is_reset = self.has_said_all = self.has_heard_all = False
        self._session = session

    async def read(self) -> bytes:
        """The next piece, empty once the peer has ended or reset the stream."""
        return await self.inbox.get()

    def abandon(self) -> None:
        """Nothing more is read: what comes is dropped, so that it holds no other stream up."""
        self.inbox.abandon()

    async def write(self, data: bytes) -> None:
        """Returns when more may be written; raises ConnectionResetError where nobody takes it any more."""
        for start in range(0, len(data), _PIECE):
            if self.is_reset:
                raise ConnectionResetError("the stream was reset")
            await self._session.send(self, data[start : start + _PIECE])

    async def end(self) -> None:
        """No more is written; what the peer sends may still be read."""
        if not self.is_reset and not self.has_said_all:
            self.has_said_all = True
            await self._session.send(self, b"", fin=True)

    def reset(self) -> None:
        """Ends both directions at once; what has come unread is dropped."""
        if not self.is_reset:
            self.is_reset = True
            self.inbox.abandon()
            self._session.reset(self)


class SpdySession:
    """`accepted` gives the streams that the peer opens, and None when the link has ended."""

    def __init__(self, link: Link, *, is_client: bool) -> None:
        self.accepted: asyncio.Queue[SpdyStream | None] = asyncio.Queue()
        self.ended = asyncio.Event()
        self._link = link
        self._connection = Connection(is_client=is_client)
        self._streams: dict[int, SpdyStream] = {}
        self._queued = bytearray()
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()

    async def open(self, fields: Fields) -> SpdyStream:
        stream = SpdyStream(self, self._connection.open(fields), fields)
        self._streams[stream.number] = stream
        await self._flush()
        return stream

    async def send(self, stream: SpdyStream, data: bytes, *, fin: bool = False) -> None:
        self._connection.send(stream.number, data, fin=fin)
        self._forget_ended(stream)
        await self._flush()

    def reset(self, stream: SpdyStream) -> None:
        self._streams.pop(stream.number, None)
        self._connection.reset(stream.number)
        self._queue()

    async def leave(self) -> None:
        """Takes no more streams, and returns when all is sent."""
        self._connection.go_away()
        self._queue()
        if not self.ended.is_set():
            await self._idle.wait()

    async def _flush(self) -> None:
        """Returns when more may be sent; raises ConnectionResetError where the link has ended."""
        self._queue()
        while len(self._queued) > LIMIT and not self.ended.is_set():
            await self._idle.wait()
        if self.ended.is_set():
            raise ConnectionResetError("the connection has ended")

    def _queue(self) -> None:
        if data := self._connection.to_send():
            self._queued += data
            self._idle.clear()
            self._wake.set()

    async def write_out(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await self._wake.wait()
                self._wake.clear()
                data, self._queued = bytes(self._queued), bytearray()
                await self._link.send(data)
                if not self._queued:
                    self._idle.set()
        self._end()

    async def read_in(self) -> None:
        with contextlib.suppress(ProtocolError, ConnectionError):
            while data := await self._link.receive():
                for event in self._connection.receive(data):
                    # What is to be answered must not wait for a slow reader, else neither side went on.
                    self._queue()
                    await self._handle(event)
                self._queue()
        self._end()

    async def _handle(self, event: Event) -> None:
        match event:
            case Opened(number, fields):
                stream = self._streams[number] = SpdyStream(self, number, fields)
                self.accepted.put_nowait(stream)
            case Received(number, data) if number in self._streams:
                await self._streams[number].inbox.put(data)
            case Ended(number) if number in self._streams:
                stream = self._streams[number]
                stream.has_heard_all = True
                stream.inbox.end()
                self._forget_ended(stream)
            case Reset(number) if number in self._streams:
                stream = self._streams.pop(number)
                stream.is_reset = True
                stream.inbox.end()

    def _forget_ended(self, stream: SpdyStream) -> None:
        if stream.has_said_all and stream.has_heard_all:
            self._streams.pop(stream.number, None)

    def _end(self) -> None:
        self.ended.set()
        self._idle.set()
        for stream in self._streams.values():
            stream.is_reset = True
            stream.inbox.end()
        self._streams.clear()
        self.accepted.put_nowait(None)


@asynccontextmanager
async def spdy_session(link: Link, *, is_client: bool = False) -> AsyncIterator[SpdySession]:
    """A session that reads and writes as long as the block runs; the link is its owner's to close."""
    session = SpdySession(link, is_client=is_client)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(session.read_in()), group.create_task(session.write_out())]
        try:
            yield session
        finally:
            for task in tasks:
                task.cancel()
