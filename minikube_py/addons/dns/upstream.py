"""The host's true resolvers, asked for everything outside of the cluster; what they said is kept for its time.

A stub on this machine (systemd-resolved's, dnsmasq's) is passed by where its own resolvers are known, and never is this
server itself asked: that would be a loop.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from machinery.structs import Struct

FILES = (
    Path("/etc/resolv.conf"),
    Path("/run/systemd/resolve/resolv.conf"),
    Path("/run/NetworkManager/no-stub-resolv.conf"),
)
_PATIENCE = 2.0
_KEPT = 4096
_SHORTEST, _LONGEST = 1, 300


class NoAnswerError(Exception):
    """No resolver answered in time, or there is none."""


class _Kept(Struct):
    answer: bytes
    until: float


def resolvers(files: Sequence[Path] = FILES) -> tuple[str, ...]:
    """Addresses of the first file that names some besides loopback ones; loopback ones where no file does."""
    stubs: list[str] = []
    for file in files:
        found = _named(file)
        outside = [address for address in found if not ipaddress.ip_address(address.partition("%")[0]).is_loopback]
        if outside:
            return tuple(outside)
        stubs = stubs or found
    return tuple(stubs)


def _named(file: Path) -> list[str]:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    return [each[1] for each in words if len(each) > 1 and each[0] == "nameserver" and _is_address(each[1])]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


class Upstream:
    """Forwards questions as they are, and keeps the answers for as long as they say."""

    def __init__(self, addresses: Sequence[str], port: int = 53) -> None:
        self.addresses = tuple(addresses)
        self._port = port
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    async def ask(self, question: bytes) -> bytes:
        """The answer with the question's id; raises NoAnswerError."""
        rest, now = question[2:], asyncio.get_running_loop().time()
        kept = self._kept.get(rest)
        if kept is not None and kept.until > now:
            return question[:2] + kept.answer
        return question[:2] + await self._fresh(question)

    async def _fresh(self, question: bytes) -> bytes:
        for address in self.addresses:
            try:
                async with asyncio.timeout(_PATIENCE):
                    answer = await _by_udp(address, self._port, question)
                    if answer[2] & 0x02:
                        answer = await _by_tcp(address, self._port, question)
            except (OSError, TimeoutError):
                continue
            self._keep(question[2:], answer)
            return answer[2:]
        raise NoAnswerError("no resolver of this machine answered")

    def _keep(self, rest: bytes, answer: bytes) -> None:
        from dnslib import QTYPE, DNSRecord

        message = DNSRecord.parse(answer)
        times = [record.ttl for record in (*message.rr, *message.auth) if record.rtype != QTYPE.OPT]
        seconds = min(times, default=_SHORTEST)
        if message.header.rcode in (0, 3):
            until = asyncio.get_running_loop().time() + max(_SHORTEST, min(seconds, _LONGEST))
            self._kept[rest] = _Kept(answer[2:], until)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)


class _Datagram(asyncio.DatagramProtocol):
    def __init__(self, question: bytes) -> None:
        self._question = question
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert hasattr(transport, "sendto")
        transport.sendto(self._question)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data[:2] == self._question[:2] and len(data) >= 12 and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _by_udp(address: str, port: int, question: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Datagram(question), remote_addr=(address, port))
    try:
        return await protocol.answer
    finally:
        transport.close()


async def _by_tcp(address: str, port: int, question: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(len(question).to_bytes(2, "big") + question)
        size = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise OSError(str(error)) from error
    finally:
        writer.close()
