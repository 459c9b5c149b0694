"""The store's contract, which is etcd's: MVCC over flat keys, one revision a transaction, watch from a revision.

`sqlite.SqliteStore` and `etcd.EtcdStore` implement it, `tests/contract/test_store.py` holds both to it. Keys begin
with `/registry/`; values are the object's canonical JSON without `metadata.resourceVersion`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from machinery.structs import Struct


class CompactedError(Exception):
    """The revision asked for is older than `compacted`."""

    def __init__(self, compacted: int) -> None:
        super().__init__(f"the required revision has been compacted, the oldest is {compacted}")
        self.compacted = compacted


class FutureRevisionError(Exception):
    """The revision asked for has not happened yet."""


class StoreUnavailableError(Exception):
    """The store can't answer now (disk full, etcd away); the message says why, for the user."""


class LeaseExpiredError(StoreUnavailableError):
    """The lease that a put names has ended: grant another one."""


class KeyValue(Struct, frozen=True):
    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    lease: int = 0


class RangeResult(Struct, frozen=True):
    """`revision` is the store's at the read; `more` says that `limit` cut the range, `count` is the whole range's."""

    items: Sequence[KeyValue]
    revision: int
    count: int
    more: bool = False


class TxnResult(Struct, frozen=True):
    """`current` is what the key held when the compare failed (None: absent), else None."""

    succeeded: bool
    revision: int
    current: KeyValue | None = None


class StoreEvent(Struct, frozen=True):
    """`value` is the new value of a put and b"" for a delete; `previous` is what the key held before."""

    type: Literal["put", "delete"]
    key: str
    value: bytes
    revision: int
    create_revision: int
    previous: KeyValue | None


class Store(Protocol):
    async def range(self, prefix: str, *, revision: int = 0, limit: int = 0, start_after: str = "") -> RangeResult:
        """Keys that begin with `prefix`, in order; a prefix that ends in no slash is a single key."""

    async def put(self, key: str, value: bytes, *, expected: int, lease: int = 0, relaxed: bool = False) -> TxnResult:
        """Writes if the key's mod_revision is `expected` (0: absent); returns once the write is durable.

        `relaxed` writes (Lease, Event) may be acknowledged before the fsync.
        """

    async def delete(self, key: str, *, expected: int) -> TxnResult:
        """Deletes if the key's mod_revision is `expected`."""

    def watch(self, prefix: str, *, start: int) -> AbstractAsyncContextManager[AsyncIterator[Sequence[StoreEvent]]]:
        """Batches of events of revisions >= `start`, never splitting a revision; raises CompactedError."""

    async def grant_lease(self, seconds: int) -> int:
        """A lease whose keys are deleted when it ends; not renewed."""

    async def compact(self, revision: int) -> None: ...

    async def current_revision(self) -> int:
        """The store's newest revision, linearizable."""

    async def close(self) -> None: ...
