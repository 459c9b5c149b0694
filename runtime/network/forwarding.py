"""The kernel's switches by which the machine passes sandboxes' packets on; its own way out stays as it was. Blocks."""

from __future__ import annotations

from pathlib import Path

from machinery.ip_families import IPV4, Family

_NET = Path("/proc/sys/net")


def pass_on(family: Family, bridge: str, net: Path = _NET) -> None:
    """Raises OSError where the kernel has no such family, or lets nobody switch."""
    if family is IPV4:
        _switch(net / "ipv4/ip_forward", "1")
        _switch(net / f"ipv4/conf/{bridge}/route_localnet", "1")
        return
    everywhere = net / "ipv6/conf/all/forwarding"
    if _said(everywhere) != "1":
        _keep_listening(net / "ipv6/conf")
        _switch(everywhere, "1")


def prepare(bridge: str, net: Path = _NET) -> None:
    """Lets the bridge, which is not up yet, have addresses of IPv6, and hear of no router among the sandboxes."""
    _switch(net / f"ipv6/conf/{bridge}/disable_ipv6", "0")
    hear_no_router(bridge, net)


def hear_no_router(interface: str, net: Path = _NET) -> None:
    """In this thread's network namespace: on a link of sandboxes whoever announces a router is one of them.

    Nothing where the kernel has no IPv6.
    """
    listens = net / f"ipv6/conf/{interface}/accept_ra"
    if listens.exists():
        _switch(listens, "0")


def _keep_listening(interfaces: Path) -> None:
    """A machine that passes packets on forgets what routers announce, its default route too, unless it is told not to.

    Those that are there alone: what comes later may be somebody's network of containers.
    """
    for interface in interfaces.iterdir():
        if interface.name not in ("all", "default") and _said(interface / "accept_ra") == "1":
            _switch(interface / "accept_ra", "2")


def _said(switch: Path) -> str:
    return switch.read_text().strip()


def _switch(switch: Path, value: str) -> None:
    if _said(switch) != value:
        switch.write_text(value)
