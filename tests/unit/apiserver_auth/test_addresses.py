"""Which addresses and node ports Services get, and what upstream says of those that they can't have."""

from __future__ import annotations

import re
from typing import Any

import pytest

from apiserver.kinds.rules import rules_for
from apiserver.registry.addresses import ClusterAddresses
from apiserver.registry.node_ports import NodePorts
from machinery.api.errors import InternalError, Invalid
from machinery.api.resource import Object
from machinery.api.resources import IP_ADDRESSES, SERVICE_C_I_D_RS, SERVICES
from tests.watched_store import Stage

RANGE = "10.96.0.0/24"
DUAL = [RANGE, "fd00:1::/112"]
PORTS = (30000, 30003)


def service(name: str = "s", /, **spec: Any) -> Object:
    made = {"metadata": {"name": name, "namespace": "n"}, "spec": {"type": "ClusterIP", **spec}}
    rules_for(SERVICES).prepare_create(made)
    return made


def given(addresses: ClusterAddresses, obj: Object) -> str:
    with addresses.hold(obj, SERVICES):
        return str(obj["spec"]["clusterIP"])


async def test_addresses_come_from_the_upper_part_while_it_lasts(stage: Stage) -> None:
    addresses = ClusterAddresses(stage.watched, [RANGE], PORTS)
    upper = set()
    for number in range(238):
        made = service(f"s{number}")
        upper.add(int(given(addresses, made).rsplit(".", 1)[1]))
        await stage.put(SERVICES, made)
    assert upper == set(range(17, 255))
    assert int(given(addresses, service("late")).rsplit(".", 1)[1]) <= 16
    kubernetes = {"metadata": {"name": "kubernetes", "namespace": "default"}, "spec": {}}
    assert given(addresses, kubernetes) == "10.96.0.1"


async def test_what_is_given_is_nobody_elses_before_it_is_stored(stage: Stage) -> None:
    addresses = ClusterAddresses(stage.watched, ["10.96.0.0/29"], (30000, 30001))
    first, second = (
        service("a", type="NodePort", ports=[{"port": 1}]),
        service("b", type="NodePort", ports=[{"port": 1}]),
    )
    with addresses.hold(first, SERVICES), addresses.hold(second, SERVICES):
        assert first["spec"]["clusterIP"] != second["spec"]["clusterIP"]
        assert {each["spec"]["ports"][0]["nodePort"] for each in (first, second)} == {30000, 30001}
        with pytest.raises(InternalError, match="failed to allocate a nodePort: range is full"):
            given(addresses, service("c", type="NodePort", ports=[{"port": 1}]))
        with pytest.raises(Invalid, match="provided IP is already allocated"):
            given(addresses, service("c", clusterIP=first["spec"]["clusterIP"]))


async def test_an_address_that_was_asked_for(stage: Stage) -> None:
    addresses = ClusterAddresses(stage.watched, [RANGE], PORTS)
    await stage.put(SERVICES, service("other", clusterIP="10.96.0.7", clusterIPs=["10.96.0.7"]))
    foreign = {"metadata": {"name": "10.96.0.8"}, "spec": {}}
    ours = {"metadata": {"name": "10.96.0.9", "labels": {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}}}
    for each in (foreign, ours):
        await stage.put(IP_ADDRESSES, each)
    assert given(addresses, service(clusterIP="10.96.0.9")) == "10.96.0.9"
    assert given(addresses, service("other", clusterIP="10.96.0.7")) == "10.96.0.7"
    # That one's address may not change is for the kind's rules to say.
    assert given(addresses, service("other", clusterIP="10.1.2.3", clusterIPs=["10.1.2.3"])) == "10.1.2.3"
    for taken in ("10.96.0.7", "10.96.0.8"):
        with pytest.raises(Invalid, match="provided IP is already allocated"):
            given(addresses, service(clusterIP=taken))
    await stage.delete(SERVICES, "n", "other")
    assert given(addresses, service(clusterIP="10.96.0.7")) == "10.96.0.7"


BOTH = {"ipFamilyPolicy": "RequireDualStack"}


@pytest.mark.parametrize(
    ("spec", "families", "prefixes"),
    [
        ({}, ["IPv4"], ["10.96.0."]),
        ({"ipFamilies": ["IPv6"]}, ["IPv6"], ["fd00:1::"]),
        ({"ipFamilyPolicy": "PreferDualStack"}, ["IPv4", "IPv6"], ["10.96.0.", "fd00:1::"]),
        ({**BOTH, "ipFamilies": ["IPv6"]}, ["IPv6", "IPv4"], ["fd00:1::", "10.96.0."]),
        ({**BOTH, "clusterIP": "fd00:1::7"}, ["IPv6", "IPv4"], ["fd00:1::7", "10.96.0."]),
        ({**BOTH, "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00:1::7"]}, ["IPv4", "IPv6"],
         ["10.96.0.7", "fd00:1::7"]),
    ],
)  # fmt: skip
async def test_a_service_has_an_address_of_each_of_its_families(
    stage: Stage, spec: Object, families: list[str], prefixes: list[str]
) -> None:
    made = service(**spec)
    given(ClusterAddresses(stage.watched, DUAL, PORTS), made)
    ips = made["spec"]["clusterIPs"]
    assert made["spec"]["ipFamilies"] == families and made["spec"]["clusterIP"] == ips[0]
    assert [ip.startswith(prefix) for ip, prefix in zip(ips, prefixes, strict=True)] == [True] * len(prefixes)


