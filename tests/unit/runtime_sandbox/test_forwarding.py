"""Passing packets on takes nothing from the machine's own way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from machinery.ip_families import IPV4, IPV6
from runtime.network.forwarding import pass_on, prepare

BRIDGE = "mkpy0"
SWITCHES = {
    "ipv4/ip_forward": "0",
    f"ipv4/conf/{BRIDGE}/route_localnet": "0",
    "ipv6/conf/all/forwarding": "0",
    "ipv6/conf/all/accept_ra": "1",
    "ipv6/conf/default/accept_ra": "1",
    "ipv6/conf/wlan0/accept_ra": "1",
    "ipv6/conf/eth0/accept_ra": "0",
    "ipv6/conf/wwan0/accept_ra": "2",
    f"ipv6/conf/{BRIDGE}/accept_ra": "1",
    f"ipv6/conf/{BRIDGE}/disable_ipv6": "1",
}


@pytest.fixture
def net(tmp_path: Path) -> Path:
    for name, value in SWITCHES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    return tmp_path


def switched(net: Path) -> dict[str, str]:
    now = {name: (net / name).read_text().strip() for name in SWITCHES}
    return {name: value for name, value in now.items() if value != SWITCHES[name]}


def test_ipv4_switches_nothing_of_ipv6(net: Path) -> None:
    pass_on(IPV4, BRIDGE, net)
    assert switched(net) == {"ipv4/ip_forward": "1", f"ipv4/conf/{BRIDGE}/route_localnet": "1"}


def test_interfaces_that_listen_to_routers_go_on_doing_so(net: Path) -> None:
    prepare(BRIDGE, net)
    pass_on(IPV6, BRIDGE, net)
    assert switched(net) == {
        "ipv6/conf/all/forwarding": "1",
        "ipv6/conf/wlan0/accept_ra": "2",
        f"ipv6/conf/{BRIDGE}/accept_ra": "0",
        f"ipv6/conf/{BRIDGE}/disable_ipv6": "0",
    }


def test_where_it_is_on_already_interfaces_are_as_their_owner_has_them(net: Path) -> None:
    (net / "ipv6/conf/all/forwarding").write_text("1\n")
    pass_on(IPV6, BRIDGE, net)
    assert switched(net) == {"ipv6/conf/all/forwarding": "1"}


def test_a_kernel_without_ipv6_is_told(net: Path) -> None:
    (net / "ipv6/conf/all/forwarding").unlink()
    with pytest.raises(OSError, match="forwarding"):
        pass_on(IPV6, BRIDGE, net)
