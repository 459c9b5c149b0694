"""The status as recorded clusters tell it, for states of the runtime given as values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from kubelet.actions import Verdicts
from kubelet.podconditions import is_to_be_judged
from kubelet.podstate import ContainerPhase, ContainerState, PodState, SandboxState
from kubelet.podstatus import pod_status
from kubelet.statusinput import StatusInput, Trouble
from kubelet.statuswriter import replacing
from machinery.api.resource import Object

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOLD = "2026-01-01T00:00:00Z"
BOX = SandboxState("box", is_ready=True, attempt=0, created_at=1, ips=("10.0.0.5",))


def pod(old: Object | None = None, **spec: Any) -> Object:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "generation": 1},
        "spec": {"restartPolicy": "Always", "containers": [{"name": "c", "image": "nginx"}], **spec},
        "status": {"phase": "Pending", "qosClass": "BestEffort", **(old or {})},
    }


def told(spec: Object, state: PodState, **given: Any) -> Object:
    return pod_status(spec, state, StatusInput(now=NOW, host_ips=("192.0.2.1",), runtime="x", **given))


def running(attempt: int = 0) -> ContainerState:
    return ContainerState(
        f"c{attempt}", "c", "box", ContainerPhase.RUNNING, attempt, attempt, started_at=NOW, image="i", image_id="id"
    )


def ended(code: int, attempt: int = 0, **more: Any) -> ContainerState:
    return ContainerState(
        f"c{attempt}", "c", "box", ContainerPhase.EXITED, attempt, attempt, NOW, NOW, code, image="i", **more
    )


def conditions(status: Object) -> dict[str, tuple[str, str | None]]:
    return {c["type"]: (c["status"], c.get("reason")) for c in status["conditions"]}


def test_a_pod_that_was_just_bound() -> None:
    status = told(pod(), PodState("u"))
    assert status["phase"] == "Pending"
    assert status["conditions"][0] == {
        "lastProbeTime": None,
        "lastTransitionTime": TOLD,
        "observedGeneration": 1,
        "status": "False",
        "type": "PodReadyToStartContainers",
    }
    assert status["conditions"][2]["message"] == "containers with unready status: [c]"
    assert status["containerStatuses"] == [
        {
            "image": "nginx",
            "imageID": "",
            "lastState": {},
            "name": "c",
            "ready": False,
            "restartCount": 0,
            "started": False,
            "state": {"waiting": {"reason": "ContainerCreating"}},
        }
    ]
    assert status["resources"] == {} and "podIP" not in status


def test_a_running_pod_is_ready_and_has_an_address() -> None:
    status = told(pod(), PodState("u", sandboxes=(BOX,), containers=(running(),)))
    assert status["phase"] == "Running"
    assert status["podIPs"] == [{"ip": "10.0.0.5"}]
    assert conditions(status)["Ready"] == ("True", None)
    assert status["containerStatuses"][0]["containerID"] == "x://c0"


def test_on_the_host_s_network_the_address_is_known_at_once() -> None:
    assert told(pod(hostNetwork=True), PodState("u"))["podIPs"] == [{"ip": "192.0.2.1"}]


def test_a_second_look_changes_nothing() -> None:
    state = PodState("u", sandboxes=(BOX,), containers=(running(),))
    first = told(pod(), state)
    assert told(pod(first), state) == first


def test_a_readiness_probe_that_has_not_spoken_means_not_ready() -> None:
    spec = pod(containers=[{"name": "c", "image": "nginx", "readinessProbe": {}}])
    state = PodState("u", sandboxes=(BOX,), containers=(running(),))
    assert not told(spec, state)["containerStatuses"][0]["ready"]
    assert told(spec, state, verdicts=Verdicts(ready={"c0": True}))["containerStatuses"][0]["ready"]


def test_a_terminal_phase_waits_for_the_sandbox_s_end() -> None:
    spec = pod({"phase": "Running"}, restartPolicy="Never")
    before = told(spec, PodState("u", sandboxes=(BOX,), containers=(ended(0),)))
    assert before["phase"] == "Running"
    assert conditions(before)["Initialized"] == ("True", "PodCompleted")
    after = told(spec, PodState("u", containers=(ended(0),)), has_ended=True)
    assert after["phase"] == "Succeeded"
    assert conditions(after)["PodReadyToStartContainers"] == ("False", None)


def test_a_pod_of_which_nothing_ran_is_never_running() -> None:
    spec = pod(initContainers=[ONE], restartPolicy="Never")
    before = told(spec, PodState("u", sandboxes=(BOX,), containers=(of_init(3),)))
    assert (before["phase"], conditions(before)["Ready"]) == ("Pending", ("False", "PodFailed"))
    after = told(pod(before, **spec["spec"]), PodState("u", containers=(of_init(3),)), has_ended=True)
    assert after["phase"] == "Failed"


@pytest.mark.parametrize("code", [0, 3])
def test_a_pod_runs_while_a_sidecar_does(code: int) -> None:
    side = {"name": "side", "image": "b", "restartPolicy": "Always"}
    spec = pod({"phase": "Running"}, initContainers=[side], restartPolicy="Never")
    runs = replace(running(), id="s0", name="side")
    status = told(spec, PodState("u", sandboxes=(BOX,), containers=(ended(code), runs)))
    assert status["phase"] == "Running"
    assert conditions(status)["Initialized"] == ("True", None)
    assert conditions(status)["Ready"] == ("False", "ContainersNotReady")


def test_a_failed_pod_says_so() -> None:
    spec = pod({"phase": "Running"}, restartPolicy="Never")
    status = told(spec, PodState("u", containers=(ended(7),)), has_ended=True)
    assert status["phase"] == "Failed"
    assert conditions(status)["Ready"] == ("False", "PodFailed")
    assert status["containerStatuses"][0]["state"]["terminated"]["reason"] == "Error"


def test_a_crash_loop_shows_why_and_what_was() -> None:
    state = PodState("u", sandboxes=(BOX,), containers=(ended(3, 1), ended(3, 0)))
    status = told(pod({"phase": "Running"}), state, troubles={"c": Trouble("CrashLoopBackOff", "wait")})
    container = status["containerStatuses"][0]
    assert status["phase"] == "Running"
    assert container["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "wait"}}
    assert container["lastState"]["terminated"]["containerID"] == "x://c1"
    assert container["restartCount"] == 1


def test_init_containers_hold_the_pod_pending() -> None:
    spec = pod(
        initContainers=[{"name": "one", "image": "b"}, {"name": "side", "image": "b", "restartPolicy": "Always"}]
    )
    status = told(spec, PodState("u", sandboxes=(BOX,)))
    assert status["phase"] == "Pending"
    by_type = {c["type"]: c for c in status["conditions"]}
    assert by_type["Initialized"]["message"] == "containers with incomplete status: [one side]"
    assert by_type["Ready"]["message"] == "containers with unready status: [side c]"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_requests_come_from_limits_where_they_lack() -> None:
    resources = {"limits": {"memory": "20Mi"}}
    spec = pod(containers=[{"name": "c", "image": "b", "resources": resources}])
    status = told(spec, PodState("u", sandboxes=(BOX,), containers=(running(),)))
    assert status["allocatedResources"] == {"memory": "20Mi"}
    assert status["containerStatuses"][0]["resources"] == {"limits": {"memory": "20Mi"}, "requests": {"memory": "20Mi"}}


def test_a_container_that_vanished_ended_in_a_way_unknown() -> None:
    status = told(pod({"phase": "Running"}), PodState("u"), has_ended=True)
    assert status["containerStatuses"][0]["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert status["phase"] == "Failed"


WAITS = {"waiting": {"reason": "PodInitializing"}}
UNKNOWN = "ContainerStatusUnknown"
ONE = {"name": "one", "image": "b"}


def of_init(code: int, **more: Any) -> ContainerState:
    return ContainerState("i0", "one", "box", ContainerPhase.EXITED, 0, 0, NOW, NOW, code, image="b", **more)


@pytest.mark.parametrize(
    ("spec", "state", "given", "ends", "initialized", "ready"),
    [
        pytest.param(
            pod(initContainers=[ONE], restartPolicy="Never"),
            (of_init(4),),
            {},
            ["Error", "PodInitializing"],
            ("False", "ContainersNotInitialized"),
            ("False", "PodFailed"),
            id="a failed init container says enough: the main one still waits",
        ),
        pytest.param(
            pod(initContainers=[ONE]),
            (),
            {},
            [UNKNOWN, "PodInitializing"],
            ("False", "ContainersNotInitialized"),
            ("False", "ContainersNotReady"),
            id="deleted before it began",
        ),
        pytest.param(
            pod(),
            (),
            {},
            [UNKNOWN],
            ("True", None),
            ("False", "ContainersNotReady"),
            id="deleted while its image is pulled",
        ),
        pytest.param(
            pod(),
            (),
            {"failure": Trouble("DeadlineExceeded", "late")},
            [UNKNOWN],
            ("True", None),
            ("False", "PodFailed"),
            id="its deadline has passed before it began",
        ),
        pytest.param(
            pod(),
            (ended(3),),
            {"troubles": {"c": Trouble("CrashLoopBackOff", "wait")}},
            [UNKNOWN],
            ("True", None),
            ("False", "PodFailed"),
            id="ended in a crash loop, it waited for its next run",
        ),
        pytest.param(
            pod(
                {"initContainerStatuses": [{"name": "one", "state": {"terminated": {"exitCode": 0}}}]},
                initContainers=[ONE],
            ),
            (of_init(0),),
            {},
            ["Completed", UNKNOWN],
            ("True", None),
            ("False", "ContainersNotReady"),
            id="initialized, but nothing else has begun",
        ),
    ],
)
def test_what_an_ended_pod_tells_of_containers_that_never_ended(
    spec: Object,
    state: tuple[ContainerState, ...],
    given: dict[str, Any],
    ends: list[str],
    initialized: tuple[str, str | None],
    ready: tuple[str, str | None],
) -> None:
    status = told(spec, PodState("u", containers=state), has_ended=True, **given)
    found = [*status.get("initContainerStatuses", ()), *status["containerStatuses"]]
    assert [next(iter(each["state"].values()))["reason"] for each in found] == ends
    assert (conditions(status)["Initialized"], conditions(status)["Ready"]) == (initialized, ready)
    assert status["phase"] == "Failed"


def test_a_deadline_is_told_by_the_conditions_until_all_has_ended() -> None:
    late = Trouble("DeadlineExceeded", "late")
    spec = pod({"phase": "Running"})
    status = told(spec, PodState("u", sandboxes=(BOX,), containers=(running(),)), failure=late)
    assert (status["phase"], "reason" in status) == ("Running", False)
    assert conditions(status)["Ready"] == ("False", "PodFailed")
    after = told(pod(status), PodState("u", containers=(ended(137),)), failure=late, has_ended=True)
    assert (after["phase"], after["reason"], after["message"]) == ("Failed", "DeadlineExceeded", "late")


def test_read_only_mounts_are_told() -> None:
    mounts = [{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/b", "readOnly": True}]
    status = told(pod(containers=[{"name": "c", "volumeMounts": mounts}]), PodState("u"))
    assert status["containerStatuses"][0]["volumeMounts"] == [
        {"name": "a", "mountPath": "/a"},
        {"name": "b", "mountPath": "/b", "readOnly": True, "recursiveReadOnly": "Disabled"},
    ]


def test_readiness_gates_and_foreign_conditions_are_kept() -> None:
    foreign = {"type": "my/gate", "status": "False"}
    spec = pod({"conditions": [foreign]}, readinessGates=[{"conditionType": "my/gate"}])
    status = told(spec, PodState("u", sandboxes=(BOX,), containers=(running(),)))
    assert status["conditions"][0] == foreign
    assert conditions(status)["Ready"] == ("False", "ReadinessGatesNotReady")


def test_a_patch_names_what_the_status_loses() -> None:
    old = {"phase": "Running", "reason": "x", "resources": {"limits": {"memory": "1Mi"}, "requests": {"cpu": "1"}}}
    new = {"phase": "Failed", "resources": {"requests": {"cpu": "2"}}, "podIP": "192.0.2.1"}
    assert replacing(old, new) == {
        "phase": "Failed",
        "reason": None,
        "resources": {"limits": None, "requests": {"cpu": "2"}},
        "podIP": "192.0.2.1",
    }
    assert replacing({"resources": {"limits": {}}}, {"resources": {}}) == {"resources": {"limits": None}}


GATE = {"readinessGates": [{"conditionType": "example.com/in"}]}


@pytest.mark.parametrize(
    ("spec", "changed", "is_asked"),
    [
        ({}, {}, False),
        # As the controller marks the pods of a node that was lost.
        ({}, {"Ready": "False"}, True),
        (GATE, {"example.com/out": "True"}, False),
        # Other words.
        (GATE, {"example.com/in": "False"}, True),
        (GATE, {"example.com/in": "True"}, True),
    ],
)
def test_others_words_on_readiness_are_judged_at_once(spec: Object, changed: dict[str, str], is_asked: bool) -> None:
    status = told(pod(**spec), PodState("u", sandboxes=(BOX,), containers=(running(),)))
    assert status["phase"] == "Running"
    assert not is_to_be_judged(pod(status, **spec))
    there = [{**each, "status": changed.get(each["type"], each["status"])} for each in status["conditions"]]
    known = {each["type"] for each in there}
    added = [{"type": kind, "status": value} for kind, value in changed.items() if kind not in known]
    assert is_to_be_judged(pod({**status, "conditions": [*added, *there]}, **spec)) is is_asked
