"""Tells when the wall clock was set or the machine has slept: timers stand still meanwhile (timerfd_create(2))."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_CLOCK_REALTIME = 0
_ABSOLUTE, _CANCEL_ON_SET = 0x1, 0x2
# A moment that never comes: interval and first expiration, in seconds and nanoseconds.
_NEVER = struct.pack("=qqqq", 0, 0, (1 << 62) // 1_000_000_000, 0)
_libc = ctypes.CDLL(None, use_errno=True)


@asynccontextmanager
async def jumps() -> AsyncIterator[asyncio.Event]:
    """The event is set at each jump, for the caller to clear; raises OSError where the kernel can't tell."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    timer = _libc.timerfd_create(_CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC)
    if timer < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")

    def read() -> None:
        try:
            os.read(timer, 8)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
        told.set()
        _arm(timer)

    try:
        _arm(timer)
        loop.add_reader(timer, read)
        try:
            yield told
        finally:
            loop.remove_reader(timer)
    finally:
        os.close(timer)


def _arm(timer: int) -> None:
    if _libc.timerfd_settime(timer, _ABSOLUTE | _CANCEL_ON_SET, _NEVER, None) != 0:
        raise OSError(ctypes.get_errno(), "timerfd_settime")
