"""One watch on etcd that goes on behind its last event when the connection breaks."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import grpc.aio

from apiserver.storage.etcd_channel import EtcdChannel, told
from apiserver.storage.store import CompactedError, StoreUnavailableError
from machinery.rpc.wire import ETCD

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_log = logging.getLogger(__name__)


class EtcdWatch:
    """Events from `start` on of the keys from `key` to `end`."""

    def __init__(self, channel: EtcdChannel, key: bytes, end: bytes, start: int) -> None:
        self._channel = channel
        self._key = key
        self._end = end
        self._next = start
        self._call: Any = None
        self._pause = _FIRST_PAUSE

    async def next(self) -> list[Any]:
        """The next events, whole revisions; raises CompactedError when what follows is gone."""
        while True:
            try:
                return await self._receive()
            except (grpc.aio.AioRpcError, StoreUnavailableError) as error:
                self.cancel()
                if self._channel.is_closed:
                    raise StoreUnavailableError("the store is closed") from error
                reason = told(error) if isinstance(error, grpc.aio.AioRpcError) else error
                _log.warning("the watch on etcd broke, it goes on from %d: %s", self._next, reason)
                await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    async def _receive(self) -> list[Any]:
        events: list[Any] = []
        while True:
            if self._call is None:
                await self._open()
                events = []
            answer = await self._read()
            if answer is grpc.aio.EOF or (answer.canceled and not answer.compact_revision):
                reason = "" if answer is grpc.aio.EOF else answer.cancel_reason
                raise StoreUnavailableError(f"etcd ended the watch {reason}".strip())
            if answer.compact_revision:
                self.cancel()
                raise CompactedError(answer.compact_revision)
            self._pause = _FIRST_PAUSE
            events += answer.events
            if answer.fragment:
                continue
            if events:
                self._next = events[-1].kv.mod_revision + 1
                return events
            if not answer.created:
                # Progress: so far there was nothing for us, and a new connection need not ask for it.
                self._next = max(self._next, answer.header.revision + 1)

    async def _read(self) -> Any:
        try:
            return await self._call.read()
        except asyncio.CancelledError:
            # gRPC cancels the calls of a channel that is closed, which is not the cancellation of our task.
            if self._channel.is_closed:
                raise StoreUnavailableError("the store is closed") from None
            raise

    async def _open(self) -> None:
        stubs = await self._channel.ready()
        self._call = stubs.Watch.Watch()
        create = ETCD.message("etcdserverpb.WatchCreateRequest")(
            key=self._key,
            range_end=self._end,
            start_revision=self._next,
            prev_kv=True,
            progress_notify=True,
            fragment=True,
        )
        await self._call.write(ETCD.message("etcdserverpb.WatchRequest")(create_request=create))
