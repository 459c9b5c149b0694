"""Services answer as they should, and only as they should: real packets in network namespaces of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from machinery.ip_families import FAMILIES, IPV4, IPV6
from tests.contract.node_client import ADDRESS, PORT, Node, running

WEB = {"port": PORT, "cluster_ip": ADDRESS}


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.name)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("node"), family=request.param) as node:
        yield node


@pytest.fixture
def node(started: Node) -> Iterator[Node]:
    yield started
    started.apply()


def test_the_host_and_pods_reach_a_service_by_its_address(node: Node) -> None:
    node.apply({**WEB, "to": "a"})
    # The host asks with the address that the bridge gives it, a pod with its own.
    assert node.tcp("") == ["a", node.addresses["h"]]
    assert node.tcp("b") == ["a", node.addresses["b"]]


def test_a_pod_reaches_itself_through_a_service(node: Node) -> None:
    node.apply({**WEB, "to": "a"})
    assert node.tcp("a") == ["a", node.addresses["h"]]


def test_pods_reach_each_other_past_no_rule_of_the_host(node: Node) -> None:
    assert node.tcp("b", "a", 8080) == ["a", node.addresses["b"]]
    neighbours = node.run("ip", "neigh", "show", "dev", "mkpy0")
    assert node.addresses["a"] in neighbours and node.addresses["b"] in neighbours


def test_all_endpoints_get_their_share(node: Node) -> None:
    node.apply({**WEB, "to": "ab"})
    assert {node.tcp("c")[0] for _ in range(24)} == {"a", "b"}


def test_with_affinity_a_client_stays_with_its_endpoint(node: Node) -> None:
    node.apply({**WEB, "to": "ab", "affinity_seconds": 600})
    assert len({node.tcp("c")[0] for _ in range(8)}) == 1


def test_a_service_without_endpoints_refuses_at_once(node: Node) -> None:
    node.apply({**WEB, "to": "", "node_port": 30080})
    assert node.tcp("") == node.tcp("b") == ["error", "ConnectionRefusedError"]
    assert node.tcp("b", "10.244.0.1", 30080) == ["error", "ConnectionRefusedError"]


def test_a_port_that_the_service_does_not_have_is_refused(node: Node) -> None:
    node.apply({**WEB, "to": "a"})
    assert node.tcp("", port=81) == node.tcp("b", port=81) == ["error", "ConnectionRefusedError"]


def test_a_node_port_answers_on_every_address_of_the_host(node: Node) -> None:
    node.apply({**WEB, "to": "a", "node_port": 30080})
    assert node.tcp("", "10.244.0.1", 30080)[0] == "a"
    assert node.tcp("b", "10.244.0.1", 30080) == ["a", node.addresses["b"]]


@pytest.mark.parametrize(("started", "says"), [(IPV4, "a"), (IPV6, "error")], indirect=["started"])
def test_the_host_reaches_a_node_port_by_its_loopback_where_the_kernel_lets_that_out(node: Node, says: str) -> None:
    node.apply({**WEB, "to": "a", "node_port": 30080})
    assert node.tcp("", "127.0.0.1", 30080)[0] == says


def test_a_load_balancers_address_lets_its_ranges_in_alone(node: Node) -> None:
    balanced = {**WEB, "to": "a", "load_balancer_ips": ["192.0.2.7"]}
    node.apply({**balanced, "sources": [f"{node.addresses['b']}/{node.family.bits}", "::/0"]})
    assert node.tcp("b", "192.0.2.7") == ["a", node.addresses["b"]]
    assert node.tcp("c", "192.0.2.7")[0] == "error"
    # The cluster's own address asks nobody where he comes from.
    assert node.tcp("c")[0] == "a"


def test_changes_reach_the_next_connection(node: Node) -> None:
    node.apply({**WEB, "to": "a"})
    assert node.tcp("c")[0] == "a"
    node.apply({**WEB, "to": "b"}, {"port": 81, "cluster_ip": "10.96.0.11", "service": "t", "to": "a"})
    assert node.tcp("c")[0] == "b"
    assert node.tcp("c", "10.96.0.11", 81)[0] == "a"
    node.apply({"port": 81, "cluster_ip": "10.96.0.11", "service": "t", "to": "a"})
    assert node.tcp("c")[0] == "error"


def test_a_datagram_from_the_same_port_reaches_the_new_endpoint(node: Node) -> None:
    dns = {"port": 53, "cluster_ip": ADDRESS, "protocol": "udp"}
    node.apply({**dns, "to": "a"})
    assert node.udp("c", 40000)[0] == "a"
    node.apply({**dns, "to": "b"})
    assert node.udp("c", 40000)[0] == "b"


def test_nothing_is_left_when_the_services_are_gone(node: Node) -> None:
    node.apply({**WEB, "to": "ab", "node_port": 30080, "affinity_seconds": 60, "load_balancer_ips": ["192.0.2.7"],
                "sources": ["192.0.2.0/24"]})  # fmt: skip
    full = node.run("nft", "list", "table", node.family.word, "proxied")
    node.apply()
    empty = node.run("nft", "list", "table", node.family.word, "proxied")
    assert "svc-" in full and "goto" in full
    assert not any(word in empty for word in ("svc-", "svce-", "fw-", "96", "30080"))
