"""By which address a machine is known, from what the kernel tells of its addresses and routes."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from machinery.ip_families import IPV6
from machinery.linux.addresses import Address, Way, Whereabouts, chosen, ipv6_addresses, ipv6_ways, messages, ways

OWN = "mkpy-abcdef"
BRIDGE, BRIDGE_IPV6 = Address("10.244.0.1", OWN, "bridge"), Address("fd00::1", OWN, "bridge")
WIFI, CABLE = Address("192.168.1.5", "wlan0"), Address("10.7.0.9", "eth0")
TUNNEL, DOCKER = Address("10.8.0.2", "tun0", "tun"), Address("172.17.0.1", "docker0", "bridge")


def way(network: str, interface: str, metric: int = 0) -> Way:
    return Way(ip_network(network), interface, metric)


@pytest.mark.parametrize(
    ("addresses", "defaults", "known_by"),
    [
        pytest.param([], [], "", id="nothing"),
        pytest.param([BRIDGE], [], "10.244.0.1", id="no network"),
        pytest.param([DOCKER, BRIDGE], [], "10.244.0.1", id="no network, and Docker"),
        pytest.param([DOCKER], [], "172.17.0.1", id="no network, and no bridge of the cluster's"),
        pytest.param([BRIDGE, WIFI], [way("0.0.0.0/0", "wlan0")], "192.168.1.5", id="a network"),
        pytest.param([BRIDGE, DOCKER, WIFI], [], "192.168.1.5", id="no default route"),
        pytest.param(
            [WIFI, CABLE],
            [way("0.0.0.0/0", "wlan0", 600), way("0.0.0.0/0", "eth0", 100)],
            "10.7.0.9",
            id="the better of two",
        ),
        pytest.param([WIFI, TUNNEL], [way("0.0.0.0/0", "wlan0"), way("0.0.0.0/1", "tun0")], "192.168.1.5", id="a VPN"),
        pytest.param(
            [WIFI, TUNNEL], [way("0.0.0.0/0", "tun0"), way("0.0.0.0/0", "wlan0", 5)], "10.8.0.2", id="a VPN for all"
        ),
        pytest.param([TUNNEL, BRIDGE], [], "10.244.0.1", id="a tunnel that leads nowhere"),
        pytest.param(
            [Address("192.168.1.5", "wlan0", is_up=False), BRIDGE], [], "10.244.0.1", id="a link that is down"
        ),
        pytest.param([Address("2001:db8::5", "wlan0"), BRIDGE], [], "10.244.0.1", id="IPv6 alone"),
        pytest.param([BRIDGE, WIFI], [way("0.0.0.0/0", "ppp0")], "192.168.1.5", id="a way without an address"),
    ],
)
def test_a_machine_is_known_by(addresses: list[Address], defaults: list[Way], known_by: str) -> None:
    found = chosen(Whereabouts(tuple(addresses), tuple(defaults)), OWN)
    assert (found.ip if found is not None else "") == known_by


@pytest.mark.parametrize(
    ("addresses", "defaults", "known_by"),
    [
        ([BRIDGE_IPV6, Address("2001:db8::5", "wlan0")], [], "2001:db8::5"),
        ([Address("2001:db8::5", "wlan0"), Address("2001:db8::6", "eth0")], [way("::/0", "eth0")], "2001:db8::6"),
        # Where IPv4 goes out says nothing of IPv6.
        ([Address("2001:db8::5", "wlan0"), Address("2001:db8::6", "eth0")], [way("0.0.0.0/0", "eth0")], "2001:db8::5"),
        ([WIFI, BRIDGE_IPV6], [way("0.0.0.0/0", "wlan0")], "fd00::1"),
        ([WIFI], [way("0.0.0.0/0", "wlan0")], ""),
    ],
)
def test_a_machine_is_known_by_another_address_in_ipv6(
    addresses: list[Address], defaults: list[Way], known_by: str
) -> None:
    found = chosen(Whereabouts(tuple(addresses), tuple(defaults)), OWN, IPV6)
    assert (found.ip if found is not None else "") == known_by


def test_routes_of_ipv6_that_lead_to_other_machines_are_read() -> None:
    nowhere = "0" * 32
    lines = [
        ("fd00" + "0" * 28, "40", "00000100", "00000001", "eth0"),
        ("fe80" + "0" * 28, "40", "00000100", "00000001", "eth0"),
        ("ff" + "0" * 30, "08", "00000100", "00000001", "eth0"),
        (nowhere, "00", "00000400", "00000003", "eth0"),
        ("fd00" + "0" * 27 + "2", "80", "00000000", "80200001", "eth0"),
        (nowhere, "00", "ffffffff", "00200200", "lo"),
    ]
    table = "\n".join(f"{to} {length} {nowhere} 00 {nowhere} {metric} 00000001 00000000 {flags} {name}"
                      for to, length, metric, flags, name in lines)  # fmt: skip
    assert list(ipv6_ways(table)) == [way("fd00::/64", "eth0", 256), way("::/0", "eth0", 1024)]


def test_routes_that_lead_somewhere_are_read_as_the_kernel_has_them() -> None:
    table = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
*\t000010AC\t00000000\t0201\t0\t0\t0\t0000F0FF\t0\t0\t0
"""
    assert list(ways(table)) == [way("0.0.0.0/0", "wlan0", 600), way("10.0.0.0/8", "tun0")]


def test_addresses_of_ipv6_are_those_that_last_and_others_know() -> None:
    table = """00000000000000000000000000000001 01 80 10 80       lo
20010db8000000000000000000000005 02 40 00 80    wlan0
20010db8000000000000000000000006 02 40 00 01    wlan0
fe800000000000000000000000000005 02 40 20 80    wlan0
"""
    assert list(ipv6_addresses(table)) == [Address("2001:db8::5", "wlan0")]


def test_messages_of_a_datagram_are_told_apart() -> None:
    one = b"\x14\0\0\0" + b"\x14\0" + bytes(10) + b"abcd"
    short = b"\x13\0\0\0" + b"\x18\0" + bytes(10) + b"abc\0"
    assert list(messages(one + short + b"\1\0\0\0")) == [(20, b"abcd"), (24, b"abc")]
    assert list(messages(bytes(16))) == []
