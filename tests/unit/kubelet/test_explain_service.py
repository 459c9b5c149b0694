"""What is said of a Service: its ways, and whoever drops its packets."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet.policy.policies import policy, residents
from kubelet.policy.ruleset import INGRESS, group_chain
from kubelet.proxy.explain import Observed, explain, said
from kubelet.proxy.live import LiveTable, live_table
from kubelet.proxy.ruleset import ruleset
from kubelet.proxy.services import service_ports
from machinery.ip_families import FAMILIES, IPV4, Family
from machinery.structs import replace

PORT = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web"}
SPEC = {"type": "ClusterIP", "clusterIP": "10.96.0.9", "ports": [PORT], "selector": {"app": "web"}}
SERVICE = {"metadata": {"namespace": "d", "name": "web"}, "spec": SPEC}
POD = {
    "metadata": {"namespace": "d", "name": "web-1", "labels": {"app": "web"}},
    "spec": {"containers": [{"ports": [{"name": "web", "containerPort": 8080}]}]},
    "status": {
        "phase": "Running",
        "podIPs": [{"ip": "10.244.0.5"}],
        "conditions": [{"type": "Ready", "status": "True"}],
    },
}
SLICE = {
    "metadata": {"namespace": "d", "name": "web-x", "labels": {"kubernetes.io/service-name": "web"}},
    "addressType": "IPv4",
    "endpoints": [{"addresses": ["10.244.0.5"], "nodeName": "n", "conditions": {"ready": True}}],
    "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
}
SHUT = {"metadata": {"namespace": "d", "name": "shut"}, "spec": {"podSelector": {}}}
LET = {"from": [{"podSelector": {"matchLabels": {"app": "b"}}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]}


def table(service: dict[str, Any], slices: list[dict[str, Any]], node: str = "n") -> dict[Family, LiveTable]:
    """The kernel's tables as the proxy would make them."""
    found = {}
    for family in FAMILIES:
        wanted = ruleset(port for port in service_ports([service], slices, node) if port.family is family)
        leads = {name: {key: verdict.removeprefix("goto ") for key, verdict in elements.items() if verdict}
                 for name, elements in wanted.elements.items()}  # fmt: skip
        found[family] = LiveTable(leads, wanted.chains)
    return found


def observed(**changes: Any) -> Observed:
    base = Observed(
        service=SERVICE, slices=[SLICE], pods=[POD], node="n", residents=residents([POD], [], {}),
        services_tables=table(SERVICE, [SLICE]), policies_tables={},
    )  # fmt: skip
    found = replace(base, **changes)
    if "services_tables" not in changes:
        found = replace(found, services_tables=table(found.service, list(found.slices), found.node))
    return found


def with_spec(**spec: Any) -> dict[str, Any]:
    return {**SERVICE, "spec": {**SPEC, **spec}}


def test_a_sound_service_is_told_with_its_rules() -> None:
    lines = list(said(explain(observed())))
    assert lines[0] == "10.96.0.9:80 (port http/tcp) leads to 10.244.0.5:8080 (web-1)"
    assert lines[2].strip().startswith("meta l4proto tcp dnat")
    assert lines[-1] == "nobody known here drops its packets"


NOT_READY = {**POD, "status": {**POD["status"], "conditions": [
    {"type": "Ready", "status": "False", "message": "containers with unready status: [c]"}]}}  # fmt: skip
NAMELESS = {**POD, "spec": {"containers": [{}]}}
REFUSED = "port http/tcp has no ready endpoint: the machine refuses connections to it"


