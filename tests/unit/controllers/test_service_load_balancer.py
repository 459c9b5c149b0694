"""Services of type LoadBalancer as tables: which addresses they get, and who keeps them from a port."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from controllers.plan import Key
from controllers.service_load_balancer import load_balancer
from controllers.service_port_claims import Port
from machinery.api.resource import Object
from machinery.api.resources import ENDPOINTS, NODES, PODS, SERVICES
from tests.endpoint_world import Acting, World, pod, service

ADDRESS = "192.0.2.2"
MINE = [{"ip": ADDRESS, "ipMode": "VIP"}]


def machine(*addresses: str, kubelet: int = 10250) -> Object:
    told = [{"type": "InternalIP", "address": each} for each in addresses]
    status = {"addresses": [*told, {"type": "Hostname", "address": "vm"}]}
    status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": kubelet}}  # type: ignore[assignment]
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "vm"}, "status": status}


def balanced(name: str = "s", /, created: str = "1", *ports: int, **spec: Any) -> Object:
    numbers = ports or (80,)
    wanted = [{"port": each, "protocol": "TCP", "nodePort": 30000 + index} for index, each in enumerate(numbers)]
    made = service(name, **{"type": "LoadBalancer", "ports": wanted, **spec})
    made["metadata"]["creationTimestamp"] = created
    return made


def a_world(*objects: Any) -> tuple[World, Acting]:
    world = World((NODES, machine(ADDRESS)), *objects)
    acting = Acting(load_balancer(), world)
    acting.settle()
    return world, acting


def ingress(world: World, name: str = "s") -> list[Object]:
    found = world.get(SERVICES, "n", name)
    assert found is not None
    told: list[Object] = ((found.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return told


def told(world: World) -> list[str]:
    return [f"{each.obj['metadata']['name']} {each.reason}: {each.message}" for each in world.told]


def test_the_machines_address_is_told_once() -> None:
    world, acting = a_world((SERVICES, balanced()))
    assert ingress(world) == MINE
    assert told(world) == [
        "s EnsuringLoadBalancer: Ensuring load balancer",
        "s EnsuredLoadBalancer: Ensured load balancer",
    ]
    world.put(NODES, machine(ADDRESS))
    acting.settle()
    assert (world.writes, len(world.told)) == (1, 2)


def test_it_follows_the_machine_to_another_address_and_to_none() -> None:
    world, acting = a_world((SERVICES, balanced()))
    world.put(NODES, machine("198.51.100.7"))
    acting.settle()
    assert [each["ip"] for each in ingress(world)] == ["198.51.100.7"]
    world.put(NODES, machine())
    acting.settle()
    assert ingress(world) == []
    assert told(world)[-1] == "s UnAvailableLoadBalancer: There are no available nodes for LoadBalancer"


@pytest.mark.parametrize(
    ("families", "expected"),
    [(["IPv4"], [ADDRESS]), (["IPv6", "IPv4"], ["2001:db8::1", ADDRESS]), (["IPv6"], ["2001:db8::1"])],
)
def test_addresses_are_of_the_services_families(families: list[str], expected: list[str]) -> None:
    world = World((NODES, machine(ADDRESS, "2001:db8::1")), (SERVICES, balanced(ipFamilies=families)))
    Acting(load_balancer(), world).settle()
    assert [each["ip"] for each in ingress(world)] == expected


@pytest.mark.parametrize("spec", [{"type": "ClusterIP"}, {"type": "NodePort"}, {"loadBalancerClass": "example.com/x"}])
def test_others_get_none(spec: dict[str, Any]) -> None:
    world, _ = a_world((SERVICES, balanced(**spec)))
    assert (ingress(world), world.told) == ([], [])


def test_a_service_that_is_no_load_balancers_any_more_loses_the_address() -> None:
    world, acting = a_world((SERVICES, balanced()))
    status = {"loadBalancer": {"ingress": MINE}}
    world.put(SERVICES, {**balanced(type="ClusterIP"), "status": status})
    acting.settle()
    assert ingress(world) == []
    world.put(SERVICES, {**balanced(loadBalancerClass="example.com/x"), "status": status})
    acting.settle()
    assert ingress(world) == MINE


KUBERNETES = {
    "metadata": {"name": "kubernetes", "namespace": "default"},
    "subsets": [{"addresses": [{"ip": ADDRESS}], "ports": [{"port": 6443}]}],
}


@pytest.mark.parametrize(
    ("port", "other", "holder"),
    [
        (80, (SERVICES, balanced("elder", "0", 80)), "80/TCP is taken by Service n/elder"),
        (30000, (SERVICES, balanced("elder", "2", 81)), "30000/TCP is taken by Service n/elder as a node port"),
        (80, (PODS, pod("p", ports=[{"containerPort": 1, "hostPort": 80}])), "80/TCP is taken by Pod n/p"),
        (10250, None, "10250/TCP is taken by the kubelet"),
        (6443, (ENDPOINTS, KUBERNETES), "6443/TCP is taken by the API server"),
    ],
)
def test_a_port_that_is_taken_is_told_of(port: int, other: Any, holder: str) -> None:
    world, _ = a_world((SERVICES, balanced("s", "1", port)), *([other] if other else []))
    assert ingress(world) == []
    expected = f"s SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: port {holder}"
    assert {each for each in told(world) if each.startswith("s ")} == {expected}


@pytest.mark.parametrize(
    "other",
    [
        (SERVICES, balanced("younger", "2", 80)),
        (SERVICES, balanced("other", "0", 81)),
        (SERVICES, balanced("udp", "0", ports=[{"port": 80, "protocol": "UDP"}])),
        (SERVICES, balanced("classed", "0", 80, loadBalancerClass="example.com/x")),
        (SERVICES, balanced("plain", "0", 80, type="ClusterIP", ports=[{"port": 80, "protocol": "TCP"}])),
        (PODS, pod("p", phase="Succeeded", ports=[{"containerPort": 1, "hostPort": 80}])),
        (PODS, pod("p", ports=[{"containerPort": 80}])),
        (SERVICES, balanced("s", "1", 30000)),
    ],
)
def test_what_keeps_nobody_from_a_port(other: Any) -> None:
    world, _ = a_world((SERVICES, balanced()), other)
    assert ingress(world) == MINE


def test_who_has_an_address_keeps_it_and_who_waits_gets_it_next() -> None:
    world, acting = a_world((SERVICES, balanced("s", "2")))
    world.put(SERVICES, balanced("elder", "1"))
    acting.settle()
    assert (ingress(world), ingress(world, "elder")) == (MINE, [])
    world.remove(SERVICES, "n", "s")
    acting.settle()
    assert ingress(world, "elder") == MINE


def test_a_host_port_that_comes_later_takes_the_address_away_until_it_goes() -> None:
    world, acting = a_world((SERVICES, balanced()))
    world.put(PODS, pod("p", ports=[{"containerPort": 1, "hostPort": 80}]))
    acting.settle()
    assert ingress(world) == []
    world.remove(PODS, "n", "p")
    acting.settle()
    assert ingress(world) == MINE


def test_a_port_that_a_program_listens_on_is_not_taken_from_it() -> None:
    heard: list[Mapping[Port, str] | None] = [None, {Port("TCP", 80): "nginx (process 7)"}, {}]
    asked: list[tuple[set[Port], tuple[str, ...]]] = []

    def listening(ports: Collection[Port], addresses: Collection[str]) -> Mapping[Port, str] | None:
        asked.append((set(ports), tuple(addresses)))
        return heard[0]

    world = World((NODES, machine(ADDRESS)), (SERVICES, balanced()))
    acting = Acting(load_balancer(listening), world)
    acting.settle()
    assert (ingress(world), told(world)) == ([], []), "it is being looked at"
    assert asked[0] == ({Port("TCP", 80)}, (ADDRESS,))
    del heard[0]
    acting.waiting[Key("n", "s")] = None
    acting.settle()
    assert ingress(world) == []
    assert told(world)[-1].endswith("failed to ensure load balancer: port 80/TCP is taken by nginx (process 7)")
    del heard[0]
    acting.waiting[Key("n", "s")] = None
    acting.settle()
    assert ingress(world) == MINE
    # What comes later is told of by the proxy; the address stays.
    heard.insert(0, {Port("TCP", 80): "late (process 9)"})
    world.put(NODES, machine(ADDRESS, kubelet=10251))
    acting.settle()
    assert ingress(world) == MINE
