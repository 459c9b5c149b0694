"""Streams of a session: read and written, ended and reset, each waiting for a slow reader, none for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from machinery.streams.inbox import LIMIT, Inbox
from machinery.streams.spdy_session import SpdySession, SpdyStream, spdy_session


class Pipe:
    """A link to another one in the same process, which holds one message each way."""

    def __init__(self) -> None:
        self.other: Pipe = self
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(1)
        self.is_cut = False

    async def receive(self) -> bytes:
        return await self._queue.get()

    async def send(self, data: bytes) -> None:
        if self.is_cut:
            raise ConnectionResetError("cut")
        await self.other._queue.put(data)

    async def end(self) -> None:
        await self.other._queue.put(b"")


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[SpdySession, SpdySession, Pipe]]:
    ours, theirs = Pipe(), Pipe()
    ours.other, theirs.other = theirs, ours
    async with spdy_session(ours, is_client=True) as client, spdy_session(theirs) as server:
        yield client, server, ours


async def accepted(session: SpdySession) -> SpdyStream:
    stream = await session.accepted.get()
    assert stream is not None
    return stream


async def whole(stream: SpdyStream) -> bytes:
    found = b""
    while piece := await stream.read():
        found += piece
    return found


async def test_both_directions_end_by_themselves() -> None:
    async with pair() as (client, server, _):
        here = await client.open({"streamtype": "data"})
        there = await accepted(server)
        assert there.fields == {"streamtype": "data"}
        await here.write(b"question")
        await here.end()
        assert await whole(there) == b"question"
        await there.write(b"answer")
        await there.end()
        assert await whole(here) == b"answer"


async def test_a_writer_waits_for_the_reader() -> None:
    async with pair() as (client, server, _):
        here = await client.open({})
        there = await accepted(server)
        size = 8 * LIMIT
        writing = asyncio.get_running_loop().create_task(here.write(bytes(size)))
        done, _ = await asyncio.wait([writing], timeout=0.2)
        assert not done
        got = 0
        while got < size:
            got += len(await there.read())
        await writing


async def test_an_abandoned_stream_holds_up_no_other() -> None:
    async with pair() as (client, server, _):
        full, free = await client.open({}), await client.open({})
        unread, read = await accepted(server), await accepted(server)
        unread.abandon()
        await full.write(bytes(8 * LIMIT))
        await free.write(b"still here")
        assert await read.read() == b"still here"


async def test_a_reset_is_told_and_writing_fails() -> None:
    async with pair() as (client, server, _):
        here = await client.open({})
        there = await accepted(server)
        there.reset()
        assert await here.read() == b""
        with pytest.raises(ConnectionResetError):
            await here.write(b"x")


async def test_the_link_s_end_ends_everything() -> None:
    async with pair() as (client, server, ours):
        here = await client.open({})
        there = await accepted(server)
        await here.write(b"last words")
        await client.leave()
        await ours.end()
        assert await whole(there) == b"last words"
        assert await server.accepted.get() is None
        await server.ended.wait()
        with pytest.raises(ConnectionResetError):
            await there.write(b"x")
        await server.leave()


async def test_a_link_that_takes_no_more_ends_the_session() -> None:
    async with pair() as (client, _, ours):
        here = await client.open({})
        ours.is_cut = True
        await here.write(b"x")
        await client.ended.wait()
        assert await here.read() == b""


async def test_a_session_forgets_streams_that_ended() -> None:
    async with pair() as (client, server, _):
        for _ in range(3000):
            here = await client.open({})
            there = await accepted(server)
            await here.end()
            assert await there.read() == b""
            await there.end()
            assert await here.read() == b""


async def test_an_inbox_gives_what_came_before_its_end() -> None:
    inbox = Inbox()
    await inbox.put(b"a")
    inbox.end()
    await inbox.put(b"too late")
    assert [await inbox.get(), await inbox.get(), await inbox.get()] == [b"a", b"", b""]
