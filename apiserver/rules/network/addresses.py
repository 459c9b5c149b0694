"""Addresses and ranges of addresses as the API's fields hold them: what is refused, and what is only warned of.

Old fields take what Go once took (leading zeros, IPv4 mapped into IPv6) as long as an object had it before
(KEP-4858); `known` are those values. Fields that came later want the one canonical form (RFC 5952).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
)

from apiserver.rules.field_errors import invalid_value
from machinery.api.errors import Cause

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface

_BAD_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_BAD_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_LEADING_ZEROS = re.compile(r"(?:^|(?<=\.))0+(?=[0-9])")


@lru_cache(maxsize=4096)
def parse_ip(text: str) -> Address | None:
    """The address, leading zeros of IPv4 ignored, IPv4 mapped into IPv6 taken out of it; None where it is none."""
    try:
        # A zone is part of no address that the API holds.
        address = None if "%" in text else ip_address(_without_zeros(text))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=4096)
def parse_cidr(text: str) -> Interface | None:
    """The address with its prefix length, None where it is none; bits beyond the prefix are kept."""
    address, slash, length = text.partition("/")
    if not slash or "%" in text or not (length.isascii() and length.isdigit()):
        return None
    try:
        return ip_interface(f"{_without_zeros(address)}/{int(length)}")
    except ValueError:
        return None


def is_ipv6(text: str) -> bool:
    address = parse_ip(text)
    return address is not None and address.version == 6


def ip_errors(text: str, path: str, known: Collection[str] = ()) -> Iterator[Cause]:
    if complaint := _ip_complaint(text, known):
        yield invalid_value(path, text, complaint)


def cidr_errors(text: str, path: str, known: Collection[str] = ()) -> Iterator[Cause]:
    interface = parse_cidr(text)
    if interface is None:
        yield invalid_value(path, text, _BAD_CIDR)
    elif text in known:
        return
    elif _has_zeros(text):
        yield invalid_value(path, text, "must not have leading 0s in IP or prefix length")
    elif _is_mapped(text):
        yield invalid_value(path, text, "must not have an IPv4-mapped IPv6 address")
    elif interface.ip != interface.network.network_address:
        yield invalid_value(path, text, "must not have bits set beyond the prefix length")


def canonical_ip(name: str) -> list[str]:
    """What keeps a name from being an address in its one form; a check as those of `machinery.api.names`."""
    if complaint := _ip_complaint(name, ()):
        return [complaint]
    address = str(parse_ip(name))
    return [] if address == name else [f'must be in canonical form ("{address}")']


def canonical_cidr_errors(text: str, path: str) -> Iterator[Cause]:
    """For fields that take a range in one form only."""
    complaints = list(cidr_errors(text, path))
    yield from complaints
    interface = parse_cidr(text)
    if not complaints and interface is not None and str(interface.network) != text:
        yield invalid_value(path, text, f'must be in canonical form ("{interface.network}")')


def interface_errors(text: str, path: str) -> Iterator[Cause]:
    """Of an address together with the length of its network's prefix, in the one form there is."""
    interface = parse_cidr(text)
    if interface is None:
        yield invalid_value(path, text, "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)")
        return
    address, length = parse_ip(text.partition("/")[0]) or interface.ip, interface.network.prefixlen
    if address.version != interface.version and length > 32:
        length -= 96
    if text != f"{address}/{length}":
        yield invalid_value(path, text, f'must be in canonical form ("{address}/{length}")')


def special_ip_errors(text: str, path: str) -> Iterator[Cause]:
    """Addresses that no endpoint may have, as they'd lead into the node or nowhere."""
    ip = parse_ip(text)
    if ip is None:
        yield invalid_value(path, text, "must be a valid IP address")
        return
    if ip.is_unspecified:
        yield invalid_value(path, text, f"may not be unspecified ({text})")
    if ip.is_loopback:
        yield invalid_value(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if ip.is_link_local:
        yield invalid_value(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if ip.is_multicast and _is_link_local_multicast(ip):
        yield invalid_value(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def ip_warnings(text: str, path: str) -> Iterator[str]:
    ip = parse_ip(text)
    if ip is None:
        return
    if _is_mapped(text) or _without_zeros(text) != text:
        yield (
            f'{path}: non-standard IP address "{text}" will be considered invalid in a future Kubernetes release:'
            f' use "{ip}"'
        )
    elif ip.version == 6 and str(ip) != text:
        yield f'{path}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{ip}")'


def cidr_warnings(text: str, path: str) -> Iterator[str]:
    interface = parse_cidr(text)
    if interface is None:
        return
    network, is_plain = interface.network, True
    if interface.ip != network.network_address:
        is_plain = False
        alone = f"{interface.ip}/{network.max_prefixlen}"
        yield f'{path}: CIDR value "{text}" is ambiguous in this context (should be "{network}" or "{alone}"?)'
    if _has_zeros(text) or _is_mapped(text):
        is_plain = False
        yield (
            f'{path}: non-standard CIDR value "{text}" will be considered invalid in a future Kubernetes release:'
            f' use "{network}"'
        )
    if is_plain and network.version == 6 and str(network) != text:
        yield f'{path}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{network}")'


def _ip_complaint(text: str, known: Collection[str]) -> str:
    if parse_ip(text) is None:
        return _BAD_IP
    if text in known:
        return ""
    if _is_mapped(text):
        return "must not be an IPv4-mapped IPv6 address"
    return "" if _without_zeros(text) == text else "must not have leading 0s"


def _without_zeros(text: str) -> str:
    """IPv4 octets may not begin with zeros for Python; for the Go of old days they could."""
    return _LEADING_ZEROS.sub("", text) if "0" in text and ":" not in text else text


def _has_zeros(cidr: str) -> bool:
    address, _, length = cidr.partition("/")
    return _without_zeros(address) != address or str(int(length)) != length


def _is_mapped(text: str) -> bool:
    if ":" not in text or "." not in text and "ffff" not in text.lower():
        return False
    address = ip_address(text.partition("/")[0])
    return getattr(address, "ipv4_mapped", None) is not None


def _is_link_local_multicast(ip: Address) -> bool:
    packed = ip.packed
    return packed[:3] == b"\xe0\x00\x00" if ip.version == 4 else packed[1] & 0x0F == 0x02
