"""Simulated nodes: their marks, addresses and Leases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network

import pytest

from controllers.plan import Create, Patch
from machinery.api.timestamps import rfc3339_micro
from machinery.api.views import View
from minikube_py.simulation.addresses import Addresses, PodAddresses
from minikube_py.simulation.fleet import POD_ADDRESSES, REST, Fleet, is_simulated
from minikube_py.simulation.leases import RENEW, State, plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_nodes_carry_kwoks_marks_and_are_spread_over_zones() -> None:
    fleet = Fleet(nodes=5, zones=2, cpu="4")
    nodes = [fleet.node(index) for index in range(5)]
    assert all(is_simulated(node) for node in nodes)
    assert {node["metadata"]["labels"]["type"] for node in nodes} == {"kwok"}
    assert nodes[0]["spec"]["taints"] == [{"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}]
    zones = [node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes]
    assert zones == ["zone-0", "zone-1", "zone-0", "zone-1", "zone-0"]
    assert nodes[3]["status"]["allocatable"]["cpu"] == "4"
    assert "taints" not in Fleet(nodes=1, is_tainted=False).node(0)["spec"]
    assert "topology.kubernetes.io/zone" not in Fleet(nodes=1).node(0)["metadata"]["labels"]


def test_no_two_objects_have_one_address() -> None:
    addresses = Addresses(IPv4Network("10.0.0.0/29"))
    addresses.note("old", "10.0.0.2")
    found = {uid: addresses.of(uid) for uid in "abcde"}
    assert sorted(found.values()) == ["10.0.0.1", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]
    assert addresses.of("a") == found["a"]
    assert addresses.of("none left") == ""
    addresses.release("c")
    addresses.release("never known")
    assert addresses.of("f") == found["c"]
    # One that came back from before a restart is not handed out a second time.
    addresses.release("d")
    addresses.note("g", found["d"])
    assert addresses.of("h") == ""


def test_pods_have_addresses_of_their_nodes_range() -> None:
    addresses = PodAddresses(POD_ADDRESSES, REST)
    first, second = (Fleet(nodes=2).node(index)["spec"]["podCIDR"] for index in range(2))
    assert (first, second) == ("100.64.0.0/24", "100.64.1.0/24")
    addresses.note("old", "100.64.1.1")
    addresses.note("old, elsewhere", "100.127.0.1")
    addresses.note("not of ours", "10.0.0.1")
    assert addresses.of("a", first) == "100.64.0.1"
    assert addresses.of("b", second) == "100.64.1.2"
    assert addresses.of("c", "") == "100.127.0.2"
    assert addresses.of("d", "10.244.3.0/24") == "100.127.0.3"
    addresses.release("a")
    addresses.release("never known")
    assert addresses.of("a", second) == "100.64.1.3"
    assert "podCIDR" not in Fleet(nodes=20_000).node(16_128)["spec"]


NODE = View({"metadata": {"name": "simulated-1", "uid": "u"}})


def test_a_lease_is_made_and_renewed_once_in_each_half_minute() -> None:
    (made,) = plan(State(NODE, None), NOW).actions
    assert isinstance(made, Create)
    lease, now, renewals = made.obj, NOW, []
    assert lease["metadata"]["ownerReferences"][0]["name"] == "simulated-1"
    while now < NOW + timedelta(seconds=10 * RENEW):
        found = plan(State(NODE, lease), now)
        for action in found.actions:
            assert isinstance(action, Patch)
            lease = {**lease, "spec": {**lease["spec"], **action.patch["spec"]}}
            renewals.append(now)
        assert found.requeue_after is not None
        assert 0 < found.requeue_after <= RENEW
        now += timedelta(seconds=found.requeue_after)
    assert len(renewals) == 10
    assert lease["spec"]["renewTime"] == rfc3339_micro(renewals[-1])


@pytest.mark.parametrize("late", [1.0, 10.0, 19.0])
def test_one_that_is_late_is_renewed_at_once_and_then_at_its_time(late: float) -> None:
    (made,) = plan(State(NODE, None), NOW).actions
    assert isinstance(made, Create)
    first = plan(State(NODE, made.obj), NOW)
    assert first.requeue_after is not None
    then = NOW + timedelta(seconds=first.requeue_after + late)
    found = plan(State(NODE, made.obj), then)
    assert len(found.actions) == 1
    assert found.requeue_after == pytest.approx(RENEW - late)
