"""What a change of the cluster is to pods that wait: nothing at all, most of the time."""

from __future__ import annotations

import pytest

from machinery.api.resource import Object, Resource
from machinery.api.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PODS
from machinery.client.cache import Change
from scheduler.cluster_events import ClusterEvent, Happened, events_of
from scheduler.pod_info import Shapes
from scheduler.profile import DEFAULT
from tests.unit.scheduler.builders import ZONE, away, near, node, pod, spread

ON_A = pod("q", app="web", cpu="1", nodeName="a")


def over(obj: Object) -> Object:
    return {**obj, "status": {"phase": "Succeeded"}}


@pytest.mark.parametrize(
    ("resource", "before", "after", "expected"),
    [
        (NODES, None, node("a"), [Happened.NODE_ADDED]),
        (NODES, node("a"), {**node("a"), "status": {**node("a")["status"], "conditions": [{}]}}, []),
        (NODES, node("a"), node("a", cpu="3"), [Happened.NODE_ALLOCATABLE]),
        (NODES, node("a"), node("a", zone="1"), [Happened.NODE_LABELS]),
        (NODES, node("a"), node("a", unschedulable=True), [Happened.NODE_TAINTS]),
        (NODES, node("a"), None, []),
        (PODS, None, pod("p"), []),
        (PODS, None, ON_A, [Happened.POD_PLACED]),
        (PODS, pod("q"), ON_A, [Happened.POD_PLACED]),
        (PODS, ON_A, {**ON_A, "status": {"phase": "Running"}}, []),
        (PODS, ON_A, over(ON_A), [Happened.POD_GONE]),
        (PODS, ON_A, None, [Happened.POD_GONE]),
        (PODS, over(ON_A), None, []),
        (PODS, pod("p"), None, []),
        (PODS, ON_A, pod("q", app="db", cpu="1", nodeName="a"), [Happened.POD_LABELS]),
        (PODS, ON_A, pod("q", app="web", cpu="500m", nodeName="a"), [Happened.POD_SHRUNK]),
        (PERSISTENT_VOLUME_CLAIMS, None, {"metadata": {"name": "c"}}, [Happened.CLAIM]),
        (PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "c"}}, None, []),
    ],
)
def test_a_change_is_these_events(
    resource: Resource, before: Object | None, after: Object | None, expected: list[Happened]
) -> None:
    assert [event.happened for event in events_of(Change(resource, before, after))] == expected


LABELLED_1 = ClusterEvent(Happened.NODE_LABELS, node("a"), node("a", zone="1"))
LABELLED_2 = ClusterEvent(Happened.NODE_LABELS, node("a"), node("a", zone="2"))
LONER_GONE = ClusterEvent(Happened.POD_GONE, None, pod("q", affinity=away("db")))
USES = [{"name": "x", "persistentVolumeClaim": {"claimName": "v"}}]
USER_GONE = ClusterEvent(Happened.POD_GONE, None, pod("q", volumes=USES))
CLAIM = {"metadata": {"name": "v", "namespace": pod("p")["metadata"]["namespace"]}}
SKEWED = pod("p", app="web", topologySpreadConstraints=[spread("web")])


@pytest.mark.parametrize(
    ("plugin", "waiting", "event", "helps"),
    [
        ("NodeResourcesFit", pod("p", cpu="1"), ClusterEvent(Happened.NODE_ADDED, None, node("a")), True),
        ("NodeResourcesFit", pod("p", cpu="9"), ClusterEvent(Happened.NODE_ADDED, None, node("a")), False),
        ("NodeResourcesFit", pod("p", cpu="1"), ClusterEvent(Happened.POD_GONE, ON_A, ON_A), True),
        ("NodeResourcesFit", pod("p", cpu="1"), ClusterEvent(Happened.POD_PLACED, None, ON_A), False),
        ("NodeAffinity", pod("p", nodeSelector={ZONE: "1"}), LABELLED_1, True),
        ("NodeAffinity", pod("p", nodeSelector={ZONE: "1"}), LABELLED_2, False),
        ("TaintToleration", pod("p"), ClusterEvent(Happened.NODE_TAINTS, node("a"), node("a")), True),
        ("NodePorts", pod("p", port=80), ClusterEvent(Happened.POD_GONE, pod("q", port=80), pod("q", port=80)), True),
        ("NodePorts", pod("p", port=80), ClusterEvent(Happened.POD_GONE, pod("q", port=81), pod("q", port=81)), False),
        ("PodTopologySpread", SKEWED, ClusterEvent(Happened.POD_PLACED, None, ON_A), True),
        ("PodTopologySpread", SKEWED, ClusterEvent(Happened.POD_PLACED, None, pod("q", app="db")), False),
        ("PodTopologySpread", SKEWED, ClusterEvent(Happened.NODE_ADDED, None, node("a")), False),
        ("InterPodAffinity", pod("p", affinity=near("web")), ClusterEvent(Happened.POD_PLACED, None, ON_A), True),
        ("InterPodAffinity", pod("p", affinity=near("db")), ClusterEvent(Happened.POD_PLACED, None, ON_A), False),
        ("InterPodAffinity", pod("p", app="db"), LONER_GONE, True),
        ("VolumeRestrictions", pod("p", volumes=USES), ClusterEvent(Happened.POD_GONE, None, ON_A), False),
        ("VolumeRestrictions", pod("p", volumes=USES), USER_GONE, True),
        ("VolumeRestrictions", pod("p", volumes=USES), ClusterEvent(Happened.CLAIM, None, CLAIM), True),
        ("VolumeRestrictions", pod("p", volumes=USES), ClusterEvent(Happened.CLAIM, CLAIM, CLAIM), False),
    ],
)
def test_a_plugin_says_what_may_help_a_pod_that_it_refused(
    plugin: str, waiting: Object, event: ClusterEvent, helps: bool
) -> None:
    hint = next(each.hint for each in DEFAULT.plugins if each.name == plugin)
    assert hint is not None
    assert (event.happened in hint.events and hint.helps(Shapes().info(waiting), event)) is helps
