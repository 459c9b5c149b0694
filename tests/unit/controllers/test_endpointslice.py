"""EndpointSlices as tables: what stands in them, how few writes keep them right, and that any crash is repaired."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.endpoint_ports import fnv128a, sorted_ports
from controllers.endpoint_triggers import TRIGGER_TIME
from controllers.endpointslice import MANAGER, endpoint_slices
from controllers.endpointslice_filling import identity
from controllers.plan import Create, Delete, Key, Record, Update
from machinery.api.errors import Cause, Conflict, Forbidden
from machinery.api.resource import Object
from machinery.api.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from tests.endpoint_world import CREATED, Acting, World, a_world, node, pod, service, with_service

S = Key("n", "s")
PORT = {"name": "", "port": 80, "protocol": "TCP"}
LABELS = {"kubernetes.io/service-name": "s", "endpointslice.kubernetes.io/managed-by": MANAGER}


def settled(world: World) -> list[Object]:
    Acting(endpoint_slices(), world).settle()
    return slices(world)


def slices(world: World) -> list[Object]:
    return list(world.list(ENDPOINT_SLICES))


def only(world: World) -> Object:
    (found,) = settled(world)
    return found


def endpoint(world: World) -> Object:
    (found,) = only(world)["endpoints"]
    endpoint: Object = found
    return endpoint


def numbered(count: int, first: int = 0) -> list[Object]:
    return [pod(f"p{each:03}", f"10.1.{each // 250}.{each % 250 + 1}") for each in range(first, first + count)]


def test_a_service_without_pods_has_one_empty_slice() -> None:
    found = only(with_service(labels={"team": "a"}))
    assert (found["addressType"], found["endpoints"], found["ports"]) == ("IPv4", None, None)
    assert found["metadata"]["labels"] == {**LABELS, "team": "a"}
    assert found["metadata"]["generateName"] == "s-"
    assert found["metadata"]["annotations"] == {TRIGGER_TIME: CREATED}
    assert found["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "v1", "kind": "Service", "name": "s", "uid": "s-uid", "controller": True,
            "blockOwnerDeletion": True,
        }
    ]  # fmt: skip


def test_a_pod_is_an_endpoint_and_the_empty_slice_becomes_its() -> None:
    world = with_service()
    acting = Acting(endpoint_slices(), world)
    acting.settle()
    (before,) = slices(world)
    world.put(PODS, pod("p"))
    acting.settle()
    (after,) = slices(world)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["ports"] == [PORT]
    assert after["endpoints"] == [
        {
            "addresses": ["10.1.0.1"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": "node",
            "targetRef": {"kind": "Pod", "namespace": "n", "name": "p", "uid": "p-uid"},
        }
    ]


@pytest.mark.parametrize(
    ("made", "publishes", "expected"),
    [
        ({"ready": True}, False, (True, True, False)),
        ({"ready": False}, False, (False, False, False)),
        ({"ready": True, "deleted": True}, False, (False, True, True)),
        ({"ready": False, "deleted": True}, False, (False, False, True)),
        ({"ready": False}, True, (True, False, False)),
        ({"ready": True, "deleted": True}, True, (True, True, True)),
    ],
)
def test_conditions_follow_readiness_and_deletion(
    made: dict[str, Any], publishes: bool, expected: tuple[bool, bool, bool]  # noqa: FBT001 - a column
) -> None:  # fmt: skip
    conditions = endpoint(with_service(pod("p", **made), publishNotReadyAddresses=publishes))["conditions"]
    assert (conditions["ready"], conditions["serving"], conditions["terminating"]) == expected


@pytest.mark.parametrize(
    "left_out",
    [
        pod("p", ""),
        pod("p", "nowhere"),
        pod("p", phase="Succeeded"),
        pod("p", phase="Failed"),
        pod("p", labels={"app": "y"}),
    ],
    ids=["no address", "a bad address", "succeeded", "failed", "other labels"],
)
def test_what_is_no_endpoint(left_out: Object) -> None:
    assert only(with_service(left_out))["endpoints"] is None


@pytest.mark.parametrize(
    ("spec", "hostname"),
    [
        ({"hostname": "h", "subdomain": "s"}, "h"),
        ({"hostname": "h", "subdomain": "t"}, None),
        ({"subdomain": "s"}, None),
    ],
)
def test_a_hostname_is_told_under_the_pods_own_subdomain(spec: dict[str, Any], hostname: str | None) -> None:
    assert endpoint(with_service(pod("p", **spec))).get("hostname") == hostname


def test_the_zone_is_the_nodes_and_follows_it() -> None:
    world = a_world((SERVICES, service()), (PODS, pod("p")), zone="a")
    acting = Acting(endpoint_slices(), world)
    acting.settle()
    assert slices(world)[0]["endpoints"][0]["zone"] == "a"
    world.put(NODES, node(zone="b"))
    acting.settle()
    assert slices(world)[0]["endpoints"][0]["zone"] == "b"


def test_a_pod_whose_node_is_gone_is_left_out_and_told_of() -> None:
    world = a_world((SERVICES, service()), (PODS, pod("p", node="gone")))
    acting = Acting(endpoint_slices(), world)
    told = [action for action in acting.plan(S).actions if isinstance(action, Record)]
    assert [(each.reason, each.message) for each in told] == [
        (
            "FailedToUpdateEndpointSlices",
            "Error updating Endpoint Slices for Service n/s: skipping Pod p for Service n/s: Node gone Not Found",
        )
    ]
    acting.settle()
    assert slices(world)[0]["endpoints"] is None
    world.put(NODES, node("gone"))
    acting.settle()
    assert len(slices(world)[0]["endpoints"]) == 1


@pytest.mark.parametrize(
    ("target", "containers", "expected"),
    [
        (8080, [], 8080),
        ("web", [{"name": "web", "containerPort": 8081, "protocol": "TCP"}], 8081),
        ("web", [{"name": "web", "containerPort": 8081}], 8081),
        ("web", [{"name": "web", "containerPort": 8081, "protocol": "UDP"}], None),
        ("web", [{"name": "other", "containerPort": 8081}], None),
    ],
)
def test_target_ports_are_numbers_or_names_of_the_containers(
    target: int | str, containers: list[Object], expected: int | None
) -> None:
    port = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": target, "appProtocol": "h2c"}
    found = only(with_service(pod("p", ports=containers), ports=[port]))
    wanted = {"name": "http", "port": expected, "protocol": "TCP", "appProtocol": "h2c"}
    assert found["ports"] == ([wanted] if expected else None)
    assert len(found["endpoints"]) == 1


def test_a_sidecars_port_counts_and_an_init_containers_does_not() -> None:
    ports = [{"name": "web", "containerPort": 9}]
    port = {"port": 80, "protocol": "TCP", "targetPort": "web"}
    sidecar = {"name": "i", "restartPolicy": "Always", "ports": ports}
    assert only(with_service(pod("p", initContainers=[sidecar]), ports=[port]))["ports"][0]["port"] == 9
    assert only(with_service(pod("p", initContainers=[{"name": "i", "ports": ports}]), ports=[port]))["ports"] is None


def test_pods_that_name_a_port_otherwise_are_in_other_slices() -> None:
    one, two = (pod(name, ip, ports=[{"name": "web", "containerPort": number}]) for name, ip, number in (
        ("p", "10.1.0.1", 1), ("q", "10.1.0.2", 2)))  # fmt: skip
    found = settled(with_service(one, two, ports=[{"port": 80, "protocol": "TCP", "targetPort": "web"}]))
    assert [(each["ports"][0]["port"], len(each["endpoints"])) for each in found] == [(1, 1), (2, 1)]


def test_ports_stand_in_upstreams_order() -> None:
    # The test vector of FNV-1a, then what a v1.36 cluster makes of the ports of cluster DNS.
    assert f"{fnv128a('a'):032x}" == "d228cb696f1a8caf78912b704e4a8964"
    dns = [("metrics", 9153, "TCP"), ("dns-tcp", 53, "TCP"), ("dns", 53, "UDP")]
    ports = [{"name": name, "port": port, "protocol": protocol} for name, port, protocol in dns]
    assert [port["name"] for port in sorted_ports(ports)] == ["dns", "dns-tcp", "metrics"]


@pytest.mark.parametrize(("cluster_ip", "headless"), [("None", True), ("10.0.0.1", False)])
def test_headless_services_are_labelled(cluster_ip: str, headless: bool) -> None:  # noqa: FBT001 - a column
    labels = only(with_service(pod("p"), clusterIP=cluster_ip))["metadata"]["labels"]
    assert ("service.kubernetes.io/headless" in labels) == headless


def test_a_headless_service_needs_no_ports() -> None:
    found = only(with_service(pod("p"), clusterIP="None", ports=None))
    assert (len(found["endpoints"]), found["ports"]) == (1, None)


def test_each_address_type_has_slices_of_its_own() -> None:
    both = pod("p", ips=("10.1.0.1", "fd00::0:1"))
    found = settled(with_service(both, pod("q", "10.1.0.2"), ipFamilies=["IPv4", "IPv6"]))
    told = {each["addressType"]: [e["addresses"] for e in each["endpoints"]] for each in found}
    assert told == {"IPv4": [["10.1.0.1"], ["10.1.0.2"]], "IPv6": [["fd00::1"]]}


def test_slices_of_a_type_that_the_service_has_no_more_go() -> None:
    world = with_service(pod("p", ips=("10.1.0.1", "fd00::1")), ipFamilies=["IPv4", "IPv6"])
    acting = Acting(endpoint_slices(), world)
    acting.settle()
    world.put(SERVICES, service(ipFamilies=["IPv4"]))
    acting.settle()
    assert [each["addressType"] for each in slices(world)] == ["IPv4"]


@pytest.mark.parametrize("spec", [{"selector": None}, {"type": "ExternalName"}])
def test_services_whose_endpoints_others_keep(spec: dict[str, Any]) -> None:
    assert settled(with_service(pod("p"), **spec)) == []


def test_slices_of_others_are_left_alone() -> None:
    labels = {**LABELS, "endpointslice.kubernetes.io/managed-by": "me"}
    metadata = {"name": "t", "namespace": "n", "labels": labels}
    theirs = {"metadata": metadata, "addressType": "IPv4", "endpoints": None, "ports": None}
    world = with_service(pod("p"))
    world.put(ENDPOINT_SLICES, theirs)
    before = world.get(ENDPOINT_SLICES, "n", "t")
    assert len(settled(world)) == 2
    assert world.get(ENDPOINT_SLICES, "n", "t") is before


def test_what_a_service_of_this_name_has_left_is_deleted_and_not_taken_over() -> None:
    world = with_service(pod("p"))
    first = only(world)["metadata"]["name"]
    world.put(SERVICES, service(uid="another"))
    (found,) = settled(world)
    assert found["metadata"]["name"] != first
    assert found["metadata"]["ownerReferences"][0]["uid"] == "another"


def test_a_service_that_goes_gets_no_new_slices() -> None:
    going = service()
    going["metadata"]["deletionTimestamp"] = CREATED
    assert settled(a_world((SERVICES, going), (PODS, pod("p")))) == []


def test_the_services_labels_are_the_slices_but_for_reserved_ones() -> None:
    world = with_service(pod("p"))
    acting = Acting(endpoint_slices(), world)
    acting.settle()
    world.put(SERVICES, service(labels={"team": "b", "kubernetes.io/service-name": "stolen"}))
    acting.settle()
    assert slices(world)[0]["metadata"]["labels"] == {**LABELS, "team": "b"}


def test_slices_hold_a_hundred_and_the_fewest_are_written() -> None:
    world = with_service(*numbered(250))
    acting = Acting(endpoint_slices(), world)
    acting.settle()
    assert [len(each["endpoints"]) for each in slices(world)] == [100, 100, 50]
    world.writes = 0
    for each in numbered(30, 250):
        world.put(PODS, each)
    acting.settle()
    assert world.writes == 1
    assert [len(each["endpoints"]) for each in slices(world)] == [100, 100, 80]
    # One gone and one new in the same look: the slice that is written anyway takes it.
    world.remove(PODS, "n", "p000")
    world.put(PODS, numbered(1, 280)[0])
    world.writes = 0
    acting.settle()
    assert world.writes == 1
    assert [len(each["endpoints"]) for each in slices(world)] == [100, 100, 80]


def test_nothing_to_do_is_an_empty_plan() -> None:
    world = with_service(pod("p"), pod("q", "10.1.0.2", deleted=True))
    acting = Acting(endpoint_slices(), world)
    acting.settle()
    assert list(acting.plan(S).actions) == []


def test_what_users_spoil_is_repaired() -> None:
    world = with_service(pod("p"))
    acting = Acting(endpoint_slices(), world)
    acting.settle()
    (right,) = slices(world)
    world.put(ENDPOINT_SLICES, {**right, "endpoints": []})
    acting.settle()
    assert slices(world)[0]["endpoints"] == right["endpoints"]
    world.remove(ENDPOINT_SLICES, "n", right["metadata"]["name"])
    acting.settle()
    assert slices(world)[0]["endpoints"] == right["endpoints"]


def test_the_cause_of_a_change_is_told_and_taken_back() -> None:
    world = with_service(pod("p", ready=False, since="2026-01-01T00:00:05Z"))
    acting = Acting(endpoint_slices(), world)
    acting.settle()

    def told() -> str | None:
        return (slices(world)[0]["metadata"].get("annotations") or {}).get(TRIGGER_TIME)

    assert told() == CREATED
    world.put(PODS, pod("p", since="2026-01-01T00:00:07Z"))
    acting.settle()
    assert told() == "2026-01-01T00:00:07Z"
    # Deletion moves no Ready condition, so nothing is known of when it was asked for.
    world.put(PODS, pod("p", since="2026-01-01T00:00:07Z", deleted=True))
    acting.settle()
    assert told() is None


@pytest.mark.parametrize(
    ("distribution", "annotations", "hints"),
    [
        ("", {}, None),
        ("PreferClose", {}, {"forZones": [{"name": "z"}]}),
        ("PreferSameZone", {}, {"forZones": [{"name": "z"}]}),
        ("PreferSameNode", {}, {"forZones": [{"name": "z"}], "forNodes": [{"name": "node"}]}),
        ("PreferClose", {"service.kubernetes.io/topology-mode": "Auto"}, None),
    ],
)
def test_hints_follow_the_traffic_distribution(
    distribution: str, annotations: dict[str, str], hints: Object | None
) -> None:
    world = a_world((SERVICES, service()), (PODS, pod("p")), (PODS, pod("q", "10.1.0.2", ready=False)), zone="z")
    acting = Acting(endpoint_slices(), world)
    acting.settle()
    wanting = service(trafficDistribution=distribution)
    wanting["metadata"]["annotations"] = annotations
    for asked, expected in ((wanting, hints), (service(), None)):
        world.put(SERVICES, asked)
        acting.settle()
        (found,) = slices(world)
        assert [each.get("hints") for each in found["endpoints"]] == [expected, None]
        assert [each for each in acting.plan(S).actions if not isinstance(each, Record)] == []


def test_failures_are_told_but_for_those_of_a_namespace_that_goes() -> None:
    plan = Acting(endpoint_slices(), with_service(pod("p"))).plan(S)
    (create,) = plan.actions
    going = Forbidden("no", causes=(Cause("NamespaceTerminating", "it goes"),))
    assert isinstance(create, Create)
    assert list(plan.on_failure(create, going)) == []
    (told,) = plan.on_failure(Update(ENDPOINT_SLICES, {"metadata": {"name": "s-1"}}), Conflict("changed"))
    assert isinstance(told, Record)
    assert told.message == (
        "Error updating Endpoint Slices for Service n/s: failed to update s-1 EndpointSlice for Service n/s: changed"
    )


def test_a_pods_change_wakes_the_services_that_select_it_alone() -> None:
    others = [(SERVICES, service(f"o{each}", selector={"app": f"y{each}"})) for each in range(50)]
    world = a_world((SERVICES, service()), (SERVICES, service("t", selector={"app": "x", "tier": "web"})), *others)
    acting = Acting(endpoint_slices(), world)
    acting.settle()

    def woken_by(obj: Object) -> set[str]:
        acting.waiting.clear()
        world.put(PODS, obj)
        return {key.name for key in acting.waiting}

    web = {"app": "x", "tier": "web"}
    assert woken_by(pod("p")) == {"s"}
    assert woken_by(pod("p", labels=web)) == {"t"}
    assert woken_by(pod("p", labels=web, ready=False)) == {"s", "t"}
    assert woken_by(pod("p", labels={**web, "more": "1"}, ready=False)) == set()
    assert woken_by(pod("p", labels={**web, "more": "1"}, ready=False, since="later")) == set()
    assert woken_by(pod("p", labels={"app": "y7"})) == {"s", "t", "o7"}
    world.put(SERVICES, service("o7", selector={"app": "z"}))
    world.remove(SERVICES, "n", "s")
    assert woken_by(pod("p", labels={"app": "x"})) == set()


STEPS = st.one_of(
    st.tuples(
        st.just("pod"), st.integers(0, 9), st.booleans(), st.booleans(), st.sampled_from("xy"), st.integers(1, 2)
    ),
    st.tuples(st.just("gone"), st.integers(0, 9)),
    st.tuples(st.just("service"), st.sampled_from(["web", 80]), st.booleans(), st.sampled_from(["", "PreferClose"])),
    st.tuples(st.just("no service")),
    st.tuples(st.just("lost"), st.integers(0, 3)),
    st.tuples(st.just("zone"), st.sampled_from("ab")),
    st.tuples(st.just("step")),
    st.tuples(st.just("crash"), st.integers(0, 2)),
)


def change(world: World, step: tuple[Any, ...]) -> None:
    match step:
        case ("pod", number, ready, deleted, app, port):
            ports = [{"name": "web", "containerPort": port}]
            made = pod(f"p{number}", f"10.1.0.{number}", ready=ready, deleted=deleted, labels={"app": app}, ports=ports)
            world.put(PODS, made)
        case ("gone", number) if world.get(PODS, "n", f"p{number}") is not None:
            world.remove(PODS, "n", f"p{number}")
        case ("service", target, publishes, distribution):
            port = {"port": 80, "protocol": "TCP", "targetPort": target}
            spec = {"publishNotReadyAddresses": publishes, "trafficDistribution": distribution}
            world.put(SERVICES, service(ports=[port], **spec))
        case ("no service",) if world.get(SERVICES, "n", "s") is not None:
            world.remove(SERVICES, "n", "s")
            for each in slices(world):
                world.remove(ENDPOINT_SLICES, "n", each["metadata"]["name"])
        case ("lost", number) if number < len(slices(world)):
            world.remove(ENDPOINT_SLICES, "n", slices(world)[number]["metadata"]["name"])
        case ("zone", zone):
            world.put(NODES, node(zone=zone))


def content(world: World) -> list[str]:
    """What all slices say together, whichever of them says it."""
    return sorted(
        repr((each["addressType"], each["ports"], sorted(one.items(), key=repr)))
        for each in slices(world)
        for one in each["endpoints"] or [{}]
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=40), st.integers(1, 4))
def test_any_order_of_events_and_crashes_ends_as_from_scratch(steps: list[tuple[Any, ...]], room: int) -> None:
    """With little room in a slice, so that few pods make many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("controllers.endpointslice_filling.MOST_ENDPOINTS", room)
        world = a_world((SERVICES, service()))
        acting = Acting(endpoint_slices(), world)
        for step in steps:
            if step[0] == "step":
                acting.step()
            elif step[0] == "crash":
                acting.step(crash_after=step[1])
                acting = Acting(endpoint_slices(), world)
            else:
                change(world, step)
        acting.settle()
        kept = [(key.resource, obj) for key, obj in world.objects.items() if key.resource != ENDPOINT_SLICES]
        scratch = World(*((resource, obj) for resource, obj in kept if resource is not None))
        Acting(endpoint_slices(), scratch).settle()
        assert content(world) == content(scratch)
        named = [identity(one) for each in slices(world) for one in each["endpoints"] or ()]
        assert len(named) == len(set(named))
        assert all(len(each["endpoints"] or ()) <= room for each in slices(world))


