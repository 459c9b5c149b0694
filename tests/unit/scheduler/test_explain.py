"""What `explain-pending` says of a pod: each filter that stands against it on each node, and what would help."""

from __future__ import annotations

import pytest

from machinery.api.resource import Object, Resource
from machinery.api.resources import NODES, PODS
from machinery.client.cache import Change
from scheduler.cluster import Cluster
from scheduler.explain import Explanation, explain
from tests.unit.scheduler.builders import node, pod


class Nothing:
    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return None

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return []


def explained(wanted: Object, *nodes: Object, on: dict[str, list[Object]] | None = None) -> Explanation:
    cluster = Cluster(Nothing())
    for each in nodes:
        cluster.see(Change(NODES, None, each))
    for name, pods in (on or {}).items():
        for each in pods:
            cluster.see(Change(PODS, None, {**each, "spec": {**each["spec"], "nodeName": name}}))
    return explain(wanted, cluster)


@pytest.mark.parametrize(
    ("wanted", "there", "plugin", "helps"),
    [
        (pod("p"), node("a", unschedulable=True), "NodeUnschedulable", "kubectl uncordon a"),
        (
            pod("p"),
            node("a", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]),
            "TaintToleration",
            "a toleration of k=v:NoSchedule in the pod, or kubectl taint nodes a k-",
        ),
        (pod("p", nodeSelector={"disk": "ssd"}), node("a"), "NodeAffinity", "kubectl label nodes a disk=ssd"),
        (pod("p", cpu="2500m"), node("a"), "NodeResourcesFit", "cpu: the pod asks for 2500m, 2 of 2 is free"),
        (pod("p"), node("a", pods="0"), "NodeResourcesFit", "it has its 0 pods"),
    ],
)
def test_a_filter_says_what_would_help(wanted: Object, there: Object, plugin: str, helps: str) -> None:
    (verdict,) = explained(wanted, there).nodes["a"]
    assert (verdict.plugin, verdict.helps) == (plugin, helps)


def test_every_filter_is_told_not_only_the_first() -> None:
    found = explained(pod("p", cpu="3", nodeSelector={"disk": "ssd"}), node("a", unschedulable=True), node("b"))
    assert [verdict.plugin for verdict in found.nodes["a"]] == ["NodeUnschedulable", "NodeAffinity", "NodeResourcesFit"]
    assert [verdict.plugin for verdict in found.nodes["b"]] == ["NodeAffinity", "NodeResourcesFit"]
    assert found.summary.startswith("0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector")


def test_who_holds_a_port_is_named() -> None:
    (verdict,) = explained(pod("p", port=80), node("a"), on={"a": [pod("q", port=80)]}).nodes["a"]
    assert verdict.helps == "another hostPort, or the end of n/q"


def test_whom_it_would_evict_is_named() -> None:
    found = explained(pod("p", cpu="2", priority=9), node("a"), on={"a": [pod("q", cpu="1")]})
    assert found.helps == "less important pods make room on a: n/q"


@pytest.mark.parametrize(
    ("wanted", "summary"),
    [
        (pod("p", nodeName="a"), "it is on node a: no scheduler looks at it any more"),
        (pod("p", schedulingGates=[{"name": "x/y"}]), "it is held back by scheduling gates: x/y"),
        (pod("p", schedulerName="mine"), "it waits for the scheduler 'mine', which is not part of this cluster"),
        (pod("p"), "it would go to node a now"),
    ],
)
def test_where_no_filter_stands_against_it_that_is_told(wanted: Object, summary: str) -> None:
    assert explained(wanted, node("a")).summary == summary


def test_a_claim_that_is_missing_is_told_without_any_node() -> None:
    wanted = pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "v"}}])
    found = explained(wanted, node("a"))
    assert (found.helps, dict(found.nodes)) == ("making the claim", {})
