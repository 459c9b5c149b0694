"""The addresses and node ports of Services: the free ones are those that no Service in the cache has.

What others have set aside by IPAddresses of their own is left to them; further ranges come with ServiceCIDRs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from typing import TypeVar

from apiserver.cache_bucket import CacheEvent
from apiserver.registry.node_ports import NodePorts, node_ports
from apiserver.rules.field_errors import invalid_value
from apiserver.rules.network.service_exposure import EXPOSED, needs_health_check
from apiserver.rules.network.service_families import settle_families
from apiserver.watchcache import WatchCache
from machinery.api.errors import InternalError, invalid
from machinery.api.resource import Object, Resource
from machinery.api.resources import IP_ADDRESSES, SERVICE_C_I_D_RS, SERVICES
from machinery.ip_families import Network, family_of, networks

_MANAGED_BY, _OURS = "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"

Name = tuple[str, str]
Key = TypeVar("Key", str, int)


class ClusterAddresses:
    """What was given and is not yet in the cache is held, so that two creates at once never get the same."""

    def __init__(self, cache: WatchCache, cidrs: Sequence[str], ports: tuple[int, int]) -> None:
        """`cidrs` are one a family, the default one first."""
        self._cache = cache
        self._own = {family_of(network).name: network for network in networks(cidrs)}
        self._families = tuple(self._own)
        self._ports = NodePorts(range(ports[0], ports[1] + 1))
        self._addresses: dict[str, set[Name]] = {}
        self._node_ports: dict[int, set[Name]] = {}
        self._known: dict[Name, tuple[set[str], set[int]]] = {}
        self._held: list[tuple[Name, set[str], set[int]]] = []
        cache.subscribe(SERVICES, self._see)

    @property
    def first(self) -> str:
        """The address of the `kubernetes` Service."""
        return str(self._own[self._families[0]][1])

    @contextmanager
    def hold(self, obj: Object, resource: Resource, old: Object | None = None) -> Iterator[None]:
        """Gives a Service what it lacks and keeps that from others until the body is through; changes `obj`.

        `old` is the Service that is updated. Raises Invalid where it asks for what the cluster doesn't have.
        """
        if resource != SERVICES:
            yield
            return
        spec = obj["spec"] = dict(obj.get("spec") or {})
        name = _name(obj)
        before = None if old is None else old.get("spec") or {}
        if causes := settle_families(spec, before, self._families):
            raise invalid("Service", name[1], causes)
        held = (name, self._give_addresses(obj, spec), self._give_ports(obj, spec))
        self._held.append(held)
        try:
            yield
        finally:
            self._held.remove(held)

    def _see(self, event: CacheEvent) -> None:
        name = event.entry.namespace, event.entry.name
        addresses, ports = self._known.pop(name, (set(), set()))
        for address in addresses:
            _drop(self._addresses, address, name)
        for port in ports:
            _drop(self._node_ports, port, name)
        if event.type == "DELETED":
            return
        spec = event.entry.object.get("spec") or {}
        known = set(spec.get("clusterIPs") or [spec.get("clusterIP") or "None"]) - {"None"}, set(node_ports(spec))
        self._known[name] = known
        for address in known[0]:
            self._addresses.setdefault(address, set()).add(name)
        for port in known[1]:
            self._node_ports.setdefault(port, set()).add(name)

    def keep(self, new: Object, old: Object) -> None:
        """An update that leaves address and ports out keeps those that the Service has; changes `new`."""
        was, spec = old.get("spec") or {}, dict(new.get("spec") or {})
        new["spec"] = spec
        if spec.get("type") == "ExternalName":
            return
        _keep_addresses(spec, was)
        if was.get("healthCheckNodePort") and needs_health_check(spec) and needs_health_check(was):
            spec["healthCheckNodePort"] = spec.get("healthCheckNodePort") or was["healthCheckNodePort"]
        if spec.get("type") not in EXPOSED or was.get("type") not in EXPOSED:
            return
        known = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in was.get("ports") or []}
        spec["ports"] = [
            {**port, "nodePort": port.get("nodePort") or known.get((port.get("protocol"), port.get("port"))) or 0}
            for port in spec.get("ports") or []
        ]

    def _give_addresses(self, obj: Object, spec: Object) -> set[str]:
        """The Service's addresses, one of each of its families; none where it has no address of its own."""
        if spec.get("type") == "ExternalName":
            return set()
        asked = list(spec.get("clusterIPs") or [spec.get("clusterIP") or ""])
        if asked[0] == "None":
            spec["clusterIP"], spec["clusterIPs"] = "None", asked
            return set()
        had = len(self._known.get(_name(obj), (set(), set()))[0])
        for at, family in enumerate(spec["ipFamilies"]):
            if at >= len(asked):
                asked.append("")
            if not asked[at]:
                asked[at] = self._free(obj["metadata"], family)
            elif at >= had:
                # One that it has may not change, as the kind's rules say.
                self._check(obj["metadata"], asked[at], asked)
        spec["clusterIP"], spec["clusterIPs"] = asked[0], asked
        return set(asked)

    def _networks(self, family: str) -> list[Network]:
        """The server's own range first, then those of ServiceCIDRs that are not about to go."""
        found = [self._own[family]]
        for entry in self._cache.list(SERVICE_C_I_D_RS):
            if not entry.object["metadata"].get("deletionTimestamp"):
                found += map(ip_network, (entry.object.get("spec") or {}).get("cidrs") or ())
        return list(dict.fromkeys(each for each in found if family_of(each).name == family))

    def _is_taken(self, address: str, name: Name) -> bool:
        if self._addresses.get(address, set()) - {name}:
            return True
        if any(address in addresses for other, addresses, _ in self._held if other != name):
            return True
        entry = self._cache.get(IP_ADDRESSES, "", address)
        return entry is not None and entry.labels.get(_MANAGED_BY) != _OURS

    def _check(self, metadata: Object, asked: str, all_asked: list[str]) -> None:
        said, family = "", family_of(asked).name
        try:
            address = ip_address(asked)
        except ValueError:
            # The kind's rules say it in upstream's words.
            return
        if not any(address in network for network in self._networks(family)):
            said = f"failed to allocate IP {asked}: the provided IP ({asked}) is not in the valid range. The range of "\
                   f"valid IPs is {self._own[family]}"  # fmt: skip
        elif self._is_taken(asked, (metadata.get("namespace") or "", metadata.get("name") or "")):
            said = f"failed to allocate IP {asked}: provided IP is already allocated"
        if said:
            cause = invalid_value("spec.clusterIPs", all_asked, said)
            raise invalid("Service", metadata.get("name") or "", [cause])

    def _free(self, metadata: Object, family: str) -> str:
        name = metadata.get("namespace") or "", metadata.get("name") or ""
        if name == ("default", "kubernetes") and family == self._families[0]:
            return self.first
        for network in self._networks(family):
            if address := self._free_of(network, name):
                return address
        raise InternalError("failed to allocate a serviceIP: range is full")

    def _free_of(self, network: Network, name: Name) -> str:
        """A free address, "" where there is none."""
        most = min(network.num_addresses - 2, 1 << 16)
        # As upstream: the lower part of the range is left to those who ask for an address of it.
        low = min(max(16, most // 16), 256) if most > 16 else 1
        for first, last in ((low + 1, most), (2, low)):
            count = last - first + 1
            if count <= 0:
                continue
            start = random.randrange(count)
            for offset in range(count):
                address = str(network[first + (start + offset) % count])
                if not self._is_taken(address, name):
                    return address
        return ""

    def _give_ports(self, obj: Object, spec: Object) -> set[int]:
        name = _name(obj)

        def is_taken(port: int) -> bool:
            if self._node_ports.get(port, set()) - {name}:
                return True
            return any(port in ports for other, _, ports in self._held if other != name)

        return self._ports.give(name[1], spec, is_taken, self._known.get(name, (set(), set()))[1])


def _name(obj: Object) -> Name:
    return obj["metadata"].get("namespace") or "", obj["metadata"].get("name") or ""


def _drop(index: dict[Key, set[Name]], key: Key, name: Name) -> None:
    index[key].discard(name)
    if not index[key]:
        del index[key]


def _keep_addresses(spec: Object, was: Object) -> None:
    """`clusterIP` and `clusterIPs` say the same twice: where a client changed one of them alone, the other follows."""
    had = was.get("clusterIPs") or []
    spec["clusterIP"] = spec.get("clusterIP") or was.get("clusterIP") or ""
    is_same, listed = spec["clusterIP"] == was.get("clusterIP"), spec.get("clusterIPs") or []
    if is_same and not listed:
        spec["clusterIPs"] = had
    elif not is_same and had and listed == had:
        spec["clusterIPs"] = [spec["clusterIP"]]
