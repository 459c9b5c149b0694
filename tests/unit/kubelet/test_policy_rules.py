"""Who is meant by a NetworkPolicy, and that its table is only ever told what changed; packets: tests/contract."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelet.nftables import Ruleset, changed
from kubelet.policy.policies import names_resident, policy, residents
from kubelet.policy.ruleset import ruleset
from machinery.ip_families import FAMILIES, Family
from tests.nft_table import Table

NAMESPACES = [{"metadata": {"name": name, "labels": {"team": name}}} for name in ("d", "e")]


def pod(name: str, ip: str, namespace: str = "d", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"containers": [{"ports": [{"name": "web", "containerPort": 80}]}], **spec},
        "status": {"podIPs": [{"ip": ip}]},
    }


A = pod("a", "10.0.0.2")


@pytest.mark.parametrize(
    ("pods", "held", "known"),
    [
        ([A], {}, {"10.0.0.2": "a"}),
        ([pod("a", "10.0.0.2", hostNetwork=True)], {}, {}),
        ([{**A, "status": {**A["status"], "phase": "Succeeded"}}], {}, {}),
        ([{**A, "status": {}}], {}, {}),
        # An address that was given away again is its new holder's.
        ([A], {"u": (pod("b", ""), ["10.0.0.2"])}, {"10.0.0.2": "b"}),
        ([{**A, "metadata": {**A["metadata"], "deletionTimestamp": "t"}}, pod("b", "10.0.0.2")], {}, {"10.0.0.2": "b"}),
        ([], {"u": (A, ["10.0.0.3"])}, {"10.0.0.3": "a"}),
        ([], {"u": (A, ["10.0.0.3", "fd00::3"])}, {"10.0.0.3": "a", "fd00::3": "a"}),
    ],
)
def test_an_address_is_that_of_whoever_has_it_now(pods: list[Any], held: dict[str, Any], known: dict[str, str]) -> None:
    assert {each.ip: each.name for each in residents(pods, NAMESPACES, held)} == known


def test_sidecars_name_ports_too_but_no_other_init_containers() -> None:
    sidecar = {"restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 2, "protocol": "UDP"}]}
    inits = [{"ports": [{"name": "init", "containerPort": 1}]}, sidecar]
    (found,) = residents([pod("a", "10.0.0.2", initContainers=inits)], NAMESPACES, {})
    assert [(port.name, port.protocol, port.number) for port in found.ports] == [("web", "tcp", 80), ("side", "udp", 2)]


def test_names_that_pods_serve_are_judged_as_those_pods() -> None:
    dns = {"metadata": {"name": "kube-dns", "namespace": "d"}, "spec": {"clusterIP": "10.96.0.10"}}
    found = names_resident(dns, NAMESPACES)
    assert found is not None and found.namespace_labels == {"team": "d"}
    assert names_resident({**dns, "spec": {**dns["spec"], "selector": {"k8s-app": "coredns"}}}, NAMESPACES) is None


SELECTORS = st.sampled_from([{}, {"matchLabels": {"app": "a"}}, {"matchLabels": {"app": "b"}}])
PEERS = st.one_of(
    st.builds(lambda labels: {"podSelector": labels}, SELECTORS),
    st.builds(lambda labels: {"namespaceSelector": {}, "podSelector": labels}, SELECTORS),
    st.sampled_from([{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}, {"ipBlock": {"cidr": "::/0"}}]),
)
RULES = st.fixed_dictionaries(
    {"peers": st.lists(PEERS, max_size=2), "ports": st.lists(st.sampled_from([{"port": "web"}, {"port": 80}]))}
)
POLICIES = st.builds(
    lambda name, labels, rules, types: {
        "metadata": {"name": name, "namespace": "d"},
        "spec": {
            "podSelector": labels,
            "policyTypes": types,
            "ingress": [{"from": each["peers"], "ports": each["ports"]} for each in rules],
            "egress": [{"to": each["peers"], "ports": each["ports"]} for each in rules],
        },
    },
    st.sampled_from("pqr"),
    SELECTORS,
    st.lists(RULES, max_size=2),
    st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
)
PODS = st.builds(
    pod, st.sampled_from("abc"), st.sampled_from(["10.0.0.2", "10.0.0.3", "fd00::2", "fd00::3"]), st.sampled_from("de")
)
STATES = st.tuples(
    st.lists(POLICIES, max_size=3, unique_by=lambda each: each["metadata"]["name"]), st.lists(PODS, max_size=3)
)


@given(st.lists(STATES, max_size=5), st.sampled_from(FAMILIES))
def test_whatever_came_before_the_table_is_what_the_last_state_asks(states: list[Any], family: Family) -> None:
    table, before = Table(), Ruleset()
    for policies, pods in states:
        after = ruleset(list(map(policy, policies)), residents(pods, NAMESPACES, {}), None, family)
        words = {word for rules in after.chains.values() for line in rules for word in line.split()}
        assert not words & {each.word for each in FAMILIES if each is not family}
        table.apply(changed(family.table("t"), before, after))
        assert table.is_as(after)
        before = after
