"""Routes for the Services' addresses, so that the machine itself may ask them where no other route leads anywhere.

Without a default route, as on a laptop away from any network, the kernel refuses to send before a rule is looked at.
Blocks: use threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any

from machinery.ip_families import IPV4, family_of
from machinery.linux import netlink


def lead(service_cidrs: Collection[str], bridge: str) -> None:
    """Makes the routes; packets of Services never follow them, as their addresses are changed before.

    The kernel makes a route of IPv6 to `lo` one that refuses, so that one leads to the bridge, if there is one.
    """

    def make(route: Any) -> None:
        for cidr in service_cidrs:
            link = netlink.index(route, "lo" if family_of(cidr) is IPV4 else bridge)
            if link:
                route.route("replace", dst=cidr, oif=link, scope=253)

    netlink.here(make)


def take_away(service_cidrs: Collection[str]) -> None:
    """Nothing where there are none; one that leads to the bridge goes with that."""
    from pyroute2.netlink.exceptions import NetlinkError

    def remove(route: Any) -> None:
        for cidr in service_cidrs:
            if family_of(cidr) is IPV4:
                with contextlib.suppress(NetlinkError):
                    route.route("del", dst=cidr, oif=netlink.index(route, "lo"), scope=253)

    netlink.here(remove)
