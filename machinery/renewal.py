"""Keeps certificates from running out while the process lives for years."""

from __future__ import annotations

from collections.abc import Callable

from machinery.client.clock import Clock
from machinery.contain import contain
from machinery.pki import Pki

DAY = 24 * 3600


async def renew_daily(pki: Pki, clock: Clock, renewed: Callable[[], None] = lambda: None) -> None:
    """Renews what is near its end, once a day, for good; calls `renewed` so that other listeners can load it anew."""
    while True:
        await clock.sleep(DAY)
        with contain("certificate renewal"):
            if pki.renew(clock.now()):
                renewed()
