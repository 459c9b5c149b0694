"""Filters, scores and messages on small clusters; messages are those that a v1.36.2 scheduler gave."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machinery.api.resource import Object
from machinery.api.views import Pod
from scheduler.pod_info import Shapes, requests
from scheduler.profile import DEFAULT
from scheduler.schedule import post_filter, schedule
from scheduler.snapshot import Claim, Snapshot

TAIL = " no new claims to deallocate, preemption: 0/1 nodes are available: 1 "
NOT_HELPFUL = TAIL + "Preemption is not helpful for scheduling."


def node(name: str = "n", **spec: Any) -> Object:
    allocatable = {"cpu": "2", "memory": "4Gi", "pods": "3"}
    labels = {"kubernetes.io/hostname": name}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"allocatable": allocatable}}


def pod(name: str = "p", cpu: str = "", **spec: Any) -> Object:
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    containers = spec.pop("containers", [{"name": "c", "resources": resources}])
    return {"metadata": {"name": name, "uid": name}, "spec": {"containers": containers, **spec}}


def decide(wanted: Object, nodes: list[Object], on: dict[str, list[Object]] | None = None) -> tuple[str, str]:
    return conclusion(wanted, Snapshot.of(nodes, on or {}))


def conclusion(wanted: Object, snapshot: Snapshot) -> tuple[str, str]:
    """The node, or what is told where there is none and nobody can be evicted."""
    info = Shapes().info(wanted)
    decision = schedule(info, snapshot)
    if decision.node:
        return decision.node, ""
    steps = post_filter(info, snapshot, decision, DEFAULT)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return "", end.value.message


def named(*names: str) -> Object:
    """A required affinity to a node that has all these names."""
    fields = [{"key": "metadata.name", "operator": "In", "values": [name]} for name in names]
    terms = {"nodeSelectorTerms": [{"matchFields": fields}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


@pytest.mark.parametrize(
    ("wanted", "there", "on", "message"),
    [
        (pod(cpu="100"), node(), [], "1 Insufficient cpu." + NOT_HELPFUL),
        (
            pod(nodeSelector={"disk": "ssd"}),
            node(),
            [],
            "1 node(s) didn't match Pod's node affinity/selector." + NOT_HELPFUL,
        ),
        (pod(), node(unschedulable=True), [], "1 node(s) were unschedulable." + NOT_HELPFUL),
        (
            pod(),
            node(taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]),
            [],
            "1 node(s) had untolerated taint(s)." + NOT_HELPFUL,
        ),
        (
            pod(affinity=named("n", "m")),
            node(),
            [],
            "pod affinity terms conflict. not found",
        ),
        (
            pod(cpu="1"),
            node(),
            [pod("q", cpu="1500m")],
            "1 Insufficient cpu." + TAIL + "No preemption victims found for incoming pod.",
        ),
        (
            pod(),
            node(),
            [pod(f"q{i}") for i in range(3)],
            "1 Too many pods." + TAIL + "No preemption victims found for incoming pod.",
        ),
    ],
)
def test_a_pod_that_fits_nowhere_is_told_why(wanted: Object, there: Object, on: list[Object], message: str) -> None:
    assert decide(wanted, [there], {"n": on}) == ("", f"0/1 nodes are available: {message}")


def test_without_nodes_there_is_nothing_to_choose_from() -> None:
    assert decide(pod(), []) == ("", "no nodes available to schedule pods")


def test_tolerations_open_a_tainted_node() -> None:
    taint = {"key": "k", "value": "v", "effect": "NoExecute"}
    assert decide(pod(tolerations=[{"operator": "Exists"}]), [node(taints=[taint])])[0] == "n"


def test_the_emptier_node_is_preferred() -> None:
    nodes = [node("a"), node("b")]
    assert decide(pod(cpu="500m"), nodes, {"a": [pod("q", cpu="1")]})[0] == "b"


def test_preferred_affinity_outweighs_emptiness() -> None:
    entry = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["a"]}
    preferred = [{"weight": 50, "preference": {"matchExpressions": [entry]}}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    assert decide(pod(affinity=affinity), [node("a"), node("b")], {"a": [pod("q", cpu="200m")]})[0] == "a"


def test_a_taken_host_port_refuses() -> None:
    containers = [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]
    assert decide(pod(containers=containers), [node()], {"n": [pod("q", containers=containers)]})[0] == ""


def test_sidecars_count_beside_the_containers_and_the_init_containers_after_them() -> None:
    def asks(cpu: str, **more: str) -> Object:
        return {"name": cpu, "resources": {"requests": {"cpu": cpu}}, **more}

    init = [asks("100m", restartPolicy="Always"), asks("900m")]
    assert requests(Pod(pod(containers=[asks("500m")], initContainers=init)))["cpu"] == 1000


@pytest.mark.parametrize(
    ("asked", "given_", "has", "reason", "counted"),
    [
        ("500m", "500m", "500m", "", 500),
        ("1", "500m", "500m", "Deferred", 1000),
        ("200m", "200m", "500m", "", 500),
        ("200m", "500m", "500m", "Deferred", 500),
        ("9", "500m", "500m", "Infeasible", 500),
    ],
)
def test_a_pod_that_is_resized_counts_with_the_most(
    asked: str, given_: str, has: str, reason: str, counted: int
) -> None:
    state = {"name": "c", "allocatedResources": {"cpu": given_}, "resources": {"requests": {"cpu": has}}}
    conditions = [{"type": "PodResizePending", "status": "True", "reason": reason}] if reason else []
    there = {**pod("q", cpu=asked, nodeName="n"), "status": {"containerStatuses": [state], "conditions": conditions}}
    assert Snapshot.of([node()], {"n": [there]}).nodes["n"].requested == {"cpu": counted}


@settings(deadline=None)
@given(st.lists(st.integers(1, 2500), max_size=12))
def test_the_scheduler_never_overcommits(wishes: list[int]) -> None:
    nodes = [node("a"), node("b")]
    on: dict[str, list[Object]] = {"a": [], "b": []}
    for number, milli in enumerate(wishes):
        wanted = pod(f"p{number}", cpu=f"{milli}m")
        chosen, _ = decide(wanted, nodes, on)
        if chosen:
            on[chosen].append(wanted)
        else:
            assert all(
                len(pods) >= 3 or sum(requests(Pod(each))["cpu"] for each in pods) + milli > 2000
                for pods in on.values()
            )
    assert all(sum(requests(Pod(each))["cpu"] for each in pods) <= 2000 for pods in on.values())


def claim(phase: str = "Pending", **spec: Any) -> Object:
    return {"metadata": {"name": "v", "namespace": "n"}, "spec": spec, "status": {"phase": phase}}


BOUND = claim("Bound", volumeName="pv")


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({}, 'persistentvolumeclaim "v" not found. not found'),
        ({"v": Claim(claim())}, "pod has unbound immediate PersistentVolumeClaims. not found"),
        (
            {"v": Claim(claim("Lost", volumeName="pv"))},
            'persistentvolumeclaim "v" bound to non-existent persistentvolume "pv". not found',
        ),
        (
            {"v": Claim(claim(), waits_for_consumer=True)},
            "1 node(s) didn't find available persistent volumes to bind." + NOT_HELPFUL,
        ),
        ({"v": Claim(BOUND)}, ""),
    ],
)
def test_a_pod_waits_for_its_claims(claims: dict[str, Claim], message: str) -> None:
    wanted = pod(volumes=[{"name": "x", "persistentVolumeClaim": {"claimName": "v"}}])
    told = f"0/1 nodes are available: {message}" if message else ""
    assert conclusion(wanted, Snapshot.of([node()], {}, claims)) == ("" if message else "n", told)
