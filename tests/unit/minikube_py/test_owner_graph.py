"""The owner graph: what hangs below an object, in which order it goes, and rings."""

from __future__ import annotations

from typing import Any

from minikube_py.owner_graph import OwnerGraph


def obj(kind: str, name: str, *owners: str, **more: Any) -> dict[str, Any]:
    references = [{"kind": owner.partition("-")[0], "name": owner, "uid": owner} for owner in owners]
    return {"kind": kind, "metadata": {"name": name, "uid": name, "ownerReferences": references}, **more}


WORKLOAD = [
    obj("Deployment", "d", spec={"replicas": 2}, status={"readyReplicas": 1}),
    obj("ReplicaSet", "r", "d"),
    obj("Pod", "p2", "r", status={"phase": "Pending"}),
    obj("Pod", "p1", "r", status={"phase": "Running"}),
    obj("ConfigMap", "alone"),
]


def shown(graph: OwnerGraph, kind: str, name: str) -> list[str]:
    member = graph.find(kind, name)
    assert member is not None
    return [f"{'  ' * line.depth}{line.member} {line.member.note}".rstrip() for line in graph.below(member)]


def test_what_an_object_owns_hangs_below_it() -> None:
    graph = OwnerGraph(WORKLOAD)
    assert shown(graph, "deployment", "d") == [
        "Deployment/d 1 of 2 ready",
        "  ReplicaSet/r",
        "    Pod/p1 Running",
        "    Pod/p2 Pending",
    ]
    assert shown(graph, "configmaps", "alone") == ["ConfigMap/alone"]
    assert graph.find("secret", "alone") is None


def test_the_way_up_leads_to_whom_nobody_owns() -> None:
    graph = OwnerGraph(WORKLOAD)
    pod = graph.find("pod", "p1")
    assert pod is not None
    assert [str(root) for root in graph.roots_of(pod)] == ["Deployment/d"]


def test_an_owner_that_is_gone_is_shown_as_missing() -> None:
    graph = OwnerGraph([obj("Pod", "p", "ReplicaSet-gone")])
    pod = graph.find("pod", "p")
    assert pod is not None
    (root,) = graph.roots_of(pod)
    assert (str(root), root.note) == ("ReplicaSet/ReplicaSet-gone", "missing")


def test_in_the_foreground_owners_go_last() -> None:
    graph = OwnerGraph(WORKLOAD)
    root = graph.find("deployment", "d")
    assert root is not None
    assert [str(each) for each in graph.foreground_order(root)] == ["Pod/p2", "Pod/p1", "ReplicaSet/r", "Deployment/d"]


def test_a_ring_is_told_and_has_no_order() -> None:
    graph = OwnerGraph([obj("ConfigMap", "a", "b"), obj("ConfigMap", "b", "a")])
    first = graph.find("configmap", "a")
    assert first is not None
    assert [[str(each) for each in ring] for ring in graph.cycles()] == [["ConfigMap/a", "ConfigMap/b"]]
    assert graph.foreground_order(first) == []
    assert [line.again for line in graph.below(first)] == [False, False, True]
