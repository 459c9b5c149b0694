"""Memory that is free goes back: by Python's collector of cycles when nobody waits, by the C library when it was freed.

A pass of the collector over all that a cluster keeps takes a tenth of a second for two thousand pods, and holds the
loop. So of itself it looks at what is young alone, and at the rest once the process rests. The C library returns the
end of its heap by itself, but never the holes in it, and a start or a busy hour makes many.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import time

SOON, INTERVAL = 5.0, 60.0
_WORTH_IT = 1.0
"""Seconds of the CPU since the last time: who did less than that has freed little."""
_YOUNG, _NEVER = 2_000, 1 << 30
_MANY_PASSES = 125
"""Of the young, since the last over all: a quarter of a million objects that stayed, some of them in cycles."""
_LOOKS_FOR, _PATIENCE = 0.5, 600.0
_AT_REST = 0.1
"""Of a core."""


def collect_nothing_yet() -> None:
    """Start-up garbage is not worth a pass."""
    gc.disable()
    gc.set_threshold(_YOUNG, _NEVER, _NEVER)


def collect_from_now_on() -> None:
    """What is there stays and is never looked at; what outlives a pass over the young is left to `keep_trimmed`."""
    gc.freeze()
    gc.enable()


def give_back() -> None:
    """All that is free goes back to the kernel; does nothing with a C library that knows no `malloc_trim`."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


async def keep_trimmed() -> None:
    """Gives back soon after the start, then after each minute in which something was done."""
    used, wait, passes = 0.0, SOON, 0
    while True:
        await asyncio.sleep(wait)
        wait = INTERVAL
        if time.process_time() - used >= _WORTH_IT:
            if _passes() - passes >= _MANY_PASSES:
                await _rest()
                gc.collect()
                passes = _passes()
            # In a thread, as it looks at every page of the heap.
            await asyncio.to_thread(give_back)
            used = time.process_time()


def _passes() -> int:
    passes: int = gc.get_stats()[0]["collections"]
    return passes


async def _rest() -> None:
    """Returns once the process has little to do, or has had much to do for too long."""
    ends = time.monotonic() + _PATIENCE
    while time.monotonic() < ends:
        before = time.process_time()
        await asyncio.sleep(_LOOKS_FOR)
        if time.process_time() - before < _LOOKS_FOR * _AT_REST:
            return
