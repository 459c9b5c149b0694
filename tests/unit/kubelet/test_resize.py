"""Which resizes are carried out, which wait, and how they are told: cases as upstream decides and words them."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet.podstate import ContainerPhase, ContainerState, PodState
from kubelet.resize import conditions, plan_resize, summary
from kubelet.statusinput import Trouble
from machinery.api.resource import Object

NODE = {"cpu": "2", "memory": "1Gi", "pods": "110"}


def pod(resources: Object, had: Object | None = None, name: str = "p", **container: Any) -> Object:
    told = {"name": "c", "containerID": "x://c0", "resources": had} if had is not None else {"name": "c"}
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": name, "generation": 2},
        "spec": {"containers": [{"name": "c", "resources": resources, **container}]},
        "status": {"phase": "Running", "qosClass": "Burstable", "containerStatuses": [told]},
    }


def asks(cpu: str = "", memory: str = "") -> Object:
    return {"requests": {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value}}


RUNNING = PodState("p", containers=(ContainerState("c0", "c", "box", ContainerPhase.RUNNING),))


@pytest.mark.parametrize(
    ("wanted", "had", "changes"),
    [
        (asks("200m"), asks("100m"), True),
        (asks("100m"), asks("100m"), False),
        (asks("1"), asks("1000m"), False),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}, False),
        ({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}, {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}, True),
        ({"requests": {"ephemeral-storage": "1Gi"}}, {}, False),
    ],
)
def test_only_other_amounts_of_cpu_and_memory_are_a_resize(wanted: Object, had: Object, changes: bool) -> None:  # noqa: FBT001
    found = plan_resize(pod(wanted, had), RUNNING, [], NODE)
    assert bool(found.changes) == changes
    assert found.before == ({"c": had} if changes else {})


def test_a_container_that_was_never_told_starts_with_what_its_spec_says() -> None:
    assert plan_resize(pod(asks("200m")), RUNNING, [], NODE).changes == ()
    gone = PodState("p", containers=(ContainerState("c0", "c", "box", ContainerPhase.EXITED),))
    assert plan_resize(pod(asks("200m"), asks("100m")), gone, [], NODE).changes == ()


@pytest.mark.parametrize(
    ("wanted", "pending"),
    [
        (asks("3"), Trouble("Infeasible", "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000")),
        (
            asks("1500m"),
            Trouble("Deferred", "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000"),
        ),
        (
            asks("500m", "2Gi"),
            Trouble(
                "Infeasible", "Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824"
            ),
        ),
    ],
)
def test_what_the_node_can_t_give_leaves_all_as_it_was(wanted: Object, pending: Trouble) -> None:
    other = pod(asks("1"), name="other")
    found = plan_resize(pod(wanted, asks("500m")), RUNNING, [other], NODE)
    assert (found.pending, found.changes) == (pending, ())
    assert found.pod["spec"]["containers"][0]["resources"] == asks("500m")


def test_a_policy_asks_for_a_restart_where_its_resource_changes() -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    cpu = plan_resize(pod(asks("2", "1Mi"), asks("1", "1Mi"), resizePolicy=policy), RUNNING, [], NODE)
    assert [change.needs_restart for change in cpu.changes] == [False]
    memory = plan_resize(pod(asks("1", "2Mi"), asks("1", "1Mi"), resizePolicy=policy), RUNNING, [], NODE)
    assert [change.needs_restart for change in memory.changes] == [True]


def test_events_sum_the_containers_up() -> None:
    side = {"name": "s", "restartPolicy": "Always", "resources": {"limits": {"memory": "1Mi", "cpu": "1"}}}
    whole = pod(asks("200m", "50Mi"))
    assert summary(whole) == (
        '{"containers":[{"name":"c","resources":{"requests":{"cpu":"200m","memory":"50Mi"}}}],"generation":2}'
    )
    whole["spec"]["initContainers"] = [side]
    assert summary(whole, "no").startswith(
        '{"initContainers":[{"name":"s","resources":{"limits":{"cpu":"1","memory":"1Mi"}}}],"containers":'
    )
    assert summary(whole, "no").endswith('"generation":2,"error":"no"}')


def test_conditions_of_a_resize() -> None:
    found = conditions(pod({}), in_progress=True, pending=Trouble("Deferred", "later"))
    assert [(each["type"], each.get("reason")) for each in found] == [
        ("PodResizePending", "Deferred"),
        ("PodResizeInProgress", None),
    ]
    assert conditions(pod({}), in_progress=False, pending=None) == []
