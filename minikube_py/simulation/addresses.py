"""Addresses for what has none of its own: each object its own, no two the same, given back when it goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, ip_network

NODE_PREFIX = 24
"""How much of the pods' network each node has."""


class Addresses:
    """Hands out the addresses of a range by uid; `note` keeps those that objects from before have already."""

    def __init__(self, network: IPv4Network) -> None:
        self._free: Iterator[IPv4Address] = network.hosts()
        self._back: deque[str] = deque()
        self._of: dict[str, str] = {}
        self._taken: set[str] = set()

    def of(self, uid: str) -> str:
        """The object's address, from now on if it had none yet; "" when none is left."""
        found = self._of.get(uid)
        if found is None:
            found = self._next()
            if found:
                self.note(uid, found)
        return found

    def note(self, uid: str, address: str) -> None:
        self._of[uid] = address
        self._taken.add(address)

    def release(self, uid: str) -> None:
        address = self._of.pop(uid, None)
        if address is not None:
            self._taken.discard(address)
            self._back.append(address)

    def _next(self) -> str:
        for each in self._free:
            if str(each) not in self._taken:
                return str(each)
        # The longest unused first: whoever still thinks of the old owner has had the most time to hear of its end.
        while self._back:
            address = self._back.popleft()
            if address not in self._taken:
                return address
        return ""


class PodAddresses:
    """Addresses of pods, each from its node's range where that is one of `network`, else from `rest`."""

    def __init__(self, network: IPv4Network, rest: IPv4Network) -> None:
        self._network = network
        self._rest = rest
        self._by_range: dict[IPv4Network, Addresses] = {}
        self._ranges: dict[str, IPv4Network] = {}

    def of(self, uid: str, pod_cidr: str) -> str:
        """The pod's address, from now on if it had none yet; "" when the range is used up."""
        known = self._ranges.get(uid)
        if known is None:
            known = self._ranges[uid] = self._range(pod_cidr)
        return self._addresses(known).of(uid)

    def note(self, uid: str, address: str) -> None:
        """The pod has this one; an address from elsewhere is nobody's here."""
        known = self._ranges.get(uid)
        if known is None and IPv4Address(address) in self._network:
            is_rest = IPv4Address(address) in self._rest
            known = self._ranges[uid] = self._rest if is_rest else IPv4Network((address, NODE_PREFIX), strict=False)
        if known is not None:
            self._addresses(known).note(uid, address)

    def release(self, uid: str) -> None:
        known = self._ranges.pop(uid, None)
        if known is not None:
            self._addresses(known).release(uid)

    def _range(self, pod_cidr: str) -> IPv4Network:
        found = ip_network(pod_cidr) if pod_cidr else None
        if not isinstance(found, IPv4Network) or found.prefixlen != NODE_PREFIX:
            return self._rest
        return found if found.subnet_of(self._network) and not found.subnet_of(self._rest) else self._rest

    def _addresses(self, network: IPv4Network) -> Addresses:
        found = self._by_range.get(network)
        if found is None:
            found = self._by_range[network] = Addresses(network)
        return found