@pytest.mark.parametrize(
    ("changes", "drops"),
    [
        ({"slices": [], "pods": []}, [REFUSED, "no pod of namespace d has its labels app=web"]),
        ({"slices": [], "pods": [NOT_READY]},
         [REFUSED, "pod web-1 is not ready: containers with unready status: [c]"]),
        ({"slices": [], "pods": [NAMELESS]},
         [REFUSED, "no container of pod web-1 has a port named web, to which port 80 leads"]),
        ({"slices": [], "service": with_spec(selector=None)},
         [REFUSED, "it has no selector, and nobody has made an EndpointSlice for it"]),
        ({"node": "other", "service": with_spec(internalTrafficPolicy="Local")},
         ["port http/tcp: internalTrafficPolicy is Local and no ready endpoint is on other: "
          "such connections are refused"]),
        ({"services_tables": {}}, ["the machine has no table of Services: the proxy has not run"]),
        ({"services_tables": {IPV4: LiveTable()}},
         ["the machine's rules do not lead 10.96.0.9 tcp 80 as they should: the proxy is behind"]),
        ({"firewalls": ["inet firewalld filter_FORWARD"]},
         ["the firewall's chain inet firewalld filter_FORWARD lets pods' packets pass no more; "
          "`minikube-py restart` opens it again"]),
        ({"policies": [policy(SHUT)]},
         ["NetworkPolicy d/shut keeps everyone from port 8080/tcp of web-1; dropped so far: 7 packet(s)"]),
        ({"policies": [policy({**SHUT, "spec": {"podSelector": {}, "ingress": [LET]}})]},
         ["NetworkPolicy d/shut keeps everyone but pods with app=b of namespace d, addresses of 10.0.0.0/8 "
          "from port 8080/tcp of web-1; dropped so far: 7 packet(s)"]),
        ({"policies": [policy({**SHUT, "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": "web"}]}]}})]}, []),
        ({"policies": [policy({**SHUT, "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 81}]}]}})]},
         ["NetworkPolicy d/shut keeps everyone from port 8080/tcp of web-1; dropped so far: 7 packet(s)"]),
    ],
)  # fmt: skip
def test_whoever_drops_its_packets_is_named(changes: dict[str, Any], drops: list[str]) -> None:
    counted = LiveTable(dropped={group_chain(INGRESS, changes.get("policies", ())): 7})
    assert explain(observed(policies_tables={IPV4: counted}, **changes)).drops == drops


@pytest.mark.parametrize(
    ("spec", "note"),
    [
        ({"clusterIP": "None"}, "it has no address of its own: names lead clients to the pods themselves"),
        ({"type": "ExternalName", "externalName": "x.org"}, "it is a name for x.org and has no address"),
        ({"sessionAffinity": "ClientIP"}, "session affinity: a client keeps its endpoint for 10800 s"),
    ],
)
def test_what_is_meant_to_be_so_is_a_note(spec: dict[str, Any], note: str) -> None:
    (found,) = explain(observed(service=with_spec(**spec))).notes
    assert found.startswith(note)


def test_each_familys_way_is_told_by_its_own_table() -> None:
    both = with_spec(type="NodePort", clusterIPs=["10.96.0.9", "fd00:1::9"], ports=[{**PORT, "nodePort": 30080}])
    of_ipv6 = {**SLICE, "addressType": "IPv6", "endpoints": [{"addresses": ["fd00::5"], "nodeName": "n"}]}
    found = explain(observed(service=both, slices=[SLICE, of_ipv6]))
    assert found.drops == []
    assert [(way.address, way.leads_to) for way in found.ways] == [
        ("10.96.0.9:80", ("10.244.0.5:8080 (web-1)",)),
        ("node port 30080", ("10.244.0.5:8080 (web-1)",)),
        ("[fd00:1::9]:80", ("[fd00::5]:8080",)),
        ("IPv6 node port 30080", ("[fd00::5]:8080",)),
    ]
    assert all(("ip6" in way.rules[0]) == ("fd00" in way.leads_to[0]) for way in found.ways)
    behind = explain(observed(service=both, slices=[SLICE, of_ipv6], services_tables=table(SERVICE, [SLICE])))
    assert "the machine's rules do not lead fd00:1::9 tcp 80 as they should: the proxy is behind" in behind.drops


def test_the_kernels_table_is_read_as_nft_lists_it() -> None:
    goto = [{"concat": ["10.96.0.9", "tcp", 80]}, {"goto": {"target": "svc-1"}}]
    listed = [
        {"map": {"name": "services", "elem": [goto]}},
        {"map": {"name": "egress-of", "elem": [["10.0.0.2", {"goto": {"target": "pods-eg-1"}}]]}},
        {"map": {"name": "node-ports"}},
        {"rule": {"chain": "pods-eg-1", "expr": [{"counter": {"packets": 3, "bytes": 180}}, {"drop": None}]}},
    ]
    text = "table ip t {\n\tmap services {\n\t\ttype x\n\t}\n\n\tchain svc-1 {\n\t\tdnat to 1\n\t}\n}\n"
    assert live_table(listed, text) == LiveTable(
        {"services": {"10.96.0.9 . tcp . 80": "svc-1"}, "egress-of": {"10.0.0.2": "pods-eg-1"}, "node-ports": {}},
        {"svc-1": ("dnat to 1",)},
        {"pods-eg-1": 3},
    )
