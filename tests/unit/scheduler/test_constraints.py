"""Pods near others, away from others, and spread: which nodes are refused, in upstream's words."""

from __future__ import annotations

import pytest

from machinery.api.resource import Object
from machinery.api.selectors import from_labels
from machinery.structs import replace
from scheduler.framework import Decision
from scheduler.pod_info import Shapes
from scheduler.schedule import schedule
from scheduler.snapshot import Snapshot
from tests.unit.scheduler.builders import HOST, PREFERRED, ZONE, away, near, node, pod, spread, term

NEAR = "node(s) didn't match pod affinity rules"
AWAY = "node(s) didn't match pod anti-affinity rules"
UNWANTED = "node(s) didn't satisfy existing pods anti-affinity rules"
SKEWED = "node(s) didn't match pod topology spread constraints"
UNLABELLED = "node(s) didn't match pod topology spread constraints (missing required label)"

NODES = [node("a", zone="1"), node("b", zone="1"), node("c", zone="2"), node("d")]


def decide(wanted: Object, on: dict[str, list[Object]], nodes: list[Object] | None = None) -> Decision:
    snapshot = Snapshot.of(NODES if nodes is None else nodes, on)
    namespaces = {"n": {"team": "blue"}, "other": {"team": "red"}}
    return schedule(Shapes().info(wanted), replace(snapshot, namespaces=namespaces))


def reasons(decision: Decision) -> dict[str, str]:
    return {name: ", ".join(refusal.reasons) for name, refusal in sorted(decision.refused.items())}


WEB_ON_A = {"a": [pod("web", app="web")]}


@pytest.mark.parametrize(
    ("wanted", "on", "refused"),
    [
        (pod("p", affinity=near("web")), WEB_ON_A, {"c": NEAR, "d": NEAR}),
        (pod("p", affinity=near("web")), {}, dict.fromkeys("abcd", NEAR)),
        # The first of a group that wants to be near itself may start anywhere where the label is.
        (pod("p", app="web", affinity=near("web")), {}, {"d": NEAR}),
        (pod("p", affinity=away("web")), WEB_ON_A, {"a": AWAY}),
        (pod("p", affinity=away("web", ZONE)), WEB_ON_A, {"a": AWAY, "b": AWAY}),
        (pod("p", app="web"), {"a": [pod("q", affinity=away("web", ZONE))]}, {"a": UNWANTED, "b": UNWANTED}),
        (pod("p", app="db"), {"a": [pod("q", affinity=away("web", ZONE))]}, {}),
        # Pods of another namespace count only where the term names it, or selects it by label.
        (pod("p", affinity=away("web")), {"a": [pod("web", app="web", namespace="other")]}, {}),
        (
            pod("p", affinity=away("web", namespaces=["other"])),
            {"a": [pod("web", app="web", namespace="other")]},
            {"a": AWAY},
        ),
        (
            pod("p", affinity=away("web", namespaceSelector={"matchLabels": {"team": "red"}})),
            {"a": [pod("web", app="web", namespace="other")], "b": [pod("web", app="web")]},
            {"a": AWAY},
        ),
        (
            pod("p", app="web", affinity=away("", HOST, labelSelector={}, matchLabelKeys=["app"])),
            {"a": [pod("w", app="web")], "b": [pod("d", app="db")]},
            {"a": AWAY},
        ),
        (
            pod("p", app="web", affinity=away("", HOST, labelSelector={}, mismatchLabelKeys=["app"])),
            {"a": [pod("w", app="web")], "b": [pod("d", app="db")]},
            {"b": AWAY},
        ),
    ],
)
def test_pods_near_and_away(wanted: Object, on: dict[str, list[Object]], refused: dict[str, str]) -> None:
    assert reasons(decide(wanted, on)) == refused


