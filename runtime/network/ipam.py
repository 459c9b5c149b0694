"""Addresses of sandboxes: the lowest free one of the range, written down before it is used."""

from __future__ import annotations

import ipaddress
import json
import threading
from collections.abc import Collection
from pathlib import Path

from machinery.linux.durable import write_soon
from runtime.errors import ResourceExhausted


def allocate(pool: ipaddress.IPv4Network, taken: Collection[str], after: str = "") -> str:
    """A free address, the next after `after` so that one is not used again at once; raises ResourceExhausted.

    The network's address, the gateway's (the first) and the broadcast address are never given.
    """
    first, last = int(pool[2]), int(pool[-2])
    start = int(ipaddress.IPv4Address(after)) + 1 if after else first
    size = last - first + 1
    for step in range(size):
        address = str(ipaddress.IPv4Address(first + (start - first + step) % size))
        if address not in taken:
            return address
    raise ResourceExhausted(f"no free address is left in {pool}")


class Leases:
    """Sandbox id -> address, kept in a file that outlives this process. Blocks."""

    def __init__(self, path: Path, pool: ipaddress.IPv4Network) -> None:
        self._path = path
        self._pool = pool
        self._last = ""
        # Sandboxes are made in threads side by side.
        self._lock = threading.Lock()
        try:
            self._held: dict[str, str] = json.loads(path.read_text() or "{}")
        except FileNotFoundError:
            self._held = {}

    def take(self, sandbox_id: str) -> str:
        with self._lock:
            if sandbox_id not in self._held:
                self._held[sandbox_id] = self._last = allocate(self._pool, set(self._held.values()), self._last)
                self._write()
            return self._held[sandbox_id]

    def holds(self, sandbox_id: str) -> bool:
        with self._lock:
            return sandbox_id in self._held

    def give_back(self, sandbox_id: str) -> None:
        with self._lock:
            if self._held.pop(sandbox_id, None) is not None:
                self._write()

    def keep_only(self, sandbox_ids: Collection[str]) -> None:
        """Frees the addresses of all others."""
        with self._lock:
            gone = set(self._held) - set(sandbox_ids)
            if gone:
                for sandbox_id in gone:
                    del self._held[sandbox_id]
                self._write()

    def _write(self) -> None:
        # No address outlives a boot, so none has to be on the disk.
        write_soon(self._path, json.dumps(self._held, indent=1).encode())
