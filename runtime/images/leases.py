"""Leases of the containerd API: what a client has sent and not yet named is no garbage while its lease lasts.

They live as long as this process: a client whose server ends has to begin its transfer anew anyway.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime

from machinery.structs import Struct, field
from runtime.errors import AlreadyExists, NotFound

EXPIRE = "containerd.io/gc.expire"
CONTENT = "content"


class Lease(Struct, frozen=True):
    """`resources` are pairs of sort (`content`, `snapshots/overlayfs`) and id; times are Unix nanoseconds."""

    id: str
    created_at: int
    labels: Mapping[str, str]
    resources: set[tuple[str, str]] = field(default_factory=set)

    def is_over(self, now: float) -> bool:
        """Whether the time that its label names (RFC 3339) has come."""
        try:
            return datetime.fromisoformat(self.labels.get(EXPIRE, "")).timestamp() <= now
        except ValueError:
            return False


class Leases:
    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}

    def create(self, lease_id: str, labels: Mapping[str, str]) -> Lease:
        if lease_id in self._leases:
            raise AlreadyExists(f'lease "{lease_id}": already exists')
        lease = self._leases[lease_id] = Lease(lease_id, time.time_ns(), dict(labels))
        return lease

    def get(self, lease_id: str) -> Lease:
        """Raises NotFound."""
        try:
            return self._leases[lease_id]
        except KeyError:
            raise NotFound(f'lease "{lease_id}": not found') from None

    def delete(self, lease_id: str) -> None:
        self.get(lease_id)
        del self._leases[lease_id]

    def list(self) -> list[Lease]:
        return list(self._leases.values())

    def hold(self, lease_id: str, digest: str) -> None:
        """Puts a blob under a lease; nothing where the client works without one."""
        if lease_id:
            self.get(lease_id).resources.add((CONTENT, digest))

    def held(self, now: float) -> set[str]:
        """The digests of all blobs under leases that last."""
        return {
            name
            for lease in list(self._leases.values())
            if not lease.is_over(now)
            for sort, name in list(lease.resources)
            if sort == CONTENT
        }
