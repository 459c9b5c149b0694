"""The sandboxes' network: one bridge an instance, a veth pair a sandbox, addresses of one family or of both.

Everything is made so that it can be made again: what is there already is taken. Blocks: use threads.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from machinery.ip_families import IPV6, families_of, family_of
from machinery.linux import netlink, nft, own_routes
from machinery.linux.nft_events import Table
from runtime.config import RuntimeConfig
from runtime.errors import Internal
from runtime.network import forwarding
from runtime.network.ipam import Leases
from runtime.network.network import Member
from runtime.network.rules import Forward, accepting, closed_chains, deletions, ruleset

LOG = logging.getLogger("network")
INTERFACE = "eth0"
# The kernel asks for neighbours from an address of the link's own; nobody else is on it to have the same.
_LINK_LOCAL = "fe80::1"
_NO_DAD = 2
"""IFA_F_NODAD (linux/if_addr.h): IPAM gives no address twice, so none has to wait until nobody has answered."""


def veth_name(instance: str, sandbox_id: str) -> str:
    """The host's end: 15 bytes at most, and the instance's."""
    return f"v{instance}{sandbox_id[:8]}"


class BridgeNetwork:
    """Attaches sandboxes to `config.bridge`."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._config = config
        self._leases = Leases(config.leases, config.networks)
        self._families = families_of(config.pod_cidrs)
        self._forwards: set[Forward] = set()
        self._lock = threading.Lock()
        self._ready = False

    def set_up(self) -> None:
        """Makes the bridge, forwarding and the masquerade; raises Internal with what the kernel said."""
        try:
            netlink.here(self._make_bridge)
            for family in self._families:
                forwarding.pass_on(family, self._config.bridge)
            nft.run(self._rules())
            self.pass_firewalls(None)
        except (OSError, nft.NftError, netlink.errors()) as error:
            raise Internal(f"failed to set up the network: {error}") from error
        self._ready = True

    def trouble(self) -> str:
        return "" if self._ready else "the bridge is not up"

    def _make_bridge(self, route: Any) -> None:
        name = self._config.bridge
        if not netlink.index(route, name):
            route.link("add", ifname=name, kind="bridge", br_stp_state=0)
        link = netlink.index(route, name)
        if IPV6 in self._families:
            forwarding.prepare(name)
        there = {dict(entry["attrs"]).get("IFA_ADDRESS") for entry in route.get_addr(index=link)}
        for address, length in self._own_addresses():
            if address not in there:
                route.addr("add", index=link, address=address, prefixlen=length, **_at_once(address))
        route.link("set", index=link, state="up")
        for cidr in self._config.pod_cidrs:
            own_routes.lead(route, self._config.instance, cidr, link)

    def _own_addresses(self) -> Iterator[tuple[str, int]]:
        """The bridge's, each with the length of its prefix."""
        for network in self._config.networks:
            yield str(network[1]), network.prefixlen
        if IPV6 in self._families:
            yield _LINK_LOCAL, 64

    def publish(self, forwards: Collection[Forward]) -> None:
        """Makes these the ports of the host that lead into sandboxes; raises Internal."""
        with self._lock:
            if set(forwards) != self._forwards:
                try:
                    nft.run(self._rules(forwards))
                except nft.NftError as error:
                    raise Internal(f"failed to publish ports: {error}") from error
                self._forwards = set(forwards)

    def _rules(self, forwards: Collection[Forward] = ()) -> str:
        config = self._config
        return "".join(ruleset(config.table, config.bridge, cidr, forwards) for cidr in config.pod_cidrs)

    def pass_firewalls(self, tables: Collection[Table] | None) -> None:
        """A table of our own can't undo another's drop, so the rule that accepts goes there, once; None: all tables."""
        for chain in closed_chains(_listed(tables), self._config.table, self._families):
            LOG.info("letting %s through %s %s %s", self._config.bridge, chain.family, chain.table, chain.name)
            nft.run(accepting(chain, self._config.bridge, self._config.table))

    def _leave_firewalls(self) -> None:
        commands = deletions(nft.query("list ruleset"), self._config.table)
        if commands:
            nft.run(commands)

    def attach(self, member: Member) -> tuple[str, ...]:
        """Raises Internal or ResourceExhausted."""
        addresses = self._leases.take(member.id)
        host_end = veth_name(self._config.instance, member.id)
        try:
            netlink.here(lambda route: self._make_pair(route, host_end, member.file))
            netlink.in_namespace(member.file, lambda route: self._configure(route, addresses))
        except (OSError, netlink.errors()) as error:
            self.detach(member.id)
            raise Internal(f"failed to set up the network of the sandbox: {error}") from error
        return addresses

    def _make_pair(self, route: Any, host_end: str, namespace: Path) -> None:
        with namespace.open() as file:
            peer = {"ifname": INTERFACE, "net_ns_fd": file.fileno()}
            route.link("add", ifname=host_end, kind="veth", peer=peer)
        link, bridge = netlink.index(route, host_end), netlink.index(route, self._config.bridge)
        route.link("set", index=link, master=bridge, state="up")
        # With br_netfilter what a sandbox sends to itself by way of the host's rules leaves by the port it came from.
        route.brport("set", index=link, mode=1)

    def _configure(self, route: Any, addresses: Collection[str]) -> None:
        link, gateways = netlink.index(route, INTERFACE), self._config.gateways
        forwarding.hear_no_router(INTERFACE)
        # Neighbours are reached by the gateway too: what passes between sandboxes must pass the host's rules.
        for address in addresses:
            length = family_of(address).bits
            route.addr("add", index=link, address=address, prefixlen=length, **_at_once(address))
        route.link("set", index=link, state="up")
        for family in map(family_of, addresses):
            route.route("add", dst=f"{gateways[family]}/{family.bits}", oif=link, scope=253)
            route.route("add", dst=family.everywhere, gateway=gateways[family])

    def link(self, sandbox_id: str) -> str:
        """The name of the host's end of the sandbox's network."""
        return veth_name(self._config.instance, sandbox_id)

    def detach(self, sandbox_id: str) -> None:
        """Removes the pair and frees the address; nothing where there is none."""
        name = veth_name(self._config.instance, sandbox_id)
        netlink.here(lambda route: _remove_link(route, name))
        self._leases.give_back(sandbox_id)

    def is_attached(self, sandbox_id: str) -> bool:
        link = veth_name(self._config.instance, sandbox_id)
        return self._leases.holds(sandbox_id) and netlink.here(lambda route: netlink.index(route, link)) != 0

    def keep_only(self, sandbox_ids: set[str]) -> None:
        """Removes the pairs and addresses of all sandboxes but these."""
        kept = {veth_name(self._config.instance, sandbox_id) for sandbox_id in sandbox_ids}
        prefix = f"v{self._config.instance}"

        def sweep(route: Any) -> None:
            for link in route.get_links():
                name = dict(link["attrs"]).get("IFLA_IFNAME", "")
                if name.startswith(prefix) and name not in kept:
                    _remove_link(route, name)

        netlink.here(sweep)
        self._leases.keep_only(sandbox_ids)

    def tear_down(self) -> None:
        """Removes bridge and rules."""
        netlink.here(lambda route: _remove_link(route, self._config.bridge))
        netlink.here(lambda route: own_routes.forget(route, self._config.instance))
        with contextlib.suppress(nft.NftError):
            self._leave_firewalls()
        nft.remove_tables(self._config.table)


def _at_once(address: str) -> dict[str, int]:
    """What has the kernel let an address be used as soon as it is there."""
    return {"flags": _NO_DAD} if family_of(address) is IPV6 else {}


def _listed(tables: Collection[Table] | None) -> list[dict[str, Any]]:
    if tables is None:
        return nft.query("list ruleset")
    found: list[dict[str, Any]] = []
    for each in tables:
        # It may have gone since.
        with contextlib.suppress(nft.NftError):
            found += nft.query(f"list table {each.family} {each.name}")
    return found


def _remove_link(route: Any, name: str) -> None:
    link = netlink.index(route, name)
    if link:
        with contextlib.suppress(netlink.errors()):
            # Gone in the meantime, with the namespace that held its other end.
            route.link("del", index=link)
