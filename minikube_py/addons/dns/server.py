"""The cluster's DNS by UDP and TCP: the zone from the watch cache, the rest from the host's resolvers.

An answer of the zone is packed once and kept by the question's bytes, case and flags as they came, until a Service, an
EndpointSlice or a namespace changes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

from dnslib import QTYPE, DNSRecord

from machinery.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from machinery.client.cache import Cache, Change
from machinery.contain import contain
from machinery.linux.listeners import freely_bound
from minikube_py.addons.dns import upstream, wire
from minikube_py.addons.dns.upstream import NoAnswerError, Upstream
from minikube_py.addons.dns.zone import Addresses, Found, Zone

LOG = logging.getLogger("dns")
_MOST_KEPT = 4096
_TCP_IDLE = 10.0
_ATTEMPTS = 8
_FOLLOWS_EVERY = 5.0

Resolvers = Callable[[], tuple[str, ...]]


class DnsServer:
    """Serves `domain` on `address`; `port` is wished for, and the one really bound once started."""

    def __init__(
        self,
        cache: Cache,
        domain: str,
        address: str,
        *,
        resolvers: Resolvers = upstream.resolvers,
        outside_port: int = 53,
        port: int = 0,
    ) -> None:
        self._cache = cache
        self._domain = domain
        self.address = address
        self._resolvers = resolvers
        self.addresses = Addresses(cache, domain)
        self._zone = Zone(cache, domain, self.addresses.name_of)
        self._outside_port = outside_port
        self._upstream = Upstream(self._outside(), outside_port)
        self._kept: dict[bytes, bytes] = {}
        self._group: asyncio.TaskGroup | None = None
        self.port = port
        self.ready = asyncio.Event()

    def _outside(self) -> tuple[str, ...]:
        """The resolvers but for this server itself."""
        return tuple(each for each in self._resolvers() if each != self.address)

    async def run(self) -> None:
        """Serves until cancelled; raises OSError where the port is taken."""
        ends = [
            self._cache.subscribe(SERVICES, self._service_changed),
            self._cache.subscribe(ENDPOINT_SLICES, self._slice_changed),
            self._cache.subscribe(NAMESPACES, self._changed),
        ]
        tcp, udp = await self._sockets()
        try:
            async with asyncio.TaskGroup() as self._group:
                self._group.create_task(self._follow_resolvers())
                self.ready.set()
                LOG.info("answering names at %s, port %d", self.address, self.port)
                await asyncio.Event().wait()
        finally:
            udp.close()
            tcp.close()
            for end in ends:
                end()

    async def _sockets(self) -> tuple[asyncio.Server, asyncio.DatagramTransport]:
        """Both on one port: the one wished for, or any that both protocols have free."""
        loop = asyncio.get_running_loop()
        for wished in (self.port, *[0] * _ATTEMPTS):
            try:
                bound = freely_bound(self.address, wished)
            except OSError:
                continue
            port = bound.getsockname()[1]
            try:
                datagrams = freely_bound(self.address, port, socket.SOCK_DGRAM)
            except OSError:
                bound.close()
                continue
            tcp = await asyncio.start_server(self._connected, sock=bound)
            udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self._asked), sock=datagrams)
            self.port = port
            return tcp, udp
        raise OSError(f"no port of {self.address} is free for the DNS")

    def _changed(self, change: Change) -> None:
        self._kept.clear()

    def _service_changed(self, change: Change) -> None:
        self._kept.clear()
        self.addresses.follow_service(change.before, change.after)

    def _slice_changed(self, change: Change) -> None:
        self._kept.clear()
        self.addresses.follow_slice(change.before, change.after)

    def ask_anew(self) -> None:
        """Forgets what was said outside: in another network, or after a night, it may be otherwise."""
        self._upstream = Upstream(self._outside(), self._outside_port)

    async def _follow_resolvers(self) -> None:
        """A laptop changes its network, and with it whom to ask."""
        before = _stamp()
        while True:
            await asyncio.sleep(_FOLLOWS_EVERY)
            now = _stamp()
            if now != before:
                before = now
                found = self._outside()
                if found != self._upstream.addresses:
                    LOG.info("names of outside are asked of %s", ", ".join(found) or "nobody")
                    self._upstream = Upstream(found, self._outside_port)

    def _asked(self, data: bytes, answer: Callable[[bytes], None]) -> None:
        """One datagram: what is known is answered at once, the rest in a task."""
        kept = self._kept.get(data[2:])
        if kept is not None:
            answer(data[:2] + kept)
            return
        with contain("dns query"):
            asked = wire.parsed(data)
            if asked is None:
                return
            found = self._known(asked, data[2:])
            if found is not None:
                answer(data[:2] + found)
                return
            assert self._group is not None
            self._group.create_task(self._answer_later(asked, data, answer))

    def _known(self, asked: wire.Asked, key: bytes = b"") -> bytes | None:
        """The answer without its id, where no one outside has to be asked for it; kept under `key`."""
        found = self._found(asked)
        if found is None or found.alias:
            return None
        made = wire.packed(wire.answered(asked, found, self._domain), asked.udp_size)[2:]
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        if key and len(key) <= wire.PLAIN_UDP:
            self._kept[key] = made
        return made

    def _found(self, asked: wire.Asked) -> Found | None:
        """What the zone has; None for names of outside."""
        if self._zone.holds(asked.name):
            return self._zone.find(asked.name)
        address = wire.reversed_address(asked.name)
        found = self._zone.reverse(address) if address else None
        return found if found is not None and found.exists else None

    async def _answer_later(self, asked: wire.Asked, data: bytes, answer: Callable[[bytes], None]) -> None:
        with contain("dns query", about=asked.name):
            answer(await self._outside_answer(asked, data, asked.udp_size))

    async def _outside_answer(self, asked: wire.Asked, data: bytes, size: int) -> bytes:
        found = self._found(asked)
        try:
            if found is not None and found.alias:
                return wire.packed(await self._aliased(asked, found), size)
            whole = await self._upstream.ask(data)
            return whole if len(whole) <= size else wire.packed(DNSRecord.parse(whole), size)
        except NoAnswerError:
            return wire.packed(wire.refused(asked), size)

    async def _aliased(self, asked: wire.Asked, found: Found) -> DNSRecord:
        """The alias, and what it leads to as far as that can be had."""
        reply = wire.answered(asked, found, self._domain)
        if asked.type in (QTYPE.A, QTYPE.AAAA):
            question = bytes(DNSRecord.question(found.alias, QTYPE[asked.type]).pack())
            target = wire.parsed(question)
            known = self._known(target) if target is not None else None
            try:
                answer = question[:2] + known if known is not None else await self._upstream.ask(question)
            except NoAnswerError:
                return reply
            for record in DNSRecord.parse(answer).rr:
                reply.add_answer(record)
        return reply

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Questions of one TCP connection, each with its length before it (RFC 7766)."""
        try:
            while True:
                async with asyncio.timeout(_TCP_IDLE):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    data = await reader.readexactly(size)
                said = b""
                with contain("dns query"):
                    said = await self._by_tcp(data)
                if not said:
                    return
                writer.write(len(said).to_bytes(2, "big") + said)
                await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            return
        finally:
            writer.close()

    async def _by_tcp(self, data: bytes) -> bytes:
        asked = wire.parsed(data)
        if asked is None:
            return b""
        asked.udp_size = 65535
        known = self._known(asked)
        return data[:2] + known if known is not None else await self._outside_answer(asked, data, 65535)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, asked: Callable[[bytes, Callable[[bytes], None]], None]) -> None:
        self._asked = asked
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport) or hasattr(transport, "sendto")
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        transport = self._transport
        assert transport is not None
        self._asked(data, lambda said: transport.sendto(said, addr))


def _stamp() -> tuple[float, ...]:
    """Tells whether a file that names resolvers has changed."""
    return tuple(_modified(path) for path in upstream.FILES)


def _modified(path: Path) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
