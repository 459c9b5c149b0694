"""Where this machine is in its networks: its addresses, the ways out of it, and a sign whenever they change.

Addresses and ways come by netlink and /proc/net. A change is told by the kernel (rtnetlink(7)), not looked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from machinery.ip_families import IPV4, Family, Network, family_of
from machinery.linux import netlink
from machinery.structs import Struct, replace

_ROUTES, _IPV6 = Path("/proc/net/route"), Path("/proc/net/if_inet6")
_IPV6_ROUTES = Path("/proc/net/ipv6_route")
_UP, _ROUTE_UP, _REJECTED, _LOCAL = 0x1, 0x1, 0x200, 0x80000000
# Deprecated, temporary, failed and tentative ones of IPv6 (linux/if_addr.h) are nobody's to be reached by.
_UNFIT = 0x20 | 0x01 | 0x08 | 0x40
_UNIVERSE = 0
# Rather a card of the machine than what programs make for themselves: containers' bridges, tunnels.
_MADE = {"bridge", "tun", "wireguard", "ipip", "gre", "sit", "vti", "xfrm"}


class Address(Struct, frozen=True):
    """An address that others may know; `kind` is that of its interface (empty for a card), as `ip -d link` says it."""

    ip: str
    interface: str
    kind: str = ""
    is_up: bool = True


class Way(Struct, frozen=True):
    """A route; the default ones lead to 0.0.0.0/0 and ::/0. A lesser metric goes before."""

    network: Network
    interface: str
    metric: int = 0


class Whereabouts(Struct, frozen=True):
    """All of this machine, or rather of this network namespace."""

    addresses: tuple[Address, ...] = ()
    ways: tuple[Way, ...] = ()


def chosen(found: Whereabouts, own: str, family: Family = IPV4) -> Address | None:
    """The family's address by which this machine is known; None where it has none but the loopback's.

    It is the first one of the interface that the default route goes out by, as for upstream's kubelet. Without such
    a route any card's address is better than none, and without a network that of the interface `own`, which is always
    there. A tunnel's never counts without a default route of its own.
    """
    there = [each for each in found.addresses if each.is_up and family_of(each.ip) is family]
    own_ways = [(at, way) for at, way in enumerate(found.ways) if family_of(way.network) is family]
    defaults = sorted((way.metric, at) for at, way in own_ways if not way.network.prefixlen)
    leading = [found.ways[at].interface for _, at in defaults]
    outside = [each for name in leading for each in there if each.interface == name]
    cards = [each for each in there if each.interface != own and each.kind not in _MADE]
    owned = [each for each in there if each.interface == own]
    return next(iter([*outside, *cards, *owned, *there]), None)


def read() -> Whereabouts:
    """As it is now. Blocks."""
    of_ipv4 = netlink.here(_of_ipv4)
    kinds = {each.interface: each.kind for each in of_ipv4}
    table = _IPV6.read_text() if _IPV6.exists() else ""
    of_ipv6 = [replace(each, kind=kinds.get(each.interface, "")) for each in ipv6_addresses(table)]
    return Whereabouts((*of_ipv4, *of_ipv6), (*ways(), *ipv6_ways()))


def _of_ipv4(route: Any) -> list[Address]:
    entries = [(entry, dict(entry["attrs"])) for entry in route.get_addr(family=socket.AF_INET)]
    links: dict[int, tuple[str, str, bool]] = {}
    found = []
    for entry, attributes in entries:
        index = entry["index"]
        if entry["scope"] != _UNIVERSE:
            continue
        if index not in links:
            links[index] = _link(route, index)
        name, kind, is_up = links[index]
        # Of a tunnel IFA_ADDRESS is the other end's.
        found.append(Address(attributes.get("IFA_LOCAL") or attributes["IFA_ADDRESS"], name, kind, is_up))
    return found


def _link(route: Any, index: int) -> tuple[str, str, bool]:
    """Name and kind of a link, and whether it is up; nameless where it has gone meanwhile."""
    with contextlib.suppress(netlink.errors()):
        (link,) = route.get_links(index)
        attributes = dict(link["attrs"])
        info = attributes.get("IFLA_LINKINFO")
        kind = dict(info["attrs"]).get("IFLA_INFO_KIND", "") if info is not None else ""
        return attributes["IFLA_IFNAME"], kind, bool(link["flags"] & _UP)
    return "", "", False


def ipv6_addresses(table: str) -> Iterator[Address]:
    """The ones that others can use, from the text of /proc/net/if_inet6."""
    for line in table.splitlines():
        packed, _, _, scope, flags, name = line.split()
        if int(scope, 16) == _UNIVERSE and not int(flags, 16) & _UNFIT:
            yield Address(str(ip_address(bytes.fromhex(packed))), name)


def ways(table: str = "") -> Iterator[Way]:
    """From the text of /proc/net/route, as it is now where none is given; those that lead nowhere are left out."""
    for line in (table or _ROUTES.read_text()).splitlines()[1:]:
        name, destination, _, flags, _, _, metric, mask = line.split()[:8]
        if int(flags, 16) & (_ROUTE_UP | _REJECTED) == _ROUTE_UP:
            # The kernel's words are in the machine's order, which is little-endian wherever this runs.
            network = ip_network((bytes.fromhex(destination)[::-1], int(mask, 16).bit_count()))
            yield Way(network, name, int(metric))


def ipv6_ways(table: str = "") -> Iterator[Way]:
    """Likewise, from the text of /proc/net/ipv6_route; those to neighbours and groups each interface has."""
    there = _IPV6_ROUTES.exists()
    for line in (table or (_IPV6_ROUTES.read_text() if there else "")).splitlines():
        destination, length, _, _, _, metric, _, _, flags, name = line.split()
        network = ip_network((bytes.fromhex(destination), int(length, 16)))
        is_way = int(flags, 16) & (_ROUTE_UP | _REJECTED | _LOCAL) == _ROUTE_UP
        if is_way and not network.is_link_local and not network.is_multicast:
            yield Way(network, name, int(metric, 16))


@asynccontextmanager
async def changes(settled: float) -> AsyncIterator[Changes]:
    """Tells of changes to addresses and routes until left; many at once are one, told `settled` seconds later."""
    with _listener() as listening:
        told = Changes(listening, settled)
        loop = asyncio.get_running_loop()
        loop.add_reader(listening.fileno(), told.read)
        try:
            yield told
        finally:
            loop.remove_reader(listening.fileno())


class Changes:
    def __init__(self, listening: socket.socket, settled: float) -> None:
        self._listening, self._settled = listening, settled
        self._told = asyncio.Event()
        self._links: set[int] = set()

    def concern(self, found: Whereabouts) -> None:
        """Of links only those with these addresses are told of: pods come and go with links of their own."""
        self._links = {netlink.index(None, name) for name in {each.interface for each in found.addresses}}

    async def wait(self) -> None:
        """Returns after a change, once the rest of what belongs to it has come."""
        await self._told.wait()
        # A network that comes up changes ten things, one after the other.
        await asyncio.sleep(self._settled)
        self._told.clear()

    def read(self) -> None:
        try:
            data = self._listening.recv(_DATAGRAM)
        except BlockingIOError:
            return
        except OSError:
            # More came than the socket holds.
            self._told.set()
            return
        if any(_matters(kind, body, self._links) for kind, body in messages(data)):
            self._told.set()


_NETLINK_ROUTE, _DATAGRAM = 0, 1 << 16
_LINKS, _ADDRESSES, _WAYS, _IPV6_ADDRESSES = 0x1, 0x10, 0x40, 0x100
_HEADER = struct.Struct("=IHHII")
# ifinfomsg, ifaddrmsg, rtmsg of linux/rtnetlink.h and linux/if_addr.h, as far as they are read.
_LINK, _ADDRESS, _WAY = struct.Struct("=4xi8x"), struct.Struct("=3xB4x"), struct.Struct("=7xB")
_KINDS_OF_LINK, _KINDS_OF_ADDRESS, _KINDS_OF_WAY = {16, 17}, {20, 21}, {24, 25}
_UNICAST = 1


def _listener() -> socket.socket:
    made = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, _NETLINK_ROUTE
    )
    try:
        made.bind((0, _LINKS | _ADDRESSES | _WAYS | _IPV6_ADDRESSES))
    except OSError:
        made.close()
        raise
    return made


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and body of each message of a datagram."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _matters(kind: int, body: bytes, links: Collection[int]) -> bool:
    if kind in _KINDS_OF_LINK:
        # IPv4's routes go without a word of their own where a link goes down.
        return _LINK.unpack_from(body)[0] in links
    if kind in _KINDS_OF_ADDRESS:
        # IPv6's own of each link are known there alone.
        return bool(_ADDRESS.unpack_from(body)[0] == _UNIVERSE)
    return kind in _KINDS_OF_WAY and bool(_WAY.unpack_from(body)[0] == _UNICAST)