@pytest.mark.parametrize(
    ("constraint", "on", "refused"),
    [
        (spread("web"), WEB_ON_A, {"a": SKEWED, "b": SKEWED, "d": UNLABELLED}),
        (spread("web", maxSkew=2), WEB_ON_A, {"d": UNLABELLED}),
        (spread("web", HOST), WEB_ON_A, {"a": SKEWED}),
        # As long as there are fewer zones than asked for, the emptiest counts as empty.
        (
            spread("web", minDomains=3),
            {"a": [pod("1", app="web")], "c": [pod("2", app="web")]},
            {"a": SKEWED, "b": SKEWED, "c": SKEWED, "d": UNLABELLED},
        ),
        # Terminating pods and those of other namespaces are not counted.
        (spread("web"), {"a": [pod("web", app="web", namespace="other")]}, {"d": UNLABELLED}),
        (spread("", labelSelector={}, matchLabelKeys=["app"]), {"a": [pod("x", app="db")]}, {"d": UNLABELLED}),
    ],
)
def test_pods_spread(constraint: Object, on: dict[str, list[Object]], refused: dict[str, str]) -> None:
    wanted = pod("p", app="web", topologySpreadConstraints=[constraint])
    assert reasons(decide(wanted, on)) == refused


@pytest.mark.parametrize(
    ("policies", "refused"),
    [
        # Zone 2 is out of reach: it counts as a domain only where its nodes are counted nevertheless.
        ({}, "node(s) didn't match Pod's node affinity/selector"),
        ({"nodeAffinityPolicy": "Ignore"}, "node(s) didn't match Pod's node affinity/selector"),
    ],
)
def test_nodes_that_the_pod_cannot_use_count_as_the_policy_says(policies: Object, refused: str) -> None:
    constraint = spread("web", **policies)
    wanted = pod("p", app="web", topologySpreadConstraints=[constraint], nodeSelector={ZONE: "1"})
    decision = decide(wanted, WEB_ON_A)
    assert reasons(decision)["c"] == refused
    assert bool(decision.node) is not bool(policies)


def test_tainted_nodes_count_unless_the_policy_honors_taints() -> None:
    taint = {"key": "k", "effect": "NoSchedule"}
    nodes = [node("a", zone="1"), node("c", zone="2", taints=[taint])]
    for policy, goes_to in (("Ignore", ""), ("Honor", "a")):
        constraint = spread("web", nodeTaintsPolicy=policy)
        wanted = pod("p", app="web", topologySpreadConstraints=[constraint])
        assert decide(wanted, {"a": [pod("web", app="web")]}, nodes).node == goes_to


def test_preferences_for_pods_decide_between_equal_nodes() -> None:
    nodes = [node("a", zone="1"), node("c", zone="2")]
    for name, goes_to in (("podAffinity", "a"), ("podAntiAffinity", "c")):
        preferred = {name: {PREFERRED: [{"weight": 10, "podAffinityTerm": term("web", ZONE)}]}}
        assert decide(pod("p", affinity=preferred), {"a": [pod("web", app="web")]}, nodes).node == goes_to


def test_a_pod_that_is_wanted_near_goes_there() -> None:
    preferred = {"podAffinity": {PREFERRED: [{"weight": 10, "podAffinityTerm": term("web", ZONE)}]}}
    nodes = [node("a", zone="1"), node("c", zone="2")]
    assert decide(pod("p", app="web"), {"c": [pod("q", affinity=preferred)]}, nodes).node == "c"


def test_the_pods_of_a_service_or_an_owner_are_spread_by_default() -> None:
    nodes = [node("a", zone="1"), node("c", zone="2", cpu="1")]
    snapshot = Snapshot.of(nodes, {"a": [pod("web", app="web")]})
    info = Shapes().info(pod("p", app="web", cpu="100m"))
    assert schedule(info, snapshot).node == "a"
    assert schedule(info, replace(snapshot, owner_selector=from_labels({"app": "web"}))).node == "c"


def test_a_pod_that_names_its_node_is_told_so_of_the_others() -> None:
    fields = [{"key": "metadata.name", "operator": "In", "values": ["b"]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": fields}]}}
    decision = decide(pod("p", cpu="9", affinity={"nodeAffinity": required}), {})
    assert decision.message == (
        "0/4 nodes are available: 1 Insufficient cpu, 3 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )
