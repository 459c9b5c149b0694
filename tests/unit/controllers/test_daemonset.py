"""DaemonSets as tables: which nodes want a pod, what is done on each, how a new template goes round."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.daemonset import State, daemon_sets, plan
from controllers.daemonset_nodes import Wants, demand, node_of, pod_for, tolerated
from controllers.daemonset_pods import Failures
from controllers.daemonset_rollout import NodePods, bounds, next_step
from controllers.history import History, patch_of
from controllers.plan import Action, Create, Delete, Key, Patch, Record, Update, UpdateStatus
from machinery.api.errors import Forbidden
from machinery.api.resource import Object
from machinery.api.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from machinery.api.timestamps import rfc3339
from machinery.api.views import ControllerRevision, DaemonSet, Node, Pod
from machinery.client.cache import Change
from tests.endpoint_world import World

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def template(image: str = "new", **spec: Any) -> Object:
    return {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": image}], **spec}}


def daemon_set(wanted: Object | None = None, *, rolling: Object | None = None, **spec: Any) -> DaemonSet:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0, **(rolling or {})}}
    metadata = {
        "name": "d", "namespace": "n", "uid": "d", "generation": 2,
        "annotations": {"deprecated.daemonset.template.generation": "7"},
    }  # fmt: skip
    spec = {
        "selector": {"matchLabels": {"a": "b"}}, "template": wanted or template(), "updateStrategy": strategy, **spec,
    }  # fmt: skip
    return DaemonSet({"metadata": metadata, "spec": spec, "status": {"observedGeneration": 2}})


def node(name: str = "n1", *taints: str, **labels: str) -> Node:
    """`taints` are effects, or `key:effect`."""
    pairs = [each.rpartition(":") for each in taints]
    found = [{"key": key or "mine", "effect": effect} for key, _, effect in pairs]
    return Node({"metadata": {"name": name, "labels": labels}, "spec": {"taints": found}})


def pod(name: str, state: str = "ready", revision: str = "new", *, on: str = "n1", created: str = "") -> Pod:
    """`state`: ready, running, pending (unbound), Failed, Succeeded; `-` before it means that it is being deleted."""
    is_going, state = state.startswith("-"), state.removeprefix("-")
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d", "controller": True}
    made: Object = {
        "name": name, "namespace": "n", "uid": name, "labels": {"a": "b", "controller-revision-hash": revision},
        "ownerReferences": [owner], "creationTimestamp": created or rfc3339(NOW),
    }  # fmt: skip
    if is_going:
        made["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    phase = {"ready": "Running", "running": "Running", "pending": "Pending"}.get(state, state)
    since = {"lastTransitionTime": "2025-12-31T23:59:50Z"}
    ready = {"type": "Ready", "status": "True" if state == "ready" else "False", **since}
    spec = pod_for(daemon_set(), on, "x")["spec"] if state == "pending" else {"nodeName": on}
    return Pod({"metadata": made, "spec": spec, "status": {"phase": phase, "conditions": [ready]}})


def revision(name: str, number: int, image: str) -> ControllerRevision:
    labels = {"a": "b", "controller-revision-hash": name}
    metadata = {"name": f"d-{name}", "namespace": "n", "uid": name, "labels": labels, "creationTimestamp": name}
    return ControllerRevision({"metadata": metadata, "revision": number, "data": patch_of(template(image))})


HISTORY = History((revision("old", 1, "old"), revision("new", 2, "new")), name="d-new")


def planned(owner: DaemonSet, nodes: Iterable[Node], pods: Iterable[Pod] = (), **state: Any) -> list[Action]:
    found = State(owner, tuple(nodes), tuple(pods), **{"history": HISTORY, **state})
    return list(plan(found, NOW).actions)


def moves(actions: Iterable[Action]) -> list[str]:
    """`+n1`: a pod made for the node; `-p`: the pod deleted."""
    found = []
    for action in actions:
        if isinstance(action, Create) and action.resource == PODS:
            found.append(f"+{node_of(Pod(action.obj))}")
        elif isinstance(action, Delete) and action.resource == PODS:
            found.append(f"-{action.key.name}")
    return found


def status_of(actions: Iterable[Action]) -> Object:
    (found,) = [action for action in actions if isinstance(action, UpdateStatus)]
    return dict(found.obj["status"])


@pytest.mark.parametrize(
    ("spec", "found", "expected"),
    [
        ({}, node(), Wants.A_POD),
        ({"nodeSelector": {"disk": "ssd"}}, node(), Wants.NO_POD),
        ({"nodeSelector": {"disk": "ssd"}}, node(disk="ssd"), Wants.A_POD),
        ({"nodeName": "n2"}, node(), Wants.NO_POD),
        ({"nodeName": "n1"}, node(), Wants.A_POD),
        ({}, node("n1", "NoSchedule"), Wants.NO_NEW_POD),
        ({}, node("n1", "NoExecute"), Wants.NO_POD),
        ({}, node("n1", "PreferNoSchedule"), Wants.A_POD),
        ({"tolerations": [{"operator": "Exists"}]}, node("n1", "NoExecute", "NoSchedule"), Wants.A_POD),
        ({"tolerations": [{"key": "mine", "effect": "NoExecute"}]}, node("n1", "NoExecute"), Wants.A_POD),
        # The nodes' own trouble is borne.
        ({}, node("n1", "node.kubernetes.io/not-ready:NoExecute"), Wants.A_POD),
        ({}, node("n1", "node.kubernetes.io/unschedulable:NoSchedule"), Wants.A_POD),
        ({}, node("n1", "node.kubernetes.io/not-ready:NoSchedule"), Wants.NO_NEW_POD),
        ({}, node("n1", "node.kubernetes.io/network-unavailable:NoSchedule"), Wants.NO_NEW_POD),
        ({"hostNetwork": True}, node("n1", "node.kubernetes.io/network-unavailable:NoSchedule"), Wants.A_POD),
    ],
)
def test_what_is_wanted_of_a_node(spec: Object, found: Node, expected: Wants) -> None:
    assert demand(daemon_set(template(**spec)))(found) is expected


def test_node_affinity_by_labels_and_by_name() -> None:
    terms = [
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n9"]}]},
    ]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    owner = daemon_set(template(affinity={"nodeAffinity": required}))
    wants = demand(owner)
    assert [wants(each) is Wants.A_POD for each in (node(zone="a"), node(zone="b"), node("n9"))] == [
        True,
        False,
        True,
    ]


def test_a_pod_is_made_for_its_node_and_keeps_what_else_the_template_says() -> None:
    preferred = [{"weight": 1, "preference": {}}]
    affinity = {
        "podAntiAffinity": {"x": 1},
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": []}]},
        },
    }
    made = pod_for(daemon_set(template(affinity=affinity)), "n1", "hash")
    assert made["metadata"]["labels"] == {
        "a": "b",
        "controller-revision-hash": "hash",
        "pod-template-generation": "7",
    }
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    assert made["spec"]["affinity"] == {
        "podAntiAffinity": {"x": 1},
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]},
        },
    }
    assert node_of(Pod(made)) == "n1"


def test_tolerations_that_a_daemon_has_anyhow_are_not_said_twice() -> None:
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    timed = {**own, "tolerationSeconds": 30}
    kept = {"key": "mine", "operator": "Exists"}
    found = tolerated(Pod(template(tolerations=[timed, kept])))
    assert found[0] == kept
    assert found.count(own) == 1
    assert timed not in found


@pytest.mark.parametrize(
    ("nodes", "pods", "expected"),
    [
        ([node("n1"), node("n2")], [], ["+n1", "+n2"]),
        ([node("n1"), node("n2")], [pod("p")], ["+n2"]),
        ([node()], [pod("p", "pending")], []),
        # One that is going stands in the way until it has ended.
        ([node()], [pod("p", "-ready")], []),
        ([node()], [pod("p", "-Succeeded")], ["+n1"]),
        ([node()], [pod("p", "Failed")], ["-p"]),
        ([node()], [pod("p", "Succeeded")], ["-p"]),
        # Of several the bound one stays, then the oldest.
        ([node()], [pod("a", "pending"), pod("b")], ["-a"]),
        ([node()], [pod("a"), pod("b", created="2025-01-01T00:00:00Z")], ["-a"]),
        ([node("n1", "NoSchedule")], [pod("p")], []),
        ([node("n1", "NoSchedule")], [], []),
        ([node("n1", "NoExecute")], [pod("p")], ["-p"]),
        # A pod for a node that is gone is never bound; one that was on it is the pod garbage collector's.
        ([], [pod("a", "pending"), pod("b")], ["-a"]),
    ],
)
def test_what_each_node_needs(nodes: list[Node], pods: list[Pod], expected: list[str]) -> None:
    assert moves(planned(daemon_set(), nodes, pods)) == expected


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([pod("old", "ready", "old"), pod("new", "running")], []),
        ([pod("old", "ready", "old"), pod("new", "ready")], ["-old"]),
        ([pod("old", "running", "old"), pod("new", "running")], ["-old"]),
        ([pod("old", "-ready", "old")], ["+n1"]),
        ([pod("a", "ready", "old"), pod("b", "ready", "old"), pod("c", "running")], ["-b"]),
    ],
)
def test_with_a_surge_two_pods_are_on_a_node_as_long_as_it_takes(pods: list[Pod], expected: list[str]) -> None:
    owner = daemon_set(rolling={"maxSurge": 1, "maxUnavailable": 0})
    assert moves(planned(owner, [node()], pods)) == expected


@pytest.mark.parametrize(
    ("rolling", "states", "expected"),
    [
        # (of the nodes n1, n2 …: o old, O old and not ready, n new, N new and not ready; what is next)
        ({}, "ooo", ["-p1"]),
        ({"maxUnavailable": 2}, "ooo", ["-p1", "-p2"]),
        ({"maxUnavailable": "50%"}, "ooo", ["-p1", "-p2"]),
        ({}, "Noo", []),
        ({}, "noo", ["-p2"]),
        ({}, "OoO", ["-p1", "-p3"]),
        ({"maxUnavailable": 2}, "Noo", ["-p2"]),
        ({"maxSurge": 1, "maxUnavailable": 0}, "ooo", ["+n1"]),
        ({"maxSurge": "50%", "maxUnavailable": 0}, "ooo", ["+n1", "+n2"]),
        ({"maxSurge": 1, "maxUnavailable": 0}, "oOO", ["+n2", "+n3", "+n1"]),
        ({"maxSurge": 1, "maxUnavailable": 0}, "nNo", ["+n3"]),
    ],
)
def test_a_new_template_goes_round(rolling: Object, states: str, expected: list[str]) -> None:
    names = [f"n{at}" for at in range(1, len(states) + 1)]
    pods = [
        pod(f"p{name[1:]}", "ready" if state.islower() else "running", {"o": "old", "n": "new"}[state.lower()], on=name)
        for name, state in zip(names, states, strict=True)
    ]
    assert moves(planned(daemon_set(rolling=rolling), map(node, names), pods)) == expected
    by_hand = daemon_set(rolling=rolling, updateStrategy={"type": "OnDelete"})
    assert moves(planned(by_hand, map(node, names), pods)) == []


def test_both_bounds_round_up_and_are_never_both_nothing() -> None:
    assert bounds(daemon_set(rolling={"maxUnavailable": "10%"}), 11) == (0, 2)
    assert bounds(daemon_set(rolling={"maxUnavailable": 0, "maxSurge": "10%"}), 11) == (2, 0)
    assert bounds(daemon_set(rolling={"maxUnavailable": 0, "maxSurge": 0}), 11) == (0, 1)


KINDS = st.sampled_from(["o", "O", "n", "N", ""])


@given(st.lists(KINDS, max_size=8), st.integers(0, 3), st.integers(0, 3))
def test_a_step_never_goes_below_what_must_be_served(states: list[str], surge: int, unavailable: int) -> None:
    """The law, on any state of any number of nodes."""
    owner = daemon_set(rolling={"maxUnavailable": unavailable, "maxSurge": surge})
    nodes = [
        NodePods(
            f"n{at}",
            tuple(pod(f"o{at}", "ready" if state == "o" else "running", "old") for _ in "." if state.lower() == "o"),
            tuple(pod(f"n{at}", "ready" if state == "n" else "running") for _ in "." if state.lower() == "n"),
            wanted=True,
        )
        for at, state in enumerate(states)
    ]
    step = next_step(owner, nodes, lambda each: each.is_ready)
    served = sum(state in ("o", "n") for state in states)
    taken = sum(each.is_ready for each in step.deleted)
    most_surge, most_unavailable = bounds(owner, len(nodes))
    assert served - taken >= min(served, len(nodes) - most_unavailable)
    beside_served = [name for name in step.nodes if states[int(name[1:])] == "o"]
    assert len(beside_served) <= most_surge


def test_the_status_counts_nodes() -> None:
    nodes = [node("n1"), node("n2"), node("n3"), node("n4", "NoSchedule"), node("n5", "NoSchedule")]
    pods = [pod("a", on="n1"), pod("b", "running", "old", on="n2"), pod("c", on="n4")]
    assert status_of(planned(daemon_set(), nodes, pods)) == {
        "desiredNumberScheduled": 3,
        "currentNumberScheduled": 2,
        "numberMisscheduled": 1,
        "numberReady": 1,
        "numberAvailable": 1,
        "numberUnavailable": 2,
        "updatedNumberScheduled": 1,
        "observedGeneration": 2,
    }


def test_the_first_that_is_told_of_a_generation_is_with_its_pods() -> None:
    owner = daemon_set()
    owner.obj["status"] = {"observedGeneration": 1}
    assert [type(action) for action in planned(owner, [node()])] == [Create]
    (status,) = planned(owner, [node()], [pod("p", "pending")])
    assert isinstance(status, UpdateStatus)
    failing = plan(State(owner, (node(),), history=HISTORY), NOW)
    (told,) = failing.on_failure(failing.actions[0], Forbidden("exceeded quota"))
    assert isinstance(told, UpdateStatus)
    assert told.obj["status"]["numberUnavailable"] == 1


def test_nothing_is_written_where_nothing_changes() -> None:
    owner = daemon_set()
    owner.obj["status"] = status_of(planned(owner, [node()], [pod("p")]))
    assert planned(owner, [node()], [pod("p")]) == []


def test_ready_is_not_yet_available() -> None:
    found = plan(State(daemon_set(minReadySeconds=11), (node(),), (pod("p"),), history=HISTORY), NOW)
    assert status_of(found.actions)["numberUnavailable"] == 1
    assert found.requeue_after == 11


@pytest.mark.parametrize(
    ("failures", "age", "expected", "wait"),
    [
        # (pods that failed in a row on the node, the age of the last; what is done, seconds until it is)
        (1, 0, ["-p"], None),
        (2, 0, [], 1.0),
        (2, 1, ["-p"], None),
        (5, 3, [], 5.0),
        (99, 0, [], 900.0),
    ],
)
def test_failed_pods_are_killed_less_and_less_often(
    failures: int, age: int, expected: list[str], wait: float | None
) -> None:
    failed = pod("p", "Failed", created=rfc3339(NOW - timedelta(seconds=age)))
    found = plan(State(daemon_set(), (node(),), (failed,), history=HISTORY, failures={"n1": failures}), NOW)
    assert (moves(found.actions), found.requeue_after) == (expected, wait)
    told = [(each.type, each.reason, each.message) for each in found.actions if isinstance(each, Record)]
    said = ("Warning", "FailedDaemonPod", "Found failed daemon pod n/p on node n1, will try to kill it")
    assert told == ([said] if expected else [])


def test_failures_in_a_row_are_counted_by_node_until_the_daemon_set_changes() -> None:
    failures, owner = Failures(), daemon_set()

    def failed(uid: str, minutes: int = 0) -> Pod:
        return pod(uid, "Failed", created=rfc3339(NOW + timedelta(minutes=minutes)))

    assert failures.count(owner, {"n1": failed("a")}) == {"n1": 1}
    assert failures.count(owner, {"n1": failed("a")}) == {"n1": 1}
    assert failures.count(owner, {"n1": failed("b"), "n2": failed("x")}) == {"n1": 2, "n2": 1}
    assert failures.count(owner, {}) == {"n1": 2, "n2": 1}
    # One that lasted for long begins a new row.
    assert failures.count(owner, {"n1": failed("c", 31)}) == {"n1": 1, "n2": 1}
    owner.obj["status"]["observedGeneration"] = 3
    assert failures.count(owner, {"n1": failed("d", 31)}) == {"n1": 1}
    failures.forget({"another"})
    assert failures.count(owner, {}) == {}


def test_a_set_that_goes_is_left_alone() -> None:
    owner = daemon_set()
    owner.obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert planned(owner, [node()]) == []


def test_doubles_of_the_present_revision_become_one() -> None:
    history = History((revision("twin", 1, "new"), revision("new", 2, "new")), name="d-new")
    actions = planned(daemon_set(), [node()], [pod("p", revision="twin")], history=history)
    relabelled = [action.patch for action in actions if isinstance(action, Patch)]
    assert relabelled == [{"metadata": {"labels": {"controller-revision-hash": "new"}}}]
    gone = [a.key.name for a in actions if isinstance(a, Delete) and a.resource == CONTROLLER_REVISIONS]
    assert gone == ["d-twin"]


def test_revisions_are_made_renewed_and_forgotten() -> None:
    first = planned(daemon_set(), [], history=History(name="d-xyz", collisions=1))
    (made,) = [action.obj for action in first if isinstance(action, Create)]
    assert (made["revision"], made["metadata"]["labels"]["controller-revision-hash"]) == (1, "xyz")
    assert status_of(first)["collisionCount"] == 1
    back = History((revision("new", 1, "new"), revision("old", 2, "old")), name="d-new")
    (renewed,) = [action.obj for action in planned(daemon_set(), [], history=back) if isinstance(action, Update)]
    assert (renewed["metadata"]["name"], renewed["revision"]) == ("d-new", 3)
    old = [revision(f"r{number}", number, f"i{number}") for number in range(1, 5)]
    long = History((*old, revision("new", 9, "new")), name="d-new")
    actions = planned(daemon_set(revisionHistoryLimit=2), [], [pod("p", "running", "r1")], history=long)
    assert [a.key.name for a in actions if isinstance(a, Delete) and a.resource == CONTROLLER_REVISIONS] == [
        "d-r2",
        "d-r3",
    ]


def test_a_node_wakes_those_that_want_something_else_of_it() -> None:
    picky = daemon_set(template(nodeSelector={"disk": "ssd"}))
    picky.obj["metadata"]["name"] = "picky"
    related = daemon_sets().related
    assert related is not None
    cache: Any = World((DAEMON_SETS, daemon_set().obj), (DAEMON_SETS, picky.obj))

    def woken(before: Node | None, after: Node | None) -> list[str]:
        change = Change(NODES, before.obj if before else None, after.obj if after else None)
        return [key.name for key in related(cache, change) if isinstance(key, Key)]

    assert woken(None, node()) == woken(node(), None) == ["d"]
    assert woken(node(), node(disk="ssd")) == ["picky"]
    assert woken(node(), node("n1", "NoExecute")) == ["d"]
    assert woken(node(), node(other="x")) == []
