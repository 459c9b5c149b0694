"""Lets one task at a time work on a key; the next then finds the work done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class QueueByKey:
    def __init__(self) -> None:
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Waits for those who came first with the same key."""
        turn, waiting = self._turns.get(key, (asyncio.Lock(), 0))
        self._turns[key] = (turn, waiting + 1)
        try:
            async with turn:
                yield
        finally:
            turn, waiting = self._turns.pop(key)
            if waiting > 1:
                self._turns[key] = (turn, waiting - 1)
