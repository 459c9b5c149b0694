"""What controllers do about nodes: taints that drive pods out, ranges of addresses, the annotation for kubelets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers import node_lifecycle
from controllers.node_ipam import RangedNode, lowest, node_ipam
from controllers.node_ipam import State as IpamState
from controllers.node_ttl import NODE_TTL, seconds
from controllers.plan import Delete, Key, Patch, Plan, Record, UpdateStatus
from controllers.taint_eviction import State, decide, taint_eviction
from machinery.api.resource import Object
from machinery.api.resources import NODES, PODS
from machinery.api.timestamps import rfc3339
from machinery.api.views import Node, Pod
from machinery.client.cache import Change
from machinery.ip_families import IPV4, IPV6, networks
from tests.endpoint_world import Acting, World

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AGO = NOW - timedelta(seconds=100)


def pod(*tolerations: Object, scheduled: datetime | None = None, name: str = "p", **status: Any) -> Object:
    conditions = []
    if scheduled:
        conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": rfc3339(scheduled)})
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "n", "uid": name},
        "spec": {"nodeName": "node", "tolerations": list(tolerations)},
        "status": {"phase": "Running", "conditions": conditions, **status},
    }  # fmt: skip


def taint(key: str = "k", added: datetime | None = AGO, effect: str = "NoExecute") -> Object:
    return {"key": key, "effect": effect, **({"timeAdded": rfc3339(added)} if added else {})}


def bears(seconds: int | None = None, key: str = "k") -> Object:
    limit = {} if seconds is None else {"tolerationSeconds": seconds}
    return {"key": key, "operator": "Exists", "effect": "NoExecute", **limit}


def outcome(plan: Plan) -> float | str | None:
    """`goes`, or seconds until the next look, or None: it stays."""
    return "goes" if any(isinstance(each, Delete) for each in plan.actions) else plan.requeue_after


@pytest.mark.parametrize(
    ("obj", "taints", "expected"),
    [
        (pod(), [taint()], "goes"),
        (pod(bears(key="other")), [taint()], "goes"),
        (pod(bears()), [taint()], None),
        (pod(bears(300)), [taint()], 200),
        (pod(bears(100)), [taint()], "goes"),
        (pod(bears(0)), [taint()], "goes"),
        (pod(bears(-5)), [taint()], "goes"),
        (pod(bears(300), scheduled=NOW - timedelta(seconds=10)), [taint()], 290),
        (pod(bears(300)), [taint(added=None)], 260),
        (pod(bears(300), bears(150, "l")), [taint(), taint("l")], 50),
        (pod(bears(300)), [taint(), taint("l")], "goes"),
        (pod(bears(), bears(10)), [taint()], None),
        (pod(phase="Succeeded"), [taint()], None),
    ],
)
def test_how_long_a_pod_stays(obj: Object, taints: list[Object], expected: float | str | None) -> None:
    seen = NOW - timedelta(seconds=40)
    assert outcome(decide(State(Pod(obj), taints), seen, NOW)) == expected


def test_a_pod_that_goes_says_why() -> None:
    event, patch, delete = decide(State(Pod(pod()), [taint()]), NOW, NOW).actions
    assert isinstance(event, Record)
    assert (event.reason, event.message) == ("TaintManagerEviction", "Marking for deletion Pod n/p")
    assert isinstance(patch, Patch)
    (condition,) = patch.patch["status"]["conditions"]
    assert (condition["type"], condition["reason"], condition["message"]) == (
        "DisruptionTarget",
        "DeletionByTaintManager",
        "Taint manager: deleting due to NoExecute taint",
    )
    assert isinstance(delete, Delete)


def node(*taints: Object, name: str = "node", ready: str = "True", **spec: Any) -> Object:
    conditions = [{"type": "Ready", "status": ready}]
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name},
        "spec": {"taints": list(taints), **spec}, "status": {"conditions": conditions},
    }  # fmt: skip


def test_a_taint_reaches_the_pods_of_its_node() -> None:
    world = World((NODES, node()), (PODS, pod(name="a")), (PODS, pod(bears(), name="b")))
    acting = Acting(taint_eviction(), world)
    acting.settle()
    assert len(world.list(PODS)) == 2
    world.put(NODES, node(taint(), taint("l", effect="NoSchedule")))
    acting.settle()
    assert [each["metadata"]["name"] for each in world.list(PODS)] == ["b"]


def test_time_runs_from_when_a_taint_that_has_none_was_seen() -> None:
    controller = taint_eviction()
    world = World((NODES, node(taint(added=None))), (PODS, pod(bears(60))))
    key = Key("n", "p")
    state = controller.observe(world, key)
    assert controller.plan(state, NOW).requeue_after == 60
    assert controller.plan(state, NOW + timedelta(seconds=45)).requeue_after == 15
    world.put(NODES, node(taint(added=None), taint("l", added=None)))
    world.put(PODS, pod(bears(60), bears(60, "l")))
    state = controller.observe(world, key)
    assert controller.plan(state, NOW + timedelta(seconds=45)).requeue_after == 60


def effects(found: node_lifecycle.State) -> set[tuple[str, str]]:
    for action in node_lifecycle.plan(found, NOW).actions:
        if isinstance(action, Patch):
            return {(each["key"], each["effect"]) for each in action.patch["spec"]["taints"] or ()}
    return set()


def test_no_pod_is_driven_out_where_no_node_is_ready() -> None:
    lost = Node(node(ready="Unknown"))
    unreachable = "node.kubernetes.io/unreachable"
    assert effects(node_lifecycle.State(lost, NOW, is_any_ready=True)) == {
        (unreachable, "NoSchedule"),
        (unreachable, "NoExecute"),
    }
    assert effects(node_lifecycle.State(lost, NOW, is_any_ready=False)) == {(unreachable, "NoSchedule")}


@pytest.mark.parametrize(
    ("others", "was", "now", "woken"),
    [
        ([], "False", "True", ["changed"]),
        (["False"], "False", "True", ["changed", "other-0"]),
        (["False"], "True", "Unknown", ["changed", "other-0"]),
        # A thousand nodes that come up one after another must not all look at each other.
        (["True"], "False", "True", []),
        (["False"], "True", "True", []),
    ],
)
def test_the_first_ready_node_and_the_last_one_concern_all(
    others: list[str], was: str, now: str, woken: list[str]
) -> None:
    def made(name: str, ready: str) -> Object:
        return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}

    changed = made("changed", now)
    world = World((NODES, changed), *((NODES, made(f"other-{at}", ready)) for at, ready in enumerate(others)))
    related = node_lifecycle.node_lifecycle().related
    assert related is not None
    found = related(world, Change(NODES, made("changed", was), changed))
    assert sorted(key.name for key in found) == woken


def test_a_pod_that_was_to_go_and_need_not_is_told_so_once() -> None:
    controller, key = taint_eviction(), Key("n", "p")
    world = World((NODES, node(taint())), (PODS, pod(bears(300))))

    def told() -> list[str]:
        state = controller.observe(world, key)
        return [each.message for each in controller.plan(state, NOW).actions if isinstance(each, Record)]

    assert told() == []
    world.put(NODES, node())
    assert told() == ["Cancelling deletion of Pod n/p"]
    assert told() == []
    world.put(NODES, node(taint()))
    assert told() == []
    world.put(PODS, pod(bears()))
    assert told() == ["Cancelling deletion of Pod n/p"]


def on_it(name: str, **conditions: str) -> Object:
    found = pod(name=name)
    found["status"]["conditions"] = [{"type": kind, "status": status} for kind, status in conditions.items()]
    return found


def test_a_silent_node_is_unknown_and_its_pods_are_not_ready() -> None:
    pods = [on_it("a", Ready="True", Initialized="True"), on_it("b", Ready="False"), on_it("c")]
    silent = node_lifecycle.State(Node(node()), NOW - timedelta(seconds=51), pods=lambda: pods)
    patch, of_pod, update, of_node = node_lifecycle.plan(silent, NOW).actions
    assert isinstance(patch, Patch) and patch.key.name == "a"
    assert [each["status"] for each in patch.patch["status"]["conditions"]] == ["False", "True"]
    assert isinstance(of_pod, Record)
    assert (of_pod.type, of_pod.reason, of_pod.message) == ("Warning", "NodeNotReady", "Node is not ready")
    assert isinstance(update, UpdateStatus)
    assert update.obj["status"]["conditions"][0]["reason"] == "NodeStatusUnknown"
    assert isinstance(of_node, Record)
    assert (of_node.reason, of_node.message) == ("NodeNotReady", "Node node status is now: NodeNotReady")


def test_what_no_kubelet_posts_or_ever_posted_of_a_silent_node() -> None:
    found = node(ready="False")
    found["status"]["conditions"].append({"type": "NetworkUnavailable", "status": "False"})
    silent = node_lifecycle.State(Node(found), NOW - timedelta(seconds=51))
    (update,) = node_lifecycle.plan(silent, NOW).actions
    assert isinstance(update, UpdateStatus)
    told = {each["type"]: (each["status"], each.get("reason")) for each in update.obj["status"]["conditions"]}
    never = ("Unknown", "NodeStatusNeverUpdated")
    assert told == {
        "Ready": ("Unknown", "NodeStatusUnknown"),
        "NetworkUnavailable": ("False", None),
        "MemoryPressure": never,
        "DiskPressure": never,
        "PIDPressure": never,
    }


def test_a_node_is_told_of_when_it_comes_and_when_it_goes() -> None:
    controller, world = node_lifecycle.node_lifecycle(), World((NODES, node()))

    def told() -> list[tuple[str, str]]:
        state = controller.observe(world, Key("", "node"))
        found = controller.plan(state, NOW).actions if state is not None else ()
        return [(each.reason, each.message) for each in found if isinstance(each, Record)]

    assert told() == [("RegisteredNode", "Node node event: Registered Node node in Controller")]
    assert told() == []
    del world.objects[Key("", "node", NODES)]
    assert told() == [("RemovingNode", "Node node event: Removing Node node from Controller")]
    assert told() == []


@pytest.mark.parametrize(("awake", "is_unknown"), [(5, False), (49, False), (51, True), (4000, True)])
def test_a_node_that_nobody_could_see_is_not_silent(awake: int, is_unknown: bool) -> None:  # noqa: FBT001
    since = NOW - timedelta(seconds=awake)
    plan = node_lifecycle.plan(node_lifecycle.State(Node(node()), NOW - timedelta(hours=8), awake_since=since), NOW)
    assert any(isinstance(action, UpdateStatus) for action in plan.actions) == is_unknown
    if not is_unknown:
        assert plan.requeue_after == max(node_lifecycle.GRACE - awake, 1)


PREFIXES = {IPV4: 24, IPV6: 64}
CLUSTER = IPv4Network("10.0.0.0/22")


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ([], "10.0.0.0/24"),
        (["10.0.0.0/24"], "10.0.1.0/24"),
        (["10.0.1.0/24"], "10.0.0.0/24"),
        (["10.0.0.0/24", "10.0.1.128/25"], "10.0.2.0/24"),
        (["10.0.0.0/23"], "10.0.2.0/24"),
        (["192.168.0.0/24"], "10.0.0.0/24"),
        (["10.0.0.0/22"], None),
        (["10.0.0.0/16"], None),
        (["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"], None),
    ],
)
def test_the_lowest_free_range(taken: list[str], expected: str | None) -> None:
    found = lowest(CLUSTER, 24, [IPv4Network(each) for each in taken])
    assert (str(found) if found else None) == expected


@given(st.sets(st.integers(0, 15)), st.integers(24, 26))
def test_no_two_nodes_share_an_address(taken: set[int], prefix: int) -> None:
    held = [IPv4Network((int(CLUSTER.network_address) + 64 * each, 26)) for each in taken]
    found = lowest(CLUSTER, prefix, held)
    free = [each for each in CLUSTER.subnets(new_prefix=prefix) if not any(each.overlaps(other) for other in held)]
    assert found == (free[0] if free else None)


def test_each_node_gets_a_range_and_keeps_it() -> None:
    world = World((NODES, node(name="a", podCIDR="10.0.0.0/24", podCIDRs=["10.0.0.0/24"])), (NODES, node(name="b")))
    world.put(NODES, node(name="c"))
    Acting(node_ipam(["10.0.0.0/22"], PREFIXES), world).settle()
    given = {each["metadata"]["name"]: each["spec"]["podCIDR"] for each in world.list(NODES)}
    assert given == {"a": "10.0.0.0/24", "b": "10.0.1.0/24", "c": "10.0.2.0/24"}


def test_in_a_cluster_of_both_families_each_node_gets_a_range_of_each() -> None:
    world = World((NODES, node(name="a", podCIDR="10.0.0.0/24", podCIDRs=["10.0.0.0/24", "fd00:1::/64"])))
    world.put(NODES, node(name="b"))
    Acting(node_ipam(["10.0.0.0/22", "fd00:1::/56"], PREFIXES), world).settle()
    given = {each["metadata"]["name"]: each["spec"]["podCIDRs"] for each in world.list(NODES)}
    assert given["b"] == ["10.0.1.0/24", "fd00:1:0:1::/64"]


@pytest.mark.parametrize(
    ("ranges", "taken"),
    [
        (["10.0.0.0/24"], ["10.0.0.0/24"]),
        (["10.0.0.0/22", "fd00:1::/64"], ["fd00:1::/64"]),
    ],
)
def test_a_cluster_without_room_says_so(ranges: list[str], taken: list[str]) -> None:
    plan = node_ipam(ranges, PREFIXES).plan(IpamState(RangedNode(node()), networks(taken)), NOW)
    (event,) = plan.actions
    assert (event.reason, event.message) == ("CIDRNotAvailable", "Node node status is now: CIDRNotAvailable")
    assert plan.requeue_after


@pytest.mark.parametrize(
    ("count", "said", "expected"),
    [(1, "", 0), (100, "0", 0), (101, "0", 15), (95, "15", 15), (89, "15", 0), (5000, "60", 300), (1900, "300", 300)],
)
def test_how_long_secrets_may_be_kept(count: int, said: str, expected: int) -> None:
    assert seconds(count, said) == expected


def test_every_node_is_told() -> None:
    world = World((NODES, node()))
    Acting(NODE_TTL, world).settle()
    assert world.list(NODES)[0]["metadata"]["annotations"] == {"node.alpha.kubernetes.io/ttl": "0"}
