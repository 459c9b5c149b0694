"""What a worker decides, case by case: (spec, what runs) -> what to start, kill, remove."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kubelet.actions import PodActions, Verdicts, compute_pod_actions, restarts
from kubelet.podstate import ContainerPhase, ContainerState, PodState, SandboxState
from machinery.api.resource import Object

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOX = SandboxState("box", is_ready=True, attempt=0, created_at=1)
DEAD_BOX = SandboxState("old", is_ready=False, attempt=0, created_at=1)


def pod(policy: str = "Always", init: list[Object] | None = None, **spec: Any) -> Object:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {"restartPolicy": policy, "initContainers": init or [], "containers": [{"name": "c"}], **spec},
    }


def ran(name: str = "c", code: int = 0, attempt: int = 0, box: str = "box") -> ContainerState:
    return ContainerState(
        f"{name}{attempt}", name, box, ContainerPhase.EXITED, attempt, attempt, exit_code=code, finished_at=NOW
    )


def runs(name: str = "c", attempt: int = 0, box: str = "box") -> ContainerState:
    return ContainerState(f"{name}{attempt}", name, box, ContainerPhase.RUNNING, attempt, attempt)


def state(*containers: ContainerState, box: SandboxState | None = BOX) -> PodState:
    return PodState("u", "p", "ns", (box,) if box else (), containers)


def names(actions: PodActions) -> list[str]:
    return [start.name for start in actions.start]


def test_a_new_pod_gets_a_sandbox_and_its_containers() -> None:
    actions = compute_pod_actions(pod(), state(box=None), NOW)
    assert (actions.new_sandbox, names(actions)) == (0, ["c"])


def test_a_running_pod_needs_nothing() -> None:
    assert compute_pod_actions(pod(), state(runs()), NOW) == PodActions()


@pytest.mark.parametrize(
    ("policy", "code", "restarted", "finished"),
    [
        ("Always", 0, True, False),
        ("Always", 1, True, False),
        ("OnFailure", 0, False, True),
        ("OnFailure", 1, True, False),
        ("Never", 0, False, True),
        ("Never", 1, False, True),
    ],
)
def test_the_restart_policy_decides_on_what_has_ended(policy: str, code: int, restarted: bool, finished: bool) -> None:
    actions = compute_pod_actions(pod(policy), state(ran(code=code)), NOW)
    assert (names(actions) == ["c"], actions.finished) == (restarted, finished)
    if restarted:
        assert actions.start[0].attempt == 1
        assert actions.start[0].ended == ran(code=code)


def test_init_containers_come_one_by_one() -> None:
    spec = pod(init=[{"name": "a"}, {"name": "b"}])
    assert names(compute_pod_actions(spec, state(box=None), NOW)) == ["a"]
    assert names(compute_pod_actions(spec, state(runs("a")), NOW)) == []
    assert names(compute_pod_actions(spec, state(ran("a")), NOW)) == ["b"]
    assert names(compute_pod_actions(spec, state(ran("b"), ran("a")), NOW)) == ["c"]
    assert names(compute_pod_actions(spec, state(runs(), ran("b"), ran("a")), NOW)) == []


def test_a_failed_init_container_is_tried_again_or_fails_the_pod() -> None:
    failed = state(ran("a", code=1))
    assert names(compute_pod_actions(pod(init=[{"name": "a"}]), failed, NOW)) == ["a"]
    assert compute_pod_actions(pod("Never", init=[{"name": "a"}]), failed, NOW).finished


def test_a_sidecar_is_waited_for_until_it_has_started() -> None:
    side = {"name": "side", "restartPolicy": "Always", "startupProbe": {}}
    spec = pod(init=[side])
    running = state(runs("side"))
    assert names(compute_pod_actions(spec, running, NOW)) == []
    assert names(compute_pod_actions(spec, running, NOW, Verdicts(started={"side0": True}))) == ["c"]


def test_a_dead_sidecar_comes_back_beside_the_main_container() -> None:
    spec = pod(init=[{"name": "side", "restartPolicy": "Always"}])
    assert names(compute_pod_actions(spec, state(runs(), ran("side", code=1)), NOW)) == ["side"]


SIDE = {"name": "side", "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("spec", "verdicts", "kills", "starts"),
    [
        (
            pod(),
            Verdicts(unhealthy={"c0": "liveness"}),
            ["Container c failed liveness probe, will be restarted"],
            ["c"],
        ),
        (pod(), Verdicts(unhealthy={"c0": "startup"}), ["Container c failed startup probe, will be restarted"], ["c"]),
        (pod(), Verdicts(resized={"c0"}), ["Container c resize requires restart"], ["c"]),
        (pod("Never"), Verdicts(resized={"c0"}), ["Container c resize requires restart"], ["c"]),
        (pod("Never"), Verdicts(unhealthy={"c0": "liveness"}), ["Stopping container c"], []),
        (
            pod("Never", containers=[{"name": "c"}, {"name": "side"}]),
            Verdicts(unhealthy={"c0": "liveness"}),
            ["Container c failed liveness probe"],
            [],
        ),
        (
            pod(init=[SIDE]),
            Verdicts(unhealthy={"side0": "liveness"}),
            ["Init container side failed liveness probe"],
            ["side"],
        ),
        (pod(init=[SIDE]), Verdicts(resized={"side0"}), ["Init container side resize requires restart"], ["side"]),
        (
            pod("Never", init=[SIDE]),
            Verdicts(unhealthy={"c0": "liveness", "side0": "liveness"}),
            ["Stopping container c", "Stopping container side"],
            [],
        ),
        (
            pod("Never", init=[SIDE]),
            Verdicts(unhealthy={"c0": "liveness"}),
            ["Stopping container c", "Stopping container side"],
            [],
        ),
    ],
)
def test_what_is_said_of_a_running_container_that_has_to_end(
    spec: Object, verdicts: Verdicts, kills: list[str], starts: list[str]
) -> None:
    running = [runs(each["name"]) for each in (*spec["spec"]["containers"], *spec["spec"]["initContainers"])]
    actions = compute_pod_actions(spec, state(*running), NOW, verdicts)
    assert [kill.message for kill in actions.kill] == kills
    assert [(start.name, start.attempt, start.ended) for start in actions.start] == [(name, 1, None) for name in starts]


def test_a_main_container_is_killed_also_while_a_sidecar_comes_back() -> None:
    unhealthy = Verdicts(unhealthy={"c0": "liveness"})
    actions = compute_pod_actions(pod(init=[SIDE]), state(runs(), ran("side", code=1)), NOW, unhealthy)
    assert [kill.container.id for kill in actions.kill] == ["c0"]
    assert names(actions) == ["side", "c"]


def test_a_changed_image_replaces_the_container() -> None:
    changed = ContainerState("c0", "c", "box", ContainerPhase.RUNNING, hash="another")
    actions = compute_pod_actions(pod(), state(changed), NOW)
    assert [kill.message for kill in actions.kill] == ["Container c definition changed, will be restarted"]


def test_a_dead_sandbox_takes_its_containers_with_it() -> None:
    actions = compute_pod_actions(pod(), state(runs(box="old"), box=DEAD_BOX), NOW)
    assert (actions.new_sandbox, actions.stop_sandboxes, names(actions)) == (1, ("old",), ["c"])
    assert [kill.container.id for kill in actions.kill] == ["c0"]


def test_only_two_dead_containers_of_a_name_are_kept() -> None:
    dead = [ran(code=1, attempt=attempt) for attempt in (3, 2, 1)]
    assert compute_pod_actions(pod(), state(*dead), NOW).remove == ("c1",)
    assert compute_pod_actions(pod(), state(runs(attempt=4), *dead), NOW).remove == ("c1", "c2")


def test_a_deadline_ends_the_pod_and_is_waited_for() -> None:
    spec = pod(activeDeadlineSeconds=60)
    spec["status"] = {"startTime": "2026-01-01T00:00:00Z"}
    assert compute_pod_actions(spec, state(runs()), NOW).look_again == NOW + timedelta(seconds=60)
    assert compute_pod_actions(spec, state(runs()), NOW + timedelta(seconds=60)).finished


def test_an_ephemeral_container_is_started_once() -> None:
    spec = pod(ephemeralContainers=[{"name": "debug"}])
    assert names(compute_pod_actions(spec, state(runs()), NOW)) == ["debug"]
    assert names(compute_pod_actions(spec, state(ran("debug"), runs()), NOW)) == []


RESTART_ON_42 = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
RESTART_UNLESS_1 = [{"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [1]}}]


@pytest.mark.parametrize(
    ("of_pod", "container", "code", "again"),
    [
        ("Always", {}, 0, True),
        ("OnFailure", {}, 0, False),
        ("OnFailure", {}, 1, True),
        ("Never", {}, 1, False),
        ("Never", {"restartPolicy": "Always"}, 0, True),
        ("Always", {"restartPolicy": "Never"}, 1, False),
        ("Always", {"restartPolicy": "OnFailure"}, 0, False),
        ("Never", {"restartPolicy": "Never", "restartPolicyRules": RESTART_ON_42}, 42, True),
        ("Never", {"restartPolicy": "Never", "restartPolicyRules": RESTART_ON_42}, 1, False),
        ("Never", {"restartPolicy": "Never", "restartPolicyRules": RESTART_UNLESS_1}, 2, True),
        ("Never", {"restartPolicy": "Never", "restartPolicyRules": RESTART_UNLESS_1}, 1, False),
    ],
)
def test_a_container_s_own_rules_and_policy_come_before_its_pod_s(
    of_pod: str,
    container: Object,
    code: int,
    again: bool,  # noqa: FBT001
) -> None:
    ended = ContainerState("c0", "c", "box", ContainerPhase.EXITED, exit_code=code)
    found = {"metadata": {}, "spec": {"restartPolicy": of_pod}}
    assert restarts(found, {"name": "c", **container}, ended) == again
