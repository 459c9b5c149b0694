"""The store on a real etcd, by its own gRPC messages; keys lie where a kube-apiserver would put them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from apiserver.storage.compaction import Compaction
from apiserver.storage.etcd_channel import CALL_SECONDS, CompactedReadError, EtcdAccess, EtcdChannel
from apiserver.storage.etcd_watch import EtcdWatch
from apiserver.storage.store import (
    CompactedError,
    KeyValue,
    RangeResult,
    StoreEvent,
    StoreUnavailableError,
    TxnResult,
)
from machinery.rpc.wire import ETCD

_log = logging.getLogger(__name__)
_ANY_KEY = "/registry/"


class EtcdStore:
    """`Store` over etcd; `prefix` stands before `/registry/`."""

    def __init__(self, channel: EtcdChannel, prefix: str, revision: int) -> None:
        self.access = channel.access
        self._channel = channel
        self._prefix = prefix
        self._compaction = Compaction(revision)
        self._compacted = 0

    @classmethod
    async def connect(
        cls, servers: Sequence[str], *, ca: str = "", cert: str = "", key: str = "", prefix: str = ""
    ) -> EtcdStore:
        """The store, once a server has answered; raises StoreUnavailableError in one line."""
        channel = EtcdChannel(EtcdAccess(tuple(servers), ca=ca, cert=cert, key=key))
        store = cls(channel, prefix.rstrip("/"), 0)
        try:
            store._compaction = Compaction(await store.current_revision())
        except BaseException:
            await channel.close()
            raise
        return store

    async def range(self, prefix: str, *, revision: int = 0, limit: int = 0, start_after: str = "") -> RangeResult:
        key, end = self.span(prefix)
        if start_after:
            key = max(key, self._key(start_after) + b"\0")
        request = _RANGE(key=key, range_end=end, revision=revision, limit=limit)
        try:
            found = await self._read("KV", "Range", request)
        except CompactedReadError:
            raise CompactedError(await self._oldest()) from None
        items = [self.key_value(kv) for kv in found.kvs]
        return RangeResult(items, found.header.revision, found.count, more=found.more)

    async def put(self, key: str, value: bytes, *, expected: int, lease: int = 0, relaxed: bool = False) -> TxnResult:
        # etcd acknowledges nothing before the quorum has it on disk, so `relaxed` has no meaning here.
        name = self._key(key)
        put = _OP(request_put=_PUT(key=name, value=value, lease=lease))
        return await self._transact(name, put, expected)

    async def delete(self, key: str, *, expected: int) -> TxnResult:
        name = self._key(key)
        return await self._transact(name, _OP(request_delete_range=_DELETE(key=name)), expected)

    async def _transact(self, key: bytes, operation: Any, expected: int) -> TxnResult:
        unchanged = _COMPARE(key=key, target=_MOD, result=_EQUAL, mod_revision=expected)
        otherwise = _OP(request_range=_RANGE(key=key))
        request = _TXN(compare=[unchanged], success=[operation], failure=[otherwise])
        done = await self._channel.write(lambda stubs: stubs.KV.Txn(request, timeout=CALL_SECONDS))
        revision = done.header.revision
        if done.succeeded:
            await self._compact_if_due(revision)
            return TxnResult(succeeded=True, revision=revision)
        there = done.responses[0].response_range.kvs
        return TxnResult(succeeded=False, revision=revision, current=self.key_value(there[0]) if there else None)

    @asynccontextmanager
    async def watch(self, prefix: str, *, start: int) -> AsyncIterator[AsyncIterator[Sequence[StoreEvent]]]:
        key, end = self.span(prefix)
        watch = EtcdWatch(self._channel, key, end, start)
        events = self._events(watch)
        try:
            yield events
        finally:
            await events.aclose()
            watch.cancel()

    async def _events(self, watch: EtcdWatch) -> Any:
        while True:
            yield [self._event(event) for event in await watch.next()]

    async def grant_lease(self, seconds: int) -> int:
        request = ETCD.message("etcdserverpb.LeaseGrantRequest")(TTL=seconds)
        granted = await self._channel.write(lambda stubs: stubs.Lease.LeaseGrant(request, timeout=CALL_SECONDS))
        lease: int = granted.ID
        return lease

    async def compact(self, revision: int) -> None:
        request = ETCD.message("etcdserverpb.CompactionRequest")(revision=revision)
        try:
            await self._channel.write(lambda stubs: stubs.KV.Compact(request, timeout=CALL_SECONDS))
        except CompactedReadError:
            raise CompactedError(await self._oldest()) from None
        self._compacted = max(self._compacted, revision)

    async def current_revision(self) -> int:
        # One key, not serializable: etcd confirms its leadership before it answers.
        found = await self._read("KV", "Range", _RANGE(key=self._key(_ANY_KEY), count_only=True))
        revision: int = found.header.revision
        return revision

    async def snapshot(self, path: Path) -> int:
        """Saves etcd's database to `path` and returns its size."""
        stubs = await self._channel.ready()
        size = 0
        with path.open("wb") as out:
            async for part in stubs.Maintenance.Snapshot(ETCD.message("etcdserverpb.SnapshotRequest")()):
                size += len(part.blob)
                await asyncio.to_thread(out.write, part.blob)
        return size

    async def close(self) -> None:
        await self._channel.close()

    async def _read(self, service: str, method: str, request: Any) -> Any:
        return await self._channel.read(
            lambda stubs: getattr(getattr(stubs, service), method)(request, timeout=CALL_SECONDS)
        )

    async def _oldest(self) -> int:
        """The compacted revision, which etcd tells watches alone."""
        watch = EtcdWatch(self._channel, self._key(_ANY_KEY), b"", 1)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await watch.next()
        except CompactedError as error:
            return error.compacted
        except TimeoutError:
            pass
        finally:
            watch.cancel()
        return self._compacted

    async def _compact_if_due(self, revision: int) -> None:
        """Every five minutes of writing, as a kube-apiserver does; the past has no other bound in etcd."""
        due = self._compaction.due(revision, self._compacted, time.monotonic())
        if not due:
            return
        try:
            await self.compact(due)
        except (CompactedError, StoreUnavailableError) as error:
            _log.info("compaction to %d left out: %s", due, error)

    def span(self, prefix: str) -> tuple[bytes, bytes]:
        """etcd's key and range_end of a prefix, or of a single key."""
        key = self._key(prefix)
        return key, key[:-1] + b"0" if prefix.endswith("/") else b""

    def _key(self, key: str) -> bytes:
        return f"{self._prefix}{key}".encode()

    def _name(self, key: bytes) -> str:
        return key.decode().removeprefix(self._prefix)

    def key_value(self, kv: Any) -> KeyValue:
        return KeyValue(self._name(kv.key), kv.value, kv.create_revision, kv.mod_revision, kv.lease)

    def _event(self, event: Any) -> StoreEvent:
        kv = event.kv
        previous = self.key_value(event.prev_kv) if event.HasField("prev_kv") else None
        if event.type == _DELETED:
            created = previous.create_revision if previous is not None else 0
            return StoreEvent("delete", self._name(kv.key), b"", kv.mod_revision, created, previous)
        return StoreEvent("put", self._name(kv.key), kv.value, kv.mod_revision, kv.create_revision, previous)


_RANGE = ETCD.message("etcdserverpb.RangeRequest")
_PUT = ETCD.message("etcdserverpb.PutRequest")
_DELETE = ETCD.message("etcdserverpb.DeleteRangeRequest")
_OP = ETCD.message("etcdserverpb.RequestOp")
_TXN = ETCD.message("etcdserverpb.TxnRequest")
_COMPARE = ETCD.message("etcdserverpb.Compare")
_MOD = ETCD.enum("etcdserverpb.Compare.CompareTarget")["MOD"]
_EQUAL = ETCD.enum("etcdserverpb.Compare.CompareResult")["EQUAL"]
_DELETED = ETCD.enum("mvccpb.Event.EventType")["DELETE"]
