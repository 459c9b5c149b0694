"""Descriptors that never block the loop: pipes and terminals, read and written as there is room."""

from __future__ import annotations

import asyncio
import os
import pty

import pytest

from machinery.linux.descriptor import Descriptor


async def test_a_reader_waits_and_finds_the_end() -> None:
    ours, theirs = os.pipe()
    reader = Descriptor(ours)
    reading = asyncio.get_running_loop().create_task(reader.read())
    done, _ = await asyncio.wait([reading], timeout=0.05)
    assert not done
    os.write(theirs, b"word")
    assert await reading == b"word"
    os.close(theirs)
    assert await reader.read() == b""
    reader.close()


async def test_a_writer_waits_for_room() -> None:
    theirs, ours = os.pipe()
    writer, reader = Descriptor(ours), Descriptor(theirs)
    data = bytes(range(256)) * 4096
    writing = asyncio.get_running_loop().create_task(writer.write(data))
    got = b""
    while len(got) < len(data):
        got += await reader.read()
    await writing
    assert got == data
    writer.close()
    assert await reader.read() == b""
    reader.close()


async def test_nobody_reads() -> None:
    theirs, ours = os.pipe()
    os.close(theirs)
    writer = Descriptor(ours)
    with pytest.raises(BrokenPipeError):
        await writer.write(b"x")
    writer.close()
    with pytest.raises(BrokenPipeError):
        await writer.write(b"x")


async def test_closing_wakes_who_waits() -> None:
    ours, theirs = os.pipe()
    reader = Descriptor(ours)
    reading = asyncio.get_running_loop().create_task(reader.read())
    await asyncio.sleep(0)
    reader.close()
    reader.close()
    assert await reading == b""
    os.close(theirs)


async def test_a_terminal_that_is_hung_up_has_ended() -> None:
    ours, theirs = pty.openpty()
    terminal = Descriptor(ours)
    os.write(theirs, b"last words\n")
    os.close(theirs)
    said = b""
    # The kernel hands them over in as many pieces as it likes.
    while data := await terminal.read():
        said += data
    assert said == b"last words\r\n"
    terminal.close()
