"""NetworkPolicies let through what they name and nothing else: real packets between network namespaces.

Pods a (app=a, tier=front) and b (app=b) are in namespace d (team=one), c (app=c) in `other` (team=two); h is the
host, o a machine outside. Every policy is asked both ways; once alone, once beside firewalls as people have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from machinery.ip_families import FAMILIES
from tests.contract.firewalls import DOCKER, DOCKER_IPV6, FIREWALLD
from tests.contract.node_client import ADDRESS, Node, running

ALL = "a>b b>a c>a c>b a>c o>a o>c h>a h>c a>h c>h a>o c>o"
EVERYONE = {"podSelector": {}}


@pytest.fixture(scope="module", params=["", DOCKER + DOCKER_IPV6 + FIREWALLD], ids=["alone", "beside firewalls"])
def firewall(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.name)
def started(
    request: pytest.FixtureRequest, firewall: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:  # fmt: skip
    with running(tmp_path_factory.mktemp("node"), firewall, request.param) as node:
        yield node


@pytest.fixture
def node(started: Node) -> Iterator[Node]:
    yield started
    started.apply()
    started.police()


def policy(*, name: str = "p", namespace: str = "d", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {**EVERYONE, **spec}}


def ingress(*peers: dict[str, Any], ports: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    return policy(ingress=[{"from": list(peers), "ports": ports or []}], policyTypes=["Ingress"], **spec)


def egress(*peers: dict[str, Any], ports: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    return policy(egress=[{"to": list(peers), "ports": ports or []}], policyTypes=["Egress"], **spec)


def labels(**wanted: str) -> dict[str, Any]:
    return {"matchLabels": wanted}


NOBODY = policy()
CASES = {
    "nobody may": ([NOBODY], "c>a c>b b>a o>a h>a a>c", "h>a a>c"),
    "only those meant are isolated": (
        [policy(podSelector=labels(app="a"))], "b>a c>a c>b a>b h>a", "c>b a>b h>a"
    ),
    "an empty rule means everyone": ([policy(ingress=[{}])], "b>a c>a o>a h>a", "b>a c>a o>a h>a"),
    "by labels in its own namespace": (
        [ingress({"podSelector": labels(app="b")}, podSelector=labels(app="a"))], "b>a c>a o>a h>a", "b>a h>a"
    ),
    "labels alone mean no pod of another namespace": (
        [ingress({"podSelector": labels(app="c")})], "c>a b>a", ""
    ),
    "by the namespace's labels": (
        [ingress({"namespaceSelector": labels(team="two")})], "c>a b>a o>a", "c>a"
    ),
    "every namespace, but no one outside": ([ingress({"namespaceSelector": {}})], "c>a b>a o>a", "c>a b>a"),
    "both selectors of one peer must hold": (
        [ingress({"namespaceSelector": labels(team="one"), "podSelector": labels(app="c")})], "c>a b>a", ""
    ),
    "one of two peers is enough": (
        [ingress({"namespaceSelector": labels(team="two")}, {"podSelector": labels(app="b")})], "c>a b>a o>a", "c>a b>a"
    ),
    "by expressions": (
        [ingress({"podSelector": {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}})],
        "b>a a>b", "b>a"
    ),
    "any policy's yes is enough": (
        [NOBODY, ingress({"podSelector": labels(app="b")}, name="q"),
         ingress({"namespaceSelector": labels(team="two")}, name="r")], "b>a c>a o>a", "b>a c>a"
    ),
    "by addresses": ([ingress({"ipBlock": {"cidr": "192.0.2.0/24"}})], "o>a b>a", "o>a"),
    "by addresses but for some": (
        [ingress({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["192.0.2.48/29", "192.0.2.50/32"]}})],
        "o>a b>a c>a", "b>a c>a"
    ),
    "addresses of the other family are nobody's": ([ingress({"ipBlock": {"cidr": "::/0"}})], "o>a b>a", ""),
    "the way out": ([policy(policyTypes=["Egress"])], "a>b a>c a>o a>h b>a c>a o>a h>a", "a>h c>a o>a h>a"),
    "the way out by labels": (
        [egress({"podSelector": labels(app="b")}, podSelector=labels(app="a"))], "a>b a>c a>o b>a c>a", "a>b b>a c>a"
    ),
    "the way out by namespaces": ([egress({"namespaceSelector": labels(team="two")})], "a>c a>b a>o", "a>c"),
    "the way out by addresses": (
        [egress({"ipBlock": {"cidr": "192.0.2.0/24"}})], "a>o b>o a>b a>c", "a>o b>o"
    ),
    "both ways are needed where both are policed": (
        [egress({"namespaceSelector": {}}), policy(name="q", namespace="other", policyTypes=["Ingress"])],
        "a>b a>c", "a>b"
    ),
    "types follow from the rules": (
        [policy(egress=[{"to": [{"podSelector": labels(app="b")}]}])], "c>a b>a a>b a>c a>o h>a", "h>a"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("policies", "asked", "passing"), CASES.values(), ids=CASES)
def test_exactly_what_is_let_through_passes(
    node: Node, policies: list[dict[str, Any]], asked: str, passing: str
) -> None:
    assert node.passing(asked, asked) == asked
    node.police(*policies)
    assert node.passing(asked, passing) == passing


@pytest.mark.parametrize(
    ("ports", "passing"),
    [
        ([{"port": 8080, "protocol": "TCP"}], ":8080"),
        ([{"port": 8080, "endPort": 8085, "protocol": "TCP"}], ":8080 :8081"),
        ([{"port": "web", "protocol": "TCP"}], ":8080"),
        ([{"port": "dns", "protocol": "UDP"}, {"port": 8081, "protocol": "TCP"}], ":8081 :5353/udp"),
        ([{"port": "web", "protocol": "UDP"}], ""),
        ([{"protocol": "UDP"}], ":5353/udp"),
        ([{"protocol": "TCP"}], ":8080 :8081 :8090"),
    ],
)
@pytest.mark.parametrize("direction", [ingress, egress])
@pytest.mark.parametrize("peers", [(), ({"podSelector": labels(app="b")},)], ids=["everyone", "by label"])
def test_exactly_the_ports_that_are_named_pass(
    node: Node, direction: Any, peers: Any, ports: list[dict[str, Any]], passing: str
) -> None:
    pair = "b>a" if direction is ingress else "a>b"
    node.police(direction(*peers, ports=ports, podSelector=labels(app="a")))
    expected = " ".join(f"{pair}{port}" for port in passing.split())
    assert node.passing(f"{pair}:8080 {pair}:8081 {pair}:8090 {pair}:5353/udp", expected) == expected


def test_services_are_judged_by_what_is_behind_them(node: Node) -> None:
    node.apply({"port": 80, "cluster_ip": ADDRESS, "to": "a", "node_port": 30080})
    node.police(ingress({"podSelector": labels(app="b")}, ports=[{"port": 8080, "protocol": "TCP"}],
                        podSelector=labels(app="a")))  # fmt: skip
    assert node.tcp("b")[0] == "a"
    assert node.tcp("c", seconds=0.3)[0] == "error"
    assert node.tcp("")[0] == "a", "the node reaches its pods by their Services"
    assert node.tcp("a")[0] == "a", "a pod reaches itself"
    assert node.tcp("o", "192.0.2.1", 30080, seconds=0.3)[0] == "error"
    node.police(ingress({"ipBlock": {"cidr": "192.0.2.50/32"}}, podSelector=labels(app="a")))
    assert node.tcp("o", "192.0.2.1", 30080) == ["a", node.addresses["o"]]
    assert node.tcp("b", seconds=0.3)[0] == "error"


def test_a_port_of_the_host_is_judged_by_who_asks_from_outside(node: Node) -> None:
    node.publish("a", 31080)
    try:
        assert node.tcp("o", "192.0.2.1", 31080) == ["a", node.addresses["o"]]
        node.police(ingress({"podSelector": {}}, podSelector=labels(app="a")))
        assert node.tcp("o", "192.0.2.1", 31080, seconds=0.3)[0] == "error"
        assert node.tcp("b", "192.0.2.1", 31080)[0] == "a"
        assert node.tcp("", "10.244.0.1", 31080)[0] == "a"
    finally:
        node.publish("", 0)


def test_a_pod_that_may_not_ask_anyone_may_not_ask_for_names_either(node: Node) -> None:
    node.apply({"port": 53, "protocol": "udp", "cluster_ip": ADDRESS, "to": "h"})
    assert node.udp("a")[0] == "h"
    node.police(policy(policyTypes=["Egress"]))
    assert node.udp("a", seconds=0.3)[0] == "error"
    assert node.udp("c")[0] == "h"
    names = {"namespaceSelector": {}, "podSelector": labels(**{"k8s-app": "kube-dns"})}
    node.police(egress(names, ports=[{"port": 53, "protocol": "UDP"}]))
    assert node.udp("a")[0] == "h"
    node.police(egress(names, ports=[{"port": 53, "protocol": "TCP"}]))
    assert node.udp("a", seconds=0.3)[0] == "error"


def test_a_change_is_a_delta(node: Node) -> None:
    by_label = ingress({"podSelector": labels(app="x")}, podSelector=labels(app="a"))
    node.police(by_label)
    assert node.passing("b>a", "") == ""
    commands = node.police(by_label, b="x").splitlines()
    assert node.passing("b>a", "b>a") == "b>a"
    assert [line.split()[:2] for line in commands] == [["add", "element"]]
    commands = node.police(by_label).splitlines()
    assert node.passing("b>a", "") == ""
    assert [line.split()[:2] for line in commands] == [["delete", "element"]]


def test_nothing_is_left_when_the_policies_are_gone(node: Node) -> None:
    node.police(NOBODY, egress({"podSelector": {}}, ports=[{"port": "web", "protocol": "TCP"}], name="q"))
    full = node.run("nft", "list", "table", node.family.word, "policed")
    node.police()
    empty = node.run("nft", "list", "table", node.family.word, "policed")
    assert "jump" in full and node.addresses["a"] in full
    assert not any(word in empty for word in ("jump", "drop", "244"))
    assert node.passing(ALL, ALL) == ALL
