"""The addresses and node ports of Services: the free ones are those that no Service in the cache has."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from apiserver.watchcache import WatchCache
from machinery.api.errors import Cause, InternalError, invalid
from machinery.api.resource import Object, Resource
from machinery.api.resources import SERVICES

_NODE_PORT_TYPES = ("NodePort", "LoadBalancer")


class ClusterAddresses:
    """What was given and is not yet in the cache is held, so that two creates at once never get the same."""

    def __init__(self, cache: WatchCache, cidr: str, node_ports: tuple[int, int]) -> None:
        self._cache = cache
        self._network: IPv4Network | IPv6Network = ip_network(cidr)
        self._ports = range(node_ports[0], node_ports[1] + 1)
        self._held_addresses: set[str] = set()
        self._held_ports: set[tuple[str, int]] = set()

    @property
    def first(self) -> str:
        """The address of the `kubernetes` Service."""
        return str(self._network[1])

    @contextmanager
    def hold(self, obj: Object, resource: Resource) -> Iterator[None]:
        """Gives a Service what it lacks and keeps that from others until the body is through; changes `obj`."""
        if resource != SERVICES:
            yield
            return
        spec = obj["spec"] = dict(obj.get("spec") or {})
        address, ports = self._give_address(obj, spec), self._give_ports(spec)
        self._held_addresses |= address
        self._held_ports |= ports
        try:
            yield
        finally:
            self._held_addresses -= address
            self._held_ports -= ports

    def keep(self, new: Object, old: Object) -> None:
        """An update that leaves address and ports out keeps those that the Service has; changes `new`."""
        was, spec = old.get("spec") or {}, dict(new.get("spec") or {})
        new["spec"] = spec
        if spec.get("type") == "ExternalName":
            return
        for field in ("clusterIP", "clusterIPs"):
            if not spec.get(field) and was.get(field):
                spec[field] = was[field]
        if spec.get("type") not in _NODE_PORT_TYPES or was.get("type") not in _NODE_PORT_TYPES:
            return
        known = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in was.get("ports") or []}
        spec["ports"] = [
            {**port, "nodePort": port.get("nodePort") or known.get((port.get("protocol"), port.get("port"))) or 0}
            for port in spec.get("ports") or []
        ]

    def _give_address(self, obj: Object, spec: Object) -> set[str]:
        """The address taken by this Service now; empty where it has none, or had it before."""
        if spec.get("type") == "ExternalName":
            return set()
        asked = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or []), "")
        if asked == "None":
            self._say_family(spec, asked)
            return set()
        metadata = obj["metadata"]
        taken = self._taken_addresses(metadata)
        if asked:
            self._check(metadata, asked, taken)
        else:
            asked = self._free(metadata, taken)
        spec["clusterIP"] = asked
        spec["clusterIPs"] = spec.get("clusterIPs") or [asked]
        self._say_family(spec, asked)
        return {asked}

    def _say_family(self, spec: Object, address: str) -> None:
        spec["clusterIP"] = address
        spec["clusterIPs"] = spec.get("clusterIPs") or [address]
        version = self._network.version if address == "None" else _version(address)
        if not spec.get("ipFamilies"):
            spec["ipFamilies"] = [f"IPv{version}"]
        if not spec.get("ipFamilyPolicy"):
            spec["ipFamilyPolicy"] = "SingleStack"

    def _check(self, metadata: Object, asked: str, taken: set[str]) -> None:
        said = ""
        try:
            address = ip_address(asked)
        except ValueError:
            # The kind's rules say it in upstream's words.
            return
        if address not in self._network:
            said = f"failed to allocate IP {asked}: the provided IP ({asked}) is not in the valid range. The range of "\
                   f"valid IPs is {self._network}"  # fmt: skip
        elif asked in taken:
            said = f"failed to allocate IP {asked}: provided IP is already allocated"
        if said:
            cause = Cause("FieldValueInvalid", f'Invalid value: ["{asked}"]: {said}', "spec.clusterIPs")
            raise invalid("Service", metadata.get("name") or "", [cause])

    def _free(self, metadata: Object, taken: set[str]) -> str:
        if (metadata.get("namespace"), metadata.get("name")) == ("default", "kubernetes"):
            return self.first
        most = min(self._network.num_addresses - 2, 1 << 16)
        # As upstream: the lower part of the range is left to those who ask for an address of it.
        low = min(max(16, most // 16), 256) if most > 16 else 1
        for first, last in ((low + 1, most), (2, low)):
            count = last - first + 1
            if count <= 0:
                continue
            start = random.randrange(count)
            for offset in range(count):
                address = str(self._network[first + (start + offset) % count])
                if address not in taken:
                    return address
        raise InternalError("failed to allocate a serviceIP: range is full")

    def _taken_addresses(self, metadata: Object) -> set[str]:
        taken = set(self._held_addresses)
        for spec in self._others(metadata):
            taken.update(spec.get("clusterIPs") or [spec.get("clusterIP") or ""])
        return taken

    def _others(self, metadata: Object) -> Iterator[Object]:
        own = (metadata.get("namespace"), metadata.get("name"))
        for entry in self._cache.list(SERVICES):
            if (entry.namespace, entry.name) != own:
                yield entry.object.get("spec") or {}

    def _give_ports(self, spec: Object) -> set[tuple[str, int]]:
        if spec.get("type") not in _NODE_PORT_TYPES or spec.get("allocateLoadBalancerNodePorts") is False:
            return set()
        taken = set(self._held_ports)
        for entry in self._cache.list(SERVICES):
            for port in (entry.object.get("spec") or {}).get("ports") or []:
                if port.get("nodePort"):
                    taken.add((port.get("protocol", "TCP"), port["nodePort"]))
        given: set[tuple[str, int]] = set()
        ports = []
        for port in spec.get("ports") or []:
            number = port.get("nodePort") or self._free_port(port.get("protocol", "TCP"), taken | given)
            given.add((port.get("protocol", "TCP"), number))
            ports.append({**port, "nodePort": number})
        spec["ports"] = ports
        return given

    def _free_port(self, protocol: str, taken: set[tuple[str, int]]) -> int:
        start = random.randrange(len(self._ports))
        for offset in range(len(self._ports)):
            number = self._ports[(start + offset) % len(self._ports)]
            if (protocol, number) not in taken:
                return number
        raise InternalError("failed to allocate a nodePort: range is full")


def _version(address: str) -> int:
    return 6 if ":" in address else 4
