"""What is told of a machine's networks, where the cluster's ranges meet them, and what certificates answer to."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from machinery.client.clock import SystemClock
from machinery.ip_families import FAMILIES
from machinery.linux.addresses import Address, Way, Whereabouts
from machinery.structs import replace
from minikube_py.config import Config
from minikube_py.keys import server_names
from minikube_py.whereabouts import Machine, clashes, described, is_same_place, strange

CONFIG = replace(Config(), pod_cidr=("10.244.0.0/16",), service_cidr=("10.96.0.0/16",))
BRIDGE = Address("10.244.0.1", CONFIG.bridge, "bridge")
WIFI = Address("192.168.1.5", "wlan0")
DEFAULT = Way(ip_network("0.0.0.0/0"), "wlan0")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Whereabouts(), "none: the node is known by 127.0.0.1, which this machine alone reaches"),
        (Whereabouts((BRIDGE,)), "none: the node is known by 10.244.0.1, which this machine alone reaches"),
        (Whereabouts((BRIDGE, WIFI)), "192.168.1.5 (wlan0), without a default route"),
        (Whereabouts((BRIDGE, WIFI), (DEFAULT,)), "192.168.1.5 (wlan0)"),
    ],
)
def test_the_network_is_told_in_a_line(found: Whereabouts, said: str) -> None:
    assert described(found, CONFIG.bridge) == said


def test_the_network_of_each_family_is_told() -> None:
    found = Whereabouts((BRIDGE, WIFI, Address("fd00:10:244::1", CONFIG.bridge)), (DEFAULT,))
    alone = "none: the node is known by fd00:10:244::1, which this machine alone reaches"
    assert described(found, CONFIG.bridge, FAMILIES) == f"IPv4: 192.168.1.5 (wlan0); IPv6: {alone}"


@pytest.mark.parametrize(
    ("network", "interface", "is_started", "met"),
    [
        ("10.0.0.0/8", "tun0", True, ["10.244.0.0/16", "10.96.0.0/16"]),
        ("10.96.7.0/24", "tun0", True, ["10.96.0.0/16"]),
        ("10.244.0.0/24", CONFIG.bridge, True, []),
        ("10.96.0.0/16", "lo", True, []),
        ("10.96.0.0/16", "lo", False, ["10.96.0.0/16"]),
        ("192.168.0.0/16", "tun0", True, []),
        ("0.0.0.0/0", "wlan0", True, []),
        ("0.0.0.0/1", "tun0", False, []),
        ("fd00:10::/32", "tun0", True, ["fd00:10:244::/56", "fd00:10:96::/112"]),
        ("fd00:10:96::/112", CONFIG.bridge, True, []),
        ("::/0", "wlan0", True, []),
    ],
)
def test_the_clusters_ranges_meet_routes_of_others(
    network: str, interface: str, is_started: bool, met: list[str]  # noqa: FBT001
) -> None:  # fmt: skip
    config = CONFIG
    if ":" in network:
        config = replace(CONFIG, pod_cidr=("10.244.0.0/16", "fd00:10:244::/56"),
                         service_cidr=("10.96.0.0/16", "fd00:10:96::/112"))  # fmt: skip
    found = clashes([Way(ip_network(network), interface)], config, is_started=is_started)
    assert [clash.cidr for clash in found] == met


@pytest.mark.parametrize(
    ("after", "is_same"),
    [
        (Whereabouts((BRIDGE, WIFI), (DEFAULT,)), True),
        (Whereabouts((BRIDGE, WIFI), (DEFAULT, Way(ip_network("172.17.0.0/16"), "docker0"))), True),
        (Whereabouts((BRIDGE, WIFI, Address("10.244.0.1", "veth1", "veth")), (DEFAULT,)), True),
        (Whereabouts((BRIDGE, WIFI)), False),
        (Whereabouts((BRIDGE, WIFI, Address("2001:db8::5", "wlan0")), (DEFAULT,)), False),
        (Whereabouts((BRIDGE, Address("192.168.1.5", "wlan0", is_up=False)), (DEFAULT,)), False),
    ],
)
def test_what_containers_do_is_no_move(after: Whereabouts, is_same: bool) -> None:  # noqa: FBT001
    assert is_same_place(Whereabouts((BRIDGE, WIFI), (DEFAULT,)), after) == is_same


def test_an_address_to_listen_on_that_the_machine_lacks_is_told() -> None:
    binds = ["127.0.0.1", "0.0.0.0", "::", "192.168.1.5", "10.9.9.9", "api.example.org"]  # noqa: S104
    assert list(strange(binds, Whereabouts((WIFI,)))) == ["10.9.9.9"]


@pytest.mark.parametrize(
    ("bind", "answers", "answers_not"),
    [
        (("127.0.0.1",), "192.168.1.5", "2001:db8::5"),
        (("0.0.0.0",), "2001:db8::5", ""),
        (("10.7.0.9", "api.example.org"), "10.7.0.9", "2001:db8::5"),
    ],
)
def test_the_api_server_answers_to_where_it_listens(bind: tuple[str, ...], answers: str, answers_not: str) -> None:
    machine = Machine(CONFIG.bridge, SystemClock())
    machine.found = Whereabouts((BRIDGE, WIFI, Address("2001:db8::5", "wlan0")), (DEFAULT,))
    names, ips = server_names(replace(CONFIG, bind=bind), machine)
    assert {"127.0.0.1", "10.96.0.1", "10.244.0.1", answers} <= set(ips)
    assert answers_not not in ips
    assert ("api.example.org" in names) == ("api.example.org" in bind)
