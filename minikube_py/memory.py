"""Gives memory back that the C library keeps after it was freed: a start alone leaves a fifth of the process so.

The library returns the end of its heap by itself, but never the holes in it, and a busy hour makes many.
"""

from __future__ import annotations

import asyncio
import ctypes
import time

SOON, INTERVAL = 5.0, 60.0
_WORTH_IT = 1.0
"""Seconds of the CPU since the last time: who did less than that has freed little."""


def give_back() -> None:
    """All that is free goes back to the kernel; does nothing with a C library that knows no `malloc_trim`."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


async def keep_trimmed() -> None:
    """Gives back soon after the start, then after each minute in which something was done."""
    used, wait = 0.0, SOON
    while True:
        await asyncio.sleep(wait)
        wait = INTERVAL
        if time.process_time() - used >= _WORTH_IT:
            # In a thread, as it looks at every page of the heap.
            await asyncio.to_thread(give_back)
            used = time.process_time()
