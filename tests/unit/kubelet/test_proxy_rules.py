"""Where Services lead, and that a table is only ever told what changed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelet.nftables import Ruleset, changed
from kubelet.proxy.composition import Composition, Key
from kubelet.proxy.conntrack import Flow, stale
from kubelet.proxy.ruleset import created, ruleset
from kubelet.proxy.services import Endpoint, ServicePort, endpoints, local_endpoints, service_ports
from machinery.ip_families import IPV4, IPV6
from machinery.structs import replace
from tests.nft_table import Table

A_IPV6 = Endpoint("fd00::5", 8080)
A, B, C = (Endpoint(f"10.244.0.{number}", 8080) for number in (5, 6, 7))


def service(**spec: Any) -> dict[str, Any]:
    port = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}
    return {"metadata": {"namespace": "d", "name": "web"}, "spec": {"clusterIP": "10.96.0.9", "ports": [port], **spec}}


def endpoint(of: Endpoint, node: str = "n", **conditions: bool) -> dict[str, Any]:
    return {"addresses": [of.ip], "nodeName": node, "conditions": conditions}


def endpoint_slice(*endpoints: dict[str, Any], port: str = "http") -> dict[str, Any]:
    return {
        "metadata": {"namespace": "d", "name": "web-x", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": [{"name": port, "port": 8080, "protocol": "TCP"}],
    }


def internal(*endpoints: dict[str, Any], **spec: Any) -> tuple[Endpoint, ...]:
    (port,) = service_ports([service(**spec)], [endpoint_slice(*endpoints)], "n")
    return port.internal


@pytest.mark.parametrize(
    ("offered", "spec", "led"),
    [
        ([endpoint(B, ready=True), endpoint(A)], {}, (A, B)),
        ([endpoint(A, ready=False), endpoint(B, ready=True)], {}, (B,)),
        ([endpoint(A, ready=False, serving=True, terminating=True)], {}, (A,)),
        ([endpoint(A, ready=False, serving=False, terminating=True)], {}, ()),
        ([endpoint(A, "other"), endpoint(B)], {"internalTrafficPolicy": "Local"}, (B,)),
        ([endpoint(A, "other"), endpoint(B)], {"externalTrafficPolicy": "Local"}, (A, B)),
    ],
)
def test_ready_endpoints_count_else_those_that_still_serve(
    offered: list[dict[str, Any]], spec: dict[str, Any], led: tuple[Endpoint, ...]
) -> None:
    assert internal(*offered, **spec) == led


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"clusterIP": ""}, {"type": "ExternalName"}])
def test_what_has_no_address_has_no_ports(spec: dict[str, Any]) -> None:
    assert service_ports([service(**spec)], [], "n") == []


def test_an_endpoint_of_another_port_is_none() -> None:
    (port,) = service_ports([service()], [endpoint_slice(endpoint(A), port="metrics")], "n")
    assert port.internal == ()


BOTH = {"clusterIPs": ["10.96.0.9", "fd00:1::9"], "ipFamilies": ["IPv4", "IPv6"]}
OF_IPV6 = {**endpoint_slice(endpoint(A_IPV6)), "addressType": "IPv6"}


def test_a_service_of_both_families_is_led_in_each_by_its_own_slices() -> None:
    outside = {"externalIPs": ["2001:DB8::7", "192.0.2.7"]}
    found = service_ports([service(**BOTH, **outside)], [endpoint_slice(endpoint(A)), OF_IPV6], "n")
    assert [(port.family, port.cluster_ip, port.internal, port.external_ips) for port in found] == [
        (IPV4, "10.96.0.9", (A,), ("192.0.2.7",)),
        (IPV6, "fd00:1::9", (A_IPV6,), ("2001:db8::7",)),
    ]


@pytest.mark.parametrize(
    ("families", "led"), [(["IPv4", "IPv6"], (A,)), (["IPv6", "IPv4"], (A_IPV6,)), (["IPv6"], (A_IPV6,)), (None, (A,))]
)
def test_who_asks_for_one_family_gets_the_services_first(families: list[str] | None, led: tuple[Endpoint, ...]) -> None:
    found = service(**{**BOTH, "ipFamilies": families})
    slices = [endpoint_slice(endpoint(A)), OF_IPV6]
    assert endpoints(found, slices, "http") == led
    # A pod with two addresses is one endpoint.
    assert local_endpoints(found, slices, "n") == 1


def test_rules_of_ipv6_say_what_those_of_ipv4_say() -> None:
    def rules(first: Endpoint, address: str, source: str) -> str:
        port = replace(PORT, cluster_ip=address, internal=(first,), external=(), affinity_seconds=60,
                       load_balancer_ips=(address,), sources=("192.0.2.0/24", "2001:db8::/64"))  # fmt: skip
        other = replace(port, service="api", external=(first,), affinity_seconds=0)
        text = created("t", ruleset([port, other]), source)
        return text.replace(address, "ADDRESS").replace(f"[{first.ip}]", first.ip).replace(first.ip, "ENDPOINT")

    of_ipv4 = rules(A, "10.96.0.9", "10.244.0.0/16")
    of_ipv6 = rules(A_IPV6, "fd00:1::9", "fd00:244::/56")
    for there, here in (("192.0.2.0/24", "2001:db8::/64"), ("10.244.0.0/16", "fd00:244::/56"),
                        ("ipv4_addr", "ipv6_addr"), ("fib daddr", "ip6 daddr != ::1 fib daddr")):  # fmt: skip
        of_ipv4 = of_ipv4.replace(there, here)
    # Chains of single endpoints are named by their addresses.
    told = [re.sub(r"e-[0-9a-f]{12}", "e-X", re.sub(r"\bip\b", "ip6", each)) for each in (of_ipv4, of_ipv6)]
    masqueraded = "fib daddr type != local masquerade"
    assert told[0].replace(f"ip6 daddr != ::1 {masqueraded}", masqueraded) == told[1]


def test_nothing_is_told_where_nothing_changes() -> None:
    rules = ruleset([PORT])
    assert changed("ip t", rules, rules) == ""


PORT = ServicePort("d", "web", "http", "tcp", 80, "10.96.0.9", (A, B), (A, B), node_port=30080)


def test_another_endpoint_touches_the_chain_of_its_port_alone() -> None:
    other = ServicePort("d", "api", "", "tcp", 80, "10.96.0.8", (C,), (C,))
    more = ServicePort("d", "web", "http", "tcp", 80, "10.96.0.9", (A,), (A,), node_port=30080)
    said = changed("ip t", ruleset([PORT, other]), ruleset([more, other])).splitlines()
    assert len(said) == 3
    assert re.fullmatch(r"flush chain ip t svc-\w+", said[0])
    assert said[1].endswith("dnat ip addr . port to numgen random mod 1 map { 0 : 10.244.0.5 . 8080 }")
    assert said[2] == "delete element ip t hairpins { 10.244.0.6 . 10.244.0.6 }"


ENDPOINTS = st.lists(st.sampled_from([A, B, C]), unique=True, max_size=3).map(tuple)
PORTS = st.builds(
    ServicePort,
    st.just("d"), st.sampled_from("ab"), st.just(""), st.sampled_from(["tcp", "udp"]), st.just(80),
    st.sampled_from(["10.96.0.8", "10.96.0.9"]),
    internal=ENDPOINTS, external=ENDPOINTS, node_port=st.sampled_from([0, 30080]),
    load_balancer_ips=st.sampled_from([(), ("192.0.2.1",)]), sources=st.sampled_from([(), ("192.0.2.0/24",)]),
    affinity_seconds=st.sampled_from([0, 60]),
)  # fmt: skip


@given(st.lists(st.lists(PORTS, max_size=4, unique_by=lambda port: (port.service, port.protocol)), max_size=5))
def test_whatever_came_before_the_table_is_what_the_last_state_asks(states: list[list[ServicePort]]) -> None:
    table, before = Table(), Ruleset()
    for ports in states:
        after = ruleset(ports)
        table.apply(changed("ip t", before, after))
        assert table.is_as(after)
        before = after


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from([Key("d", "web"), Key("d", "api")]),
            st.lists(PORTS, max_size=2, unique_by=lambda port: (port.service, port.protocol)),
            min_size=1,
        ),
        max_size=5,
    )
)
def test_a_service_replaced_by_itself_leaves_the_table_of_them_all(states: list[dict[Key, list[ServicePort]]]) -> None:
    table, composition, now = Table(), Composition(), {}
    for state in states:
        named = {key: [replace(port, service=key.name) for port in ports] for key, ports in state.items()}
        table.apply(changed("ip t", *composition.replace({key: ruleset(ports) for key, ports in named.items()})))
        now.update(named)
        assert table.is_as(composition.whole())
        everything = ruleset([port for ports in now.values() for port in ports])
        assert composition.whole().chains == everything.chains
        assert {name: set(found) for name, found in composition.whole().elements.items() if found} == {
            name: set(found) for name, found in everything.elements.items() if found
        }


def test_flows_to_gone_endpoints_and_to_none_are_stale() -> None:
    def dns(*endpoints: Endpoint) -> ServicePort:
        return ServicePort("d", "dns", "", "udp", 53, "10.96.0.10", endpoints, endpoints)

    assert stale([dns(A)], [dns(A), replace(dns(A_IPV6), cluster_ip="fd00:1::a")]) == {Flow("fd00:1::a", 53, "")}
    assert stale([dns(A, B)], [dns(B)]) == {Flow("10.96.0.10", 53, A.ip)}
    assert stale([dns()], [dns(A)]) == {Flow("10.96.0.10", 53, "")}
    assert stale([dns(A)], [dns(A, B)]) == set()
    assert stale([PORT], []) == set()
