"""Addresses of sandboxes: the lowest free one of each range, written down before they are used."""

from __future__ import annotations

import ipaddress
import json
import threading
from collections.abc import Collection, Sequence
from pathlib import Path

from machinery.ip_families import Network
from machinery.linux.durable import write_soon
from runtime.errors import ResourceExhausted


def allocate(pool: Network, taken: Collection[str], after: str = "") -> str:
    """A free address, the next after `after` so that one is not used again at once; raises ResourceExhausted.

    The network's address, the gateway's (the first) and the last one, IPv4's broadcast address, are never given.
    """
    first, last = int(pool[2]), int(pool[-2])
    start = int(ipaddress.ip_address(after)) + 1 if after else first
    size = last - first + 1
    for step in range(size):
        address = str(pool[first - int(pool[0]) + (start - first + step) % size])
        if address not in taken:
            return address
    raise ResourceExhausted(f"no free address is left in {pool}")


class Leases:
    """Sandbox id -> its addresses, one of each pool, kept in a file that outlives this process. Blocks."""

    def __init__(self, path: Path, pools: Sequence[Network]) -> None:
        self._path = path
        self._pools = pools
        self._last: tuple[str, ...] = ("",) * len(pools)
        # Sandboxes are made in threads side by side.
        self._lock = threading.Lock()
        try:
            said: dict[str, str] = json.loads(path.read_text() or "{}")
        except FileNotFoundError:
            said = {}
        self._held = {sandbox_id: tuple(addresses.split()) for sandbox_id, addresses in said.items()}

    def take(self, sandbox_id: str) -> tuple[str, ...]:
        """The sandbox's addresses, in the pools' order; raises ResourceExhausted."""
        with self._lock:
            if sandbox_id not in self._held:
                taken = {address for addresses in self._held.values() for address in addresses}
                pairs = zip(self._pools, self._last, strict=True)
                self._held[sandbox_id] = self._last = tuple(allocate(pool, taken, after) for pool, after in pairs)
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
        said = {sandbox_id: " ".join(addresses) for sandbox_id, addresses in self._held.items()}
        write_soon(self._path, json.dumps(said, indent=1).encode())