async def test_a_second_address_is_taken_and_given_back_as_the_policy_says(stage: Stage) -> None:
    addresses = ClusterAddresses(stage.watched, DUAL, PORTS)
    first = service()
    given(addresses, first)
    await stage.put(SERVICES, first)
    both = service(**{**first["spec"], "ipFamilyPolicy": "PreferDualStack"})
    with addresses.hold(both, SERVICES, first):
        one, other = both["spec"]["clusterIPs"]
    assert one == first["spec"]["clusterIP"] and other.startswith("fd00:1::")
    await stage.put(SERVICES, both)
    with pytest.raises(Invalid, match=f"failed to allocate IP {other}: provided IP is already allocated"):
        given(addresses, service("t", **BOTH, clusterIP="10.96.0.9", clusterIPs=["10.96.0.9", other]))
    again = service(**{**both["spec"], "ipFamilyPolicy": "SingleStack"})
    with addresses.hold(again, SERVICES, both):
        assert (again["spec"]["clusterIPs"], again["spec"]["ipFamilies"]) == ([one], ["IPv4"])
    await stage.put(SERVICES, again)
    assert given(addresses, service("t", ipFamilies=["IPv6"], clusterIP=other)) == other


async def test_further_ranges_are_those_of_service_cidrs(stage: Stage) -> None:
    addresses = ClusterAddresses(stage.watched, ["10.96.0.0/30"], PORTS)
    asked = service(clusterIP="10.97.0.5")
    with pytest.raises(Invalid, match="is not in the valid range"):
        given(addresses, asked)
    more: Object = {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/24", "fd00::/112"]}}
    await stage.put(SERVICE_C_I_D_RS, more)
    assert given(addresses, asked) == "10.97.0.5"
    for name in "ab":
        made = service(name)
        given(addresses, made)
        await stage.put(SERVICES, made)
    assert given(addresses, service()).startswith("10.97.0.")
    more["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    await stage.put(SERVICE_C_I_D_RS, more)
    with pytest.raises(InternalError, match="range is full"):
        given(addresses, service())


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"type": "ClusterIP", "ports": [{"port": 1}]}, [None]),
        ({"ports": [{"port": 1, "nodePort": 30002}]}, [30002]),
        ({"ports": [{"port": 1}, {"port": 2, "nodePort": 30002}]}, [30003, 30002]),
        ({"ports": [{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "UDP"}]}, [30002, 30002]),
        (
            {"ports": [{"port": 1, "protocol": "TCP", "nodePort": 30003}, {"port": 1, "protocol": "UDP"}]},
            [30003, 30003],
        ),
        ({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": [{"port": 1}]}, [None]),
        (
            {
                "type": "LoadBalancer",
                "allocateLoadBalancerNodePorts": False,
                "ports": [{"port": 1, "nodePort": 30003}],
            },
            [30003],
        ),
        # It had this one before the range was made smaller.
        ({"ports": [{"port": 1, "nodePort": 20000}]}, [20000]),
    ],
)
def test_node_ports(spec: Object, expected: list[int | None]) -> None:
    """Of 30000 to 30003, where others have the first two."""
    made: Object = {"type": "NodePort", **spec}
    free = set(expected) - {None} or {30002, 30003}
    others = set(range(30000, 30004)) - free
    NodePorts(range(30000, 30004)).give("s", made, others.__contains__, {20000})
    assert [port.get("nodePort") for port in made["ports"]] == expected


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (30001, "provided port is already allocated"),
        (80, "provided port is not in the valid range. The range of valid ports is 30000-30003"),
    ],
)
def test_node_ports_that_can_not_be_had(number: int, why: str) -> None:
    ports = [{"port": 1, "nodePort": 30002}, {"port": 2, "nodePort": number}]
    with pytest.raises(Invalid) as refused:
        NodePorts(range(30000, 30004)).give("s", {"type": "NodePort", "ports": ports}, {30001}.__contains__, set())
    (cause,) = refused.value.causes
    assert (cause.field, cause.message) == ("spec.ports[1].nodePort", f"Invalid value: {number}: {why}")
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": number, "ports": []}
    with pytest.raises(
        InternalError, match=re.escape(f"failed to allocate requested HealthCheck NodePort {number}: {why}")
    ):
        NodePorts(range(30000, 30004)).give("s", spec, {30001}.__contains__, set())


async def test_a_health_check_has_a_port_as_long_as_it_is_needed(stage: Stage) -> None:
    addresses = ClusterAddresses(stage.watched, [RANGE], PORTS)
    local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 1, "protocol": "TCP"}]}
    made = service(**local)
    given(addresses, made)
    ports = {made["spec"]["healthCheckNodePort"], made["spec"]["ports"][0]["nodePort"]}
    assert len(ports & set(range(30000, 30004))) == 2
    await stage.put(SERVICES, made)
    again = service(**local)
    addresses.keep(again, made)
    given(addresses, again)
    assert again["spec"]["healthCheckNodePort"] == made["spec"]["healthCheckNodePort"]
    cluster = service(**{**local, "externalTrafficPolicy": "Cluster"})
    cluster["spec"]["healthCheckNodePort"] = made["spec"]["healthCheckNodePort"]
    rules_for(SERVICES).prepare_update(cluster, made)
    assert "healthCheckNodePort" not in cluster["spec"]
