"""Follows what firewalls do with their chains: one that is loaded anew has lost the rule that lets sandboxes pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from machinery.contain import contain
from machinery.linux.nft_events import Table, listener, tables

_OURS = "mkpy-"
# A firewall makes its rules one by one, and ours would be in the way meanwhile.
_SETTLES_AFTER = 0.5
_DATAGRAM = 1 << 16

Open = Callable[[Collection[Table] | None], None]


async def follow(open_chains: Open) -> None:
    """Calls `open_chains` (in a thread) with the tables that others have changed, None for all; until cancelled.

    It begins with all: on a machine that boots, firewalls load their rules while this starts.
    """
    changed: set[Table] = set()
    is_lost = True
    wake = asyncio.Event()
    wake.set()
    loop = asyncio.get_running_loop()
    with listener() as socket:

        def read() -> None:
            nonlocal is_lost
            try:
                found = {table for table in tables(socket.recv(_DATAGRAM)) if not table.name.startswith(_OURS)}
            except BlockingIOError:
                return
            except OSError:
                # More was changed at once than the socket holds.
                is_lost = True
                wake.set()
                return
            if found:
                changed.update(found)
                wake.set()

        loop.add_reader(socket.fileno(), read)
        try:
            while True:
                await wake.wait()
                await asyncio.sleep(_SETTLES_AFTER)
                wake.clear()
                asked = None if is_lost else set(changed)
                changed.clear()
                is_lost = False
                with contain("firewalls"):
                    await asyncio.to_thread(open_chains, asked)
        finally:
            loop.remove_reader(socket.fileno())
