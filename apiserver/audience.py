"""Watchers who see the same get the same bytes: each event is framed once, all of one turn of the loop in one write.

A hundred clients that watch all pods of a namespace differ in nothing but their sockets. So they are no readers that
wake up one by one: the cache tells their audience, which hands one piece to each listener.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from apiserver.cache_bucket import CacheEvent

Encode = Callable[[Sequence["CacheEvent"]], bytes]


class Listener(Protocol):
    """One watcher; both calls return at once."""

    def take(self, piece: bytes, revision: int) -> None:
        """The events up to `revision`, as the audience encodes them."""

    def end(self) -> None:
        """The past was lost or the server ends: nothing more comes."""


class Audience:
    """The listeners of one resource and namespace ("" for all)."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._listeners: set[Listener] = set()
        self._pending: list[CacheEvent] = []

    @property
    def is_empty(self) -> bool:
        return not self._listeners

    def join(self, listener: Listener) -> None:
        """From the next event on; what the others still wait for is not for the newcomer, who has seen it."""
        self.flush()
        self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def tell(self, event: CacheEvent) -> None:
        if not self._pending:
            asyncio.get_running_loop().call_soon(self.flush)
        self._pending.append(event)

    def flush(self) -> None:
        """Hands out what waits."""
        if not self._pending:
            return
        events, self._pending = self._pending, []
        piece = self._encode(events)
        for listener in tuple(self._listeners):
            listener.take(piece, events[-1].revision)

    def end(self) -> None:
        self.flush()
        for listener in tuple(self._listeners):
            listener.end()
        self._listeners.clear()
