"""What clients were promised, by one-time tokens: CRI answers with a URL, and whoever comes with it is served once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Generic, TypeVar

from runtime.errors import ResourceExhausted

SECONDS = 60.0
MOST = 1000

T = TypeVar("T")


class Tokens(Generic[T]):
    """As those of every node's runtime: good for a minute, once, and no more than a thousand at a time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._promised: dict[str, tuple[float, T]] = {}

    def promise(self, what: T) -> str:
        """A token for it; raises ResourceExhausted where too many wait to be redeemed."""
        now = self._now()
        self._promised = {token: (end, each) for token, (end, each) in self._promised.items() if end > now}
        if len(self._promised) >= MOST:
            raise ResourceExhausted("maximum number of in-flight requests exceeded")
        token = secrets.token_urlsafe(12)
        self._promised[token] = (now + SECONDS, what)
        return token

    def redeem(self, token: str) -> T | None:
        """What was promised; None for a token that is unknown, used or too old."""
        end, what = self._promised.pop(token, (0.0, None))
        return what if end > self._now() else None
