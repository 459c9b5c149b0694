"""Which texts the API takes for IP addresses: strict since v1.36 (`StrictIPCIDRValidation`), as the old forms are
read differently by different programs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from apiserver.kinds.field_errors import invalid_value
from machinery.api.errors import Cause

_NOT_AN_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_LEADING_ZERO = re.compile(r"(^|[.:])0+(?=[0-9]+(\.|$))")
"""Zeros before a decimal number of an IPv4 address, or of one at the end of an IPv6 address."""


def ip_errors(address: str, path: str) -> Iterator[Cause]:
    """What is wrong with the address: no address at all, or one in a form that others read as another address."""
    plain = _LEADING_ZERO.sub(r"\1", address) if "." in address else address
    try:
        parsed = ipaddress.ip_address(plain)
    except ValueError:
        yield invalid_value(path, address, _NOT_AN_ADDRESS)
        return
    if "%" in address:
        yield invalid_value(path, address, _NOT_AN_ADDRESS)
        return
    if plain != address:
        yield invalid_value(path, address, "must not have leading 0s")
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        yield invalid_value(path, address, "must not be an IPv4-mapped IPv6 address")
