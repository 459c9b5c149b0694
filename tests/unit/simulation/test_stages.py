"""What happens next on a simulated node: stages, their delays and weights, the built-in ones."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controllers.plan import Delete, Patch, Plan
from machinery.api.resource import Object
from machinery.api.resources import PODS
from minikube_py.simulation.fast import FAST
from minikube_py.simulation.stages import Lasting, Moment, Scene, Stage, State, chosen, plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TIME = "2026-01-01T00:00:00Z"


def lasting(seconds: float | None) -> Lasting:
    return lambda obj, now: None if seconds is None else timedelta(seconds=seconds)


def stage(name: str, weight: int | None = 0, least: float | None = None, most: float | None = None) -> Stage:
    return Stage(
        name, "Pod", lambda obj: True, lambda obj, scene: (), lambda obj: weight, lasting(least), lasting(most)
    )


@pytest.mark.parametrize(
    ("least", "most", "jitter", "wanted"),
    [
        (None, None, 0.9, 0.0),
        (2.0, None, 0.9, 2.0),
        (2.0, 6.0, 0.5, 4.0),
        (2.0, 1.0, 0.5, 1.0),
        (None, 4.0, 0.25, 1.0),
    ],
)
def test_a_stage_waits_from_its_duration_up_to_its_jitter(
    least: float | None, most: float | None, jitter: float, wanted: float
) -> None:
    moment = Moment(NOW, jitter=jitter)
    assert stage("s", least=least, most=most).delay({}, moment) == timedelta(seconds=wanted)


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ((1, 3), {"a": 25, "b": 75}),
        ((0, 0), {"a": 50, "b": 50}),
        ((0, 5), {"b": 100}),
        ((None, 0), {"b": 100}),
        ((None, None), {"a": 50, "b": 50}),
        ((None, 2), {"b": 100}),
    ],
)
def test_stages_are_chosen_by_their_weights(weights: tuple[int | None, int | None], shares: dict[str, int]) -> None:
    stages = [stage(name, weight) for name, weight in zip("ab", weights, strict=True)]
    drawn = Counter(chosen(stages, {}, Moment(NOW, choice=draw / 100)).name for draw in range(100))
    assert drawn == shares


def test_a_stage_is_carried_out_when_its_delay_is_over() -> None:
    delete = Delete(PODS, ("n", "p"))  # type: ignore[arg-type]
    late = Stage("late", "Pod", lambda obj: True, lambda obj, scene: (delete,), duration=lasting(5), has_delay=True)
    state = State({}, [late], Moment(NOW))
    assert plan(state, NOW + timedelta(seconds=3)) == Plan(requeue_after=2.0)
    assert plan(state, NOW + timedelta(seconds=5)).actions == (delete,)


def pod(phase: str = "Pending", *, deleted: bool = False, owner: str = "", **spec: Any) -> Object:
    metadata: Object = {"name": "p", "namespace": "n", "uid": "u", "generation": 1}
    if deleted:
        metadata["deletionTimestamp"] = TIME
    if owner:
        metadata["ownerReferences"] = [{"kind": owner, "name": "o", "uid": "o"}]
    containers = [{"name": "c", "image": "i"}]
    return {"metadata": metadata, "spec": {"containers": containers, **spec}, "status": {"phase": phase}}


def node(*conditions: Object, **metadata: Any) -> Object:
    return {"metadata": {"name": "s", "uid": "u", **metadata}, "status": {"conditions": list(conditions)}}


READY = {"type": "Ready", "status": "True"}


@pytest.mark.parametrize(
    ("kind", "obj", "stages"),
    [
        ("Node", node(), ["node-initialize"]),
        ("Node", node({"type": "Ready", "status": "Unknown"}), ["node-initialize"]),
        ("Node", node(READY), []),
        ("Pod", pod(), ["pod-ready"]),
        ("Pod", pod(""), ["pod-ready"]),
        ("Pod", pod("Running"), []),
        ("Pod", pod("Running", owner="ReplicaSet"), []),
        ("Pod", pod("Running", owner="Job"), ["pod-complete"]),
        ("Pod", pod("Succeeded", owner="Job"), []),
        ("Pod", pod(deleted=True), ["pod-delete"]),
        ("Pod", pod("Running", deleted=True, owner="Job"), ["pod-delete"]),
    ],
)
def test_the_built_in_stages_are_those_of_kwok(kind: str, obj: Object, stages: list[str]) -> None:
    assert [each.name for each in FAST if each.kind == kind and each.matches(obj)] == stages


def act(name: str, obj: Object) -> Object:
    """What the stage writes into the status."""
    (action,) = next(each for each in FAST if each.name == name).act(obj, Scene(NOW, "198.18.0.1", "100.64.0.1"))
    assert isinstance(action, Patch)
    assert action.subresource == "status"
    assert action.patch["metadata"] == {"uid": "u"}
    return action.patch["status"]


def test_a_pod_runs_with_all_that_its_spec_names() -> None:
    sidecar = {"name": "s", "image": "i", "restartPolicy": "Always"}
    made = pod(initContainers=[{"name": "first", "image": "i"}, sidecar], readinessGates=[{"conditionType": "x/y"}])
    made["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
    status = act("pod-ready", made)
    assert (status["phase"], status["podIP"], status["hostIP"]) == ("Running", "100.64.0.1", "198.18.0.1")
    assert {each["type"]: each["status"] for each in status["conditions"]} == dict.fromkeys(
        ("PodScheduled", "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "x/y"), "True"
    )
    assert status["containerStatuses"][0]["state"] == {"running": {"startedAt": TIME}}
    first, second = status["initContainerStatuses"]
    assert (first["state"]["terminated"]["reason"], first["ready"]) == ("Completed", True)
    assert (list(second["state"]), second["started"]) == (["running"], True)


def test_a_pod_on_the_hosts_network_has_the_nodes_address() -> None:
    assert act("pod-ready", pod(hostNetwork=True))["podIP"] == "198.18.0.1"


def test_a_jobs_pod_has_done_its_work() -> None:
    made = pod("Running", owner="Job")
    made["status"] |= {"conditions": [READY, {"type": "Initialized", "status": "True"}], "startTime": TIME}
    status = act("pod-complete", made)
    assert status["phase"] == "Succeeded"
    ready, initialized = status["conditions"]
    assert (ready["status"], ready["reason"], initialized["status"]) == ("False", "PodCompleted", "True")
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0


def test_a_node_keeps_what_it_says_of_itself() -> None:
    made = node()
    made["status"] |= {"allocatable": {"cpu": "1"}, "nodeInfo": {"kubeletVersion": "mine", "osImage": ""}}
    status = act("node-initialize", made)
    assert status["allocatable"] == {"cpu": "1"}
    assert status["capacity"]["pods"] == "1M"
    assert status["nodeInfo"]["kubeletVersion"] == "mine"
    assert [each["address"] for each in status["addresses"]] == ["198.18.0.1", "s"]


def test_what_is_deleted_goes_at_once() -> None:
    (action,) = next(each for each in FAST if each.name == "pod-delete").act(pod(deleted=True), Scene(NOW))
    assert action == Delete(PODS, ("n", "p", None), uid="u", grace_period_seconds=0)  # type: ignore[arg-type]
