"""A route for the Services' addresses, so that the machine itself may ask them where no other route leads anywhere.

Without a default route, as on a laptop away from any network, the kernel refuses to send before a rule is looked at.
Blocks: use threads.
"""

from __future__ import annotations

import contextlib
from typing import Any

from machinery.linux import netlink


def lead(service_cidr: str) -> None:
    """Makes the route; packets of Services never reach it, as their addresses are changed before."""

    def make(route: Any) -> None:
        route.route("replace", dst=service_cidr, oif=netlink.index(route, "lo"), scope=253)

    netlink.here(make)


def take_away(service_cidr: str) -> None:
    """Nothing where there is none."""
    from pyroute2.netlink.exceptions import NetlinkError

    def remove(route: Any) -> None:
        with contextlib.suppress(NetlinkError):
            route.route("del", dst=service_cidr, oif=netlink.index(route, "lo"), scope=253)

    netlink.here(remove)
