"""The program on asyncio's own loop, whose callbacks can be timed: appends to FILE when each long one began, in seconds
of the monotonic clock, and what it took of time and of CPU time.

    python -m tests.bench.timed_program FILE ARGUMENTS…
"""

from __future__ import annotations

import asyncio.events
import sys
import time
from pathlib import Path
from typing import Any

_LONG = 0.002


def time_callbacks(file: Path) -> None:
    plain = asyncio.events.Handle._run
    told = file.open("a", buffering=1)

    def run(handle: Any) -> None:
        began, computed = time.monotonic(), time.thread_time()
        plain(handle)
        took = time.monotonic() - began
        if took > _LONG:
            told.write(f"{began} {took} {time.thread_time() - computed}\n")

    asyncio.events.Handle._run = run  # type: ignore[method-assign]
    # What is missing is not used.
    sys.modules["uvloop"] = None  # type: ignore[assignment]


if __name__ == "__main__":
    time_callbacks(Path(sys.argv[1]))
    sys.argv = [sys.argv[0], *sys.argv[2:]]
    from minikube_py.__main__ import main

    sys.exit(main())
