"""An event loop whose clock jumps to the next timer when nothing else is ready: a test waits hours in no time.

Not for tests with threads or children, whose work takes real time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and for nothing that a clock brings")
        found = super().select(0)
        if not found:
            self.now += max(timeout, 0.0)
        return found


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(body: Coroutine[Any, Any, T]) -> T:
    """What `body` returns; `machinery.client.clock.SystemClock` tells this loop's time as `monotonic`."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(body)