def test_deletes_name_the_slice_that_was_seen() -> None:
    world = with_service(*numbered(150))
    acting = Acting(endpoint_slices(), world)
    acting.settle()
    for number in range(100):
        world.remove(PODS, "n", f"p{number:03}")
    (delete,) = acting.plan(S).actions
    assert isinstance(delete, Delete)
    assert delete.uid == slices(world)[0]["metadata"]["uid"]


@pytest.mark.parametrize(
    ("mode", "zones", "is_told"),
    [
        ("Auto", ["a"], True),
        ("Auto", ["a", ""], True),
        ("Auto", [], True),
        ("Auto", ["a", "b"], False),
        ("Disabled", ["a"], False),
        (None, ["a"], False),
    ],
)
def test_zones_that_hints_are_asked_by_and_that_are_not_there_are_missed(
    mode: str | None,
    zones: list[str],
    is_told: bool,  # noqa: FBT001
) -> None:
    asking = service()
    if mode is not None:
        asking["metadata"]["annotations"] = {"service.kubernetes.io/topology-mode": mode}
    world = World((SERVICES, asking), *((NODES, ready_node(f"n{at}", zone)) for at, zone in enumerate(zones)))
    settled(world)
    said = {(each.type, each.reason, each.message) for each in world.told}
    why = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes, addressType: IPv4"
    assert said == ({("Warning", "TopologyAwareHintsDisabled", why)} if is_told else set())


def ready_node(name: str, zone: str) -> Object:
    status = {"allocatable": {"cpu": "2"}, "conditions": [{"type": "Ready", "status": "True"}]}
    return {**node(name, zone), "status": status}
