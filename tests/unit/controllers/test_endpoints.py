"""Endpoints as tables, and how those that users keep are mirrored into EndpointSlices."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.endpoint_subsets import MOST_ADDRESSES, offers, repacked, truncated
from controllers.endpoint_triggers import TRIGGER_TIME
from controllers.endpoints import MANAGED_BY, MANAGER, OVER_CAPACITY, endpoints
from controllers.endpointslice_mirroring import ENDPOINT_SLICE_MIRRORING
from controllers.plan import Create, Key, Record, Update
from machinery.api.errors import Cause, Forbidden, StatusError
from machinery.api.resource import Object
from machinery.api.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from tests.endpoint_world import CREATED, Acting, World, a_world, pod, service, with_service

S = Key("n", "s")
PORT = {"port": 80, "protocol": "TCP"}
NUMBERED = [{"name": "a", "port": 80, "targetPort": 1}, {"name": "b", "port": 81, "targetPort": "web"}]


def address(name: str, ip: str = "10.1.0.1", **more: str) -> Object:
    target = {"kind": "Pod", "namespace": "n", "name": name, "uid": f"{name}-uid"}
    return {"ip": ip, "nodeName": "node", "targetRef": target, **more}


def stored(world: World) -> Object:
    found = world.get(ENDPOINTS, "n", "s")
    assert found is not None
    return found


def settled(world: World) -> Object:
    Acting(endpoints(), world).settle()
    return stored(world)


def subsets(world: World) -> list[Object]:
    found: list[Object] = settled(world).get("subsets", [])
    return found


def test_endpoints_are_named_and_labelled_as_their_service() -> None:
    found = settled(with_service(labels={"team": "a"}, clusterIP="None"))
    assert "subsets" not in found
    assert found["metadata"]["labels"] == {"team": "a", MANAGED_BY: MANAGER, "service.kubernetes.io/headless": ""}
    assert found["metadata"]["annotations"] == {TRIGGER_TIME: CREATED}


@pytest.mark.parametrize(
    ("made", "spec", "expected"),
    [
        ({}, {}, [{"addresses": [address("p")], "ports": [PORT]}]),
        ({"ready": False}, {}, [{"notReadyAddresses": [address("p")], "ports": [PORT]}]),
        ({"ready": False}, {"publishNotReadyAddresses": True}, [{"addresses": [address("p")], "ports": [PORT]}]),
        ({"deleted": True}, {}, []),
        ({"deleted": True}, {"publishNotReadyAddresses": True}, [{"addresses": [address("p")], "ports": [PORT]}]),
        ({"phase": "Failed"}, {}, []),
        (
            {"hostname": "h", "subdomain": "s"},
            {},
            [{"addresses": [address("p", hostname="h")], "ports": [PORT]}],
        ),
        ({}, {"clusterIP": "None", "ports": None}, [{"addresses": [address("p")]}]),
        ({}, {"ipFamilies": ["IPv6", "IPv4"]}, []),
        (
            {"ips": ["10.1.0.1", "fd00::1"]},
            {"ipFamilies": ["IPv6", "IPv4"]},
            [{"addresses": [address("p", "fd00::1")], "ports": [PORT]}],
        ),
        (
            {},
            {"ports": NUMBERED},
            [{"addresses": [address("p")], "ports": [{"name": "a", "port": 1, "protocol": "TCP"}]}],
        ),
    ],
)
def test_what_a_pod_offers(made: dict[str, Any], spec: dict[str, Any], expected: list[Object]) -> None:
    assert subsets(with_service(pod("p", **made), **spec)) == expected


def test_addresses_with_the_same_ports_stand_together() -> None:
    web = [{"name": "web", "containerPort": 2}]
    pods = (pod("p", "10.1.0.3"), pod("q", "10.1.0.2", ports=web), pod("r", "10.1.0.1", ports=web, ready=False))
    found = subsets(with_service(*pods, ports=NUMBERED))
    ports = {
        tuple(port["name"] for port in each["ports"]): (
            [one["ip"] for one in each.get("addresses", ())],
            [one["ip"] for one in each.get("notReadyAddresses", ())],
        )
        for each in found
    }
    assert ports == {("a",): (["10.1.0.2", "10.1.0.3"], ["10.1.0.1"]), ("b",): (["10.1.0.2"], ["10.1.0.1"])}


def test_repacking_joins_what_belongs_together() -> None:
    first, second = {"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}
    split = [
        {"addresses": [second], "ports": [{"name": "a", "port": 1}]},
        {"addresses": [first, second], "ports": [{"name": "b", "port": 2}]},
        {"notReadyAddresses": [first], "ports": [{"name": "b", "port": 2}]},
        {"addresses": [first], "ports": [{"name": "a", "port": 1}]},
    ]
    found = repacked(offers(split))
    assert sorted(found, key=lambda each: each["ports"][0]["name"]) == [
        {"addresses": [first, second], "ports": [{"name": "a", "port": 1, "protocol": "TCP"}]},
        {
            "addresses": [second],
            "notReadyAddresses": [first],
            "ports": [{"name": "b", "port": 2, "protocol": "TCP"}],
        },
    ]
    assert repacked(offers(found)) == found


def many(count: int, part: str = "addresses") -> Object:
    return {part: [{"ip": f"10.0.{each // 250}.{each % 250}"} for each in range(count)]}


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        # (ready, not ready) of each subset
        ([(600, 400)], [(600, 400)]),
        ([(600, 500)], [(600, 400)]),
        ([(1200, 5)], [(1000, 0)]),
        ([(900, 300), (300, 0)], [(750, 0), (250, 0)]),
        ([(500, 300), (0, 700)], [(500, 150), (0, 350)]),
    ],
)
def test_over_capacity_the_unready_go_first_and_subsets_share(
    sizes: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    made = [{**many(ready), **many(others, "notReadyAddresses")} for ready, others in sizes]
    kept, is_cut = truncated(made)
    assert [(len(e.get("addresses", ())), len(e.get("notReadyAddresses", ()))) for e in kept] == expected
    assert is_cut == (sum(map(sum, sizes)) > MOST_ADDRESSES)


def test_over_capacity_is_told_while_it_lasts() -> None:
    pods = [pod(f"p{each}", f"10.1.{each // 250}.{each % 250}") for each in range(MOST_ADDRESSES + 1)]
    world = with_service(*pods)
    acting = Acting(endpoints(), world)
    acting.settle()
    assert stored(world)["metadata"]["annotations"][OVER_CAPACITY] == "truncated"
    assert list(acting.plan(S).actions) == []
    world.remove(PODS, "n", "p0")
    acting.settle()
    assert OVER_CAPACITY not in stored(world)["metadata"].get("annotations", {})


def test_nothing_to_do_is_an_empty_plan_and_what_users_spoil_is_repaired() -> None:
    world = with_service(pod("p"))
    acting = Acting(endpoints(), world)
    acting.settle()
    right = stored(world)
    assert list(acting.plan(S).actions) == []
    world.put(ENDPOINTS, {**right, "subsets": []})
    acting.settle()
    assert stored(world)["subsets"] == right["subsets"]
    world.remove(ENDPOINTS, "n", "s")
    acting.settle()
    assert stored(world)["subsets"] == right["subsets"]


def test_endpoints_go_with_their_service_and_a_users_may_come_before_it() -> None:
    world = with_service(pod("p"))
    acting = Acting(endpoints(), world)
    acting.settle()
    world.put(ENDPOINTS, {"metadata": {"name": "early", "namespace": "n"}})
    world.remove(SERVICES, "n", "s")
    acting.settle()
    assert [each["metadata"]["name"] for each in world.list(ENDPOINTS)] == ["early"]
    world.put(SERVICES, service("early", selector=None))
    acting.settle()
    assert world.get(ENDPOINTS, "n", "early") is not None


def test_endpoints_that_a_crash_left_behind_are_deleted_at_the_start() -> None:
    world = with_service(pod("p"))
    settled(world)
    world.remove(SERVICES, "n", "s")
    Acting(endpoints(), world).settle()
    assert list(world.list(ENDPOINTS)) == []


@pytest.mark.parametrize("spec", [{"selector": None}, {"type": "ExternalName"}])
def test_services_whose_endpoints_others_keep(spec: dict[str, Any]) -> None:
    world = with_service(pod("p"), **spec)
    Acting(endpoints(), world).settle()
    assert list(world.list(ENDPOINTS)) == []


@pytest.mark.parametrize(
    ("is_there", "error", "reasons"),
    [
        (False, Forbidden("no"), ["FailedToCreateEndpoint: Failed to create endpoint for service n/s: no"]),
        (True, Forbidden("no"), ["FailedToUpdateEndpoint: Failed to update endpoint n/s: no"]),
        (False, Forbidden("no", causes=(Cause("NamespaceTerminating", "it goes"),)), []),
    ],
)
def test_failures_are_told(is_there: bool, error: StatusError, reasons: list[str]) -> None:  # noqa: FBT001 - a column
    world = with_service(pod("p"))
    if is_there:
        world.put(ENDPOINTS, {"metadata": {"name": "s", "namespace": "n"}})
    plan = Acting(endpoints(), world).plan(S)
    (action,) = plan.actions
    assert isinstance(action, Update if is_there else Create)
    told = [each for each in plan.on_failure(action, error) if isinstance(each, Record)]
    assert [f"{each.reason}: {each.message}" for each in told] == reasons


# Mirroring


def by_hand(*parts: Object, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None) -> Object:
    metadata: Object = {"name": "s", "namespace": "n", "uid": "e-uid"}
    metadata |= {"labels": labels} if labels else {}
    metadata |= {"annotations": annotations} if annotations else {}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": list(parts)}


def mirrored(world: World) -> list[Object]:
    Acting(ENDPOINT_SLICE_MIRRORING, world).settle()
    return list(world.list(ENDPOINT_SLICES))


def mirror_world(found: Object, **spec: Any) -> World:
    return a_world((SERVICES, service(**{"selector": None, **spec})), (ENDPOINTS, found))


ONE = {
    "addresses": [{"ip": "1.2.3.4", "hostname": "h"}],
    "notReadyAddresses": [{"ip": "1.2.3.5", "nodeName": "node"}],
    "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
}


def test_a_subset_is_mirrored_into_a_slice() -> None:
    annotations = {"mine": "1", TRIGGER_TIME: CREATED, "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    (found,) = mirrored(mirror_world(by_hand(ONE, labels={"team": "a"}, annotations=annotations)))
    metadata = found["metadata"]
    assert metadata["labels"] == {
        "team": "a",
        "kubernetes.io/service-name": "s",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    }
    assert metadata["annotations"] == {"mine": "1"}
    assert (metadata["generateName"], metadata["ownerReferences"][0]["kind"]) == ("s-", "Endpoints")
    assert found["ports"] == ONE["ports"]
    assert found["endpoints"] == [
        {"addresses": ["1.2.3.4"], "conditions": {"ready": True}, "hostname": "h"},
        {"addresses": ["1.2.3.5"], "conditions": {"ready": False}, "nodeName": "node"},
    ]


def test_address_types_are_mirrored_apart() -> None:
    found = mirrored(mirror_world(by_hand({"addresses": [{"ip": "1.2.3.4"}, {"ip": "fd00::1"}], "ports": [PORT]})))
    assert sorted(each["addressType"] for each in found) == ["IPv4", "IPv6"]


@pytest.mark.parametrize(
    ("found", "spec"),
    [
        (by_hand(ONE, labels={"endpointslice.kubernetes.io/skip-mirror": "true"}), {}),
        (by_hand(ONE, annotations={"control-plane.alpha.kubernetes.io/leader": "{}"}), {}),
        (by_hand(ONE), {"selector": {"app": "x"}}),
        (by_hand(), {}),
    ],
    ids=["told to skip", "a leader's", "with a selector", "empty"],
)
def test_what_is_not_mirrored_and_goes_where_it_was(found: Object, spec: dict[str, Any]) -> None:
    assert mirrored(mirror_world(found, **spec)) == []
    world = mirror_world(by_hand(ONE))
    acting = Acting(ENDPOINT_SLICE_MIRRORING, world)
    acting.settle()
    assert len(world.list(ENDPOINT_SLICES)) == 1
    world.put(ENDPOINTS, found)
    world.put(SERVICES, service(**{"selector": None, **spec}))
    acting.settle()
    assert list(world.list(ENDPOINT_SLICES)) == []


def test_changes_are_followed_with_one_write_and_none_where_nothing_changes() -> None:
    world = mirror_world(by_hand(ONE))
    acting = Acting(ENDPOINT_SLICE_MIRRORING, world)
    acting.settle()
    (before,) = world.list(ENDPOINT_SLICES)
    assert list(acting.plan(S).actions) == []
    for changed in (
        by_hand({**ONE, "addresses": [{"ip": "1.2.3.9"}]}),
        by_hand({**ONE, "ports": [PORT]}),
        by_hand(ONE, labels={"team": "b"}),
        by_hand(ONE, annotations={"mine": "2"}),
    ):
        world.writes = 0
        world.put(ENDPOINTS, changed)
        acting.settle()
        (after,) = world.list(ENDPOINT_SLICES)
        assert (after["metadata"]["name"], world.writes) == (before["metadata"]["name"], 1)
        assert list(acting.plan(S).actions) == []


def test_what_can_not_be_mirrored_is_told() -> None:
    addresses = [{"ip": "0.nowhere"}, *({"ip": f"10.0.{each // 250}.{each % 250}"} for each in range(1001))]
    plan = Acting(ENDPOINT_SLICE_MIRRORING, mirror_world(by_hand({"addresses": addresses, "ports": [PORT]}))).plan(S)
    assert [action.message for action in plan.actions if isinstance(action, Record)] == [
        "Skipped 1 invalid IP addresses when mirroring to EndpointSlices",
        "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 2 addresses were skipped",
    ]


SUBSETS = st.lists(
    st.builds(
        lambda ready, others, ports: {
            "addresses": [{"ip": f"10.0.0.{each}"} for each in ready],
            "notReadyAddresses": [{"ip": f"10.0.0.{each}"} for each in others],
            "ports": [{"name": f"p{each}", "port": each, "protocol": "TCP"} for each in ports],
        },
        st.sets(st.integers(1, 5)),
        st.sets(st.integers(1, 5)),
        st.sets(st.integers(1, 3)),
    ),
    max_size=4,
)


@settings(deadline=None)
@given(st.lists(st.tuples(SUBSETS, st.none() | st.integers(0, 3)), min_size=1, max_size=6))
def test_any_order_of_writes_and_crashes_mirrors_as_from_scratch(steps: list[tuple[list[Object], int | None]]) -> None:
    world = mirror_world(by_hand())
    acting = Acting(ENDPOINT_SLICE_MIRRORING, world)
    for made, crash_after in steps:
        world.put(ENDPOINTS, by_hand(*made))
        if crash_after is not None:
            acting.step(crash_after=crash_after)
            acting = Acting(ENDPOINT_SLICE_MIRRORING, world)
    acting.settle()
    found = [(one, each["ports"]) for each in world.list(ENDPOINT_SLICES) for one in each["endpoints"]]
    scratch = [(one, each["ports"]) for each in mirrored(mirror_world(by_hand(*made))) for one in each["endpoints"]]
    assert sorted(map(repr, found)) == sorted(map(repr, scratch))
    assert len(set(map(repr, found))) == len(found)
