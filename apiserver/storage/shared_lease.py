"""One lease for all short-lived keys of the same minute, since etcd pays for each lease (Events live an hour)."""

from __future__ import annotations

from apiserver.storage.store import Store
from machinery.client.clock import Clock

_SHARED_SECONDS = 60


class SharedLease:
    """A lease whose keys live `seconds`, and up to a minute longer."""

    def __init__(self, store: Store, clock: Clock, *, seconds: int = 3600) -> None:
        self._store = store
        self._clock = clock
        self._seconds = seconds
        self._lease = 0
        self._until = float("-inf")

    async def get(self) -> int:
        """The lease to put a key under now."""
        now = self._clock.monotonic()
        if now >= self._until:
            # Two who come at once get two leases, which harms nobody.
            lease = await self._store.grant_lease(self._seconds + _SHARED_SECONDS)
            self._lease, self._until = lease, now + _SHARED_SECONDS
        return self._lease
