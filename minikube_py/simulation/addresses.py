"""Addresses for what has none of its own: each object its own, no two the same, given back when it goes."""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Iterator


class Addresses:
    """Hands out the addresses of a range by uid; `note` keeps those that objects from before have already."""

    def __init__(self, network: str) -> None:
        self._free: Iterator[ipaddress.IPv4Address] = ipaddress.IPv4Network(network).hosts()
        self._back: deque[str] = deque()
        self._of: dict[str, str] = {}
        self._taken: set[str] = set()

    def of(self, uid: str) -> str:
        """The object's address, from now on if it had none yet; "" when none is left."""
        found = self._of.get(uid)
        if found is None:
            found = self._next()
            if found:
                self.note(uid, found)
        return found

    def note(self, uid: str, address: str) -> None:
        self._of[uid] = address
        self._taken.add(address)

    def release(self, uid: str) -> None:
        address = self._of.pop(uid, None)
        if address is not None:
            self._taken.discard(address)
            self._back.append(address)

    def _next(self) -> str:
        for each in self._free:
            if str(each) not in self._taken:
                return str(each)
        # The longest unused first: whoever still thinks of the old owner has had the most time to hear of its end.
        while self._back:
            address = self._back.popleft()
            if address not in self._taken:
                return address
        return ""
