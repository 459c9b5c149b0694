"""Calls to etcd over gRPC: TLS, several servers, reconnecting with back-off, errors in the contract's words.

A call goes out on a connection that is ready. A read that fails is asked again; a write is not, because nobody knows
whether etcd has carried it out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
import grpc.aio

from apiserver.storage.store import FutureRevisionError, LeaseExpiredError, StoreUnavailableError
from machinery.rpc.wire import ETCD
from machinery.structs import Struct

T = TypeVar("T")
_STATUS = ETCD.message("etcdserverpb.StatusRequest")

CALL_SECONDS = 10.0
_PATIENCE = 5.0
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A server that vanished without a word is noticed; etcd refuses pings more often than every 5 s.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Channels to equal addresses share connections by default, also beyond a server's restart.
    ("grpc.use_local_subchannel_pool", 1),
)


class CompactedReadError(Exception):
    """A read asked for a revision that etcd has compacted; etcd doesn't say up to where."""


class EtcdAccess(Struct, frozen=True):
    """Where etcd is and how to be let in; paths of PEM files, "" where not used."""

    servers: tuple[str, ...]
    ca: str = ""
    cert: str = ""
    key: str = ""

    @property
    def is_secure(self) -> bool:
        return bool(self.ca or self.cert) or any(server.startswith("https://") for server in self.servers)

    @property
    def targets(self) -> tuple[str, ...]:
        """host:port of each server."""
        return tuple(_target(server) for server in self.servers)


def _target(server: str) -> str:
    parts = urlsplit(server if "//" in server else f"//{server}")
    if parts.scheme not in ("", "http", "https") or not parts.hostname:
        raise StoreUnavailableError(f"{server} is no address of an etcd server: give http://HOST:PORT")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{parts.port or 2379}"


class EtcdChannel:
    """One connection at a time to one of the servers; the next one when it fails."""

    def __init__(self, access: EtcdAccess) -> None:
        self.access = access
        credentials = _credentials(access) if access.is_secure else None
        self._channels = [_channel(target, credentials) for target in access.targets]
        self._stubs = [_stubs(channel) for channel in self._channels]
        self._current = 0
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True
        for channel in self._channels:
            await channel.close()

    async def ready(self) -> Any:
        """The stubs of a server that is connected; raises StoreUnavailableError if none is within some seconds."""
        if self.is_closed:
            raise StoreUnavailableError("the store is closed")
        if self._channels[self._current].get_state() is grpc.ChannelConnectivity.READY:
            return self._stubs[self._current]
        try:
            async with asyncio.timeout(_PATIENCE):
                while not await self._try_connect():
                    self._current = (self._current + 1) % len(self._channels)
        except TimeoutError:
            servers = ", ".join(self.access.servers)
            raise StoreUnavailableError(f"etcd does not answer at {servers}: {await self._reason()}") from None
        return self._stubs[self._current]

    async def _reason(self) -> str:
        """Why there is no connection, which gRPC tells calls alone."""
        try:
            await self._stubs[self._current].Maintenance.Status(_STATUS(), timeout=1)
        except grpc.aio.AioRpcError as error:
            details: str = error.details() or error.code().name
            return details.rpartition("last error: ")[2]
        return "it has come back just now"

    async def _try_connect(self) -> bool:
        channel = self._channels[self._current]
        state = channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE and len(self._channels) > 1:
                # Another server may be there; this one goes on trying by itself.
                await asyncio.sleep(0.05)
                return False
            await channel.wait_for_state_change(state)
            state = channel.get_state(try_to_connect=True)
        return True

    async def read(self, call: Callable[[Any], Awaitable[T]]) -> T:
        """The answer to what may be asked twice."""
        for _ in self._channels:
            stubs = await self.ready()
            try:
                return await call(stubs)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise told(error) from error
                self._current = (self._current + 1) % len(self._channels)
        return await self.write(call)

    async def write(self, call: Callable[[Any], Awaitable[T]]) -> T:
        stubs = await self.ready()
        try:
            return await call(stubs)
        except grpc.aio.AioRpcError as error:
            raise told(error) from error


def told(error: grpc.aio.AioRpcError) -> Exception:
    """etcd's error as the contract's."""
    details = error.details() or ""
    if error.code() is grpc.StatusCode.OUT_OF_RANGE:
        return CompactedReadError(details) if "compacted" in details else FutureRevisionError(details)
    if error.code() is grpc.StatusCode.NOT_FOUND and "lease" in details:
        return LeaseExpiredError(details)
    if "database space exceeded" in details:
        return StoreUnavailableError(f"etcd has no space left: {details}; compact, defragment, disarm the alarm")
    return StoreUnavailableError(f"etcd: {details or error.code().name}")


def _credentials(access: EtcdAccess) -> grpc.ChannelCredentials:
    try:
        ca, cert, key = (
            Path(path).read_bytes() if path else None for path in (access.ca, access.cert, access.key)
        )  # fmt: skip
    except OSError as error:
        raise StoreUnavailableError(f"etcd's certificate {error.filename} can't be read: {error.strerror}") from error
    return grpc.ssl_channel_credentials(ca, key, cert)


def _channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=_OPTIONS)
    return grpc.aio.secure_channel(target, credentials, options=_OPTIONS)


def _stubs(channel: grpc.aio.Channel) -> SimpleNamespace:
    names: Sequence[str] = ("KV", "Watch", "Lease", "Maintenance")
    return SimpleNamespace(**{name: ETCD.stub(channel, f"etcdserverpb.{name}") for name in names})
