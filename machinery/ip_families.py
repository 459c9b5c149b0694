"""The two families of addresses, each as the API, nftables and the kernel call it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from machinery.structs import Struct

Network = IPv4Network | IPv6Network


class Family(Struct, frozen=True):
    """`name` is the API's; `word` stands in nftables before a table's name and `saddr`, `type` is that of an address.

    `everywhere` is the range of all addresses, `loopback` the machine's way to itself.
    """

    name: str
    word: str
    type: str
    bits: int
    everywhere: str
    loopback: str

    def table(self, name: str) -> str:
        """nftables' words for the table of that name."""
        return f"{self.word} {name}"


IPV4 = Family("IPv4", "ip", "ipv4_addr", 32, "0.0.0.0/0", "127.0.0.1")
IPV6 = Family("IPv6", "ip6", "ipv6_addr", 128, "::/0", "::1")
FAMILIES = (IPV4, IPV6)


def family_of(address: str | Network) -> Family:
    """The family of an address or a range."""
    return IPV6 if ":" in str(address) else IPV4


def host_port(host: str, port: int) -> str:
    """Both as URLs and nftables have them: an address of IPv6 in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def families_of(ranges: Iterable[str | Network]) -> tuple[Family, ...]:
    """Those of the ranges, in their order."""
    return tuple(dict.fromkeys(map(family_of, ranges)))


def networks(ranges: Iterable[str]) -> tuple[Network, ...]:
    """Raises ValueError for what is no range."""
    return tuple(map(ip_network, ranges))
