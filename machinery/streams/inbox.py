"""Bytes that have come and wait for their reader; whoever brings them waits while there are too many."""

from __future__ import annotations

import asyncio
from collections import deque

LIMIT = 1 << 18


class Inbox:
    """One reader and one writer."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._has_ended = self._is_unread = False
        self._changed, self._taken = asyncio.Event(), asyncio.Event()

    async def get(self) -> bytes:
        """The next piece; empty at the end."""
        while not self._pieces:
            if self._has_ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        piece = self._pieces.popleft()
        self._held -= len(piece)
        self._taken.set()
        return piece

    async def put(self, data: bytes) -> None:
        """Returns when there is room for more; what comes after the end is dropped."""
        if self._has_ended or not data:
            return
        self._pieces.append(data)
        self._held += len(data)
        self._changed.set()
        while self._held > LIMIT and not self._is_unread:
            self._taken.clear()
            await self._taken.wait()

    def end(self) -> None:
        """Nothing more comes."""
        self._has_ended = True
        self._changed.set()

    def abandon(self) -> None:
        """Nobody reads any more: what is there and what may come is dropped."""
        self._is_unread = True
        self._pieces.clear()
        self._held = 0
        self._taken.set()
        self.end()
