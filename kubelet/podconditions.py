"""A pod's phase and conditions, from its containers' statuses. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from kubelet import podspec
from kubelet.actions import restarts_after
from kubelet.podstate import PodState
from kubelet.statusinput import StatusInput, Trouble, timestamp
from machinery.api.disruption import DISRUPTION_TARGET
from machinery.api.resource import Object

_OF_RESIZE = {"PodResizePending", "PodResizeInProgress"}
_TIMES = ("lastProbeTime", "lastTransitionTime")


def pod_phase(pod: Object, init: list[Object], main: list[Object], *, ended: bool) -> str:
    """`ended`: nothing runs any more, nor will again; a pod whose containers never began is Pending all the same."""
    plain = [
        (status, spec)
        for status, spec in zip(init, podspec.init_containers(pod), strict=True)
        if not podspec.is_sidecar(spec)
    ]
    sidecars = _of_sidecars(pod, init)
    codes = [(spec, (status["state"].get("terminated") or {}).get("exitCode", 0)) for status, spec in plain]
    if any(code and not restarts_after(pod, spec, code, has_succeeded=False) for spec, code in codes):
        return "Failed"
    if any(not status["ready"] for status, _ in plain) and not _has_begun(main):
        return "Pending"
    if any("waiting" in s["state"] and not s["lastState"].get("terminated") for s in main):
        return "Pending"
    if any("running" in s["state"] for s in (*sidecars, *main)):
        return "Running"
    if ended:
        done = [s["state"].get("terminated") for s in main]
        return "Succeeded" if done and all(t is not None and t["exitCode"] == 0 for t in done) else "Failed"
    return _phase_of_ended(pod, main)


def _phase_of_ended(pod: Object, main: list[Object]) -> str:
    """None of the main containers runs now."""
    codes = [
        (spec, found["exitCode"])
        for status, spec in zip(main, podspec.containers(pod), strict=True)
        if (found := status["state"].get("terminated") or status["lastState"].get("terminated"))
    ]
    if not codes:
        return "Pending"
    if any(restarts_after(pod, spec, code, has_succeeded=code == 0) for spec, code in codes):
        return "Running"
    return "Failed" if any(code for _, code in codes) else "Succeeded"


def _has_begun(main: list[Object]) -> bool:
    return any("waiting" not in status["state"] or status["lastState"] for status in main)


def pod_conditions(
    pod: Object, state: PodState, init: list[Object], main: list[Object], final: str, given: StatusInput
) -> list[Object]:
    old = {condition["type"]: condition for condition in (pod.get("status") or {}).get("conditions") or ()}
    ready = _containers_ready(pod, init, main, final)
    found: list[Object] = [
        {"type": "PodReadyToStartContainers", "status": "True" if state.sandbox is not None else "False"},
        _initialized(pod, init, main, final),
        {"type": "Ready", **_with_gates(pod, ready, old)},
        {"type": "ContainersReady", **ready},
        {"type": "PodScheduled", "status": "True"},
    ]
    if given.failure is not None and (said := _disruption(given.failure)):
        why = {"reason": "TerminationByKubelet", "message": said}
        found.insert(0, {"type": DISRUPTION_TARGET, "status": "True", **why})
    known = {condition["type"] for condition in found} | _OF_RESIZE
    whole = [_dated(condition, old.get(condition["type"]), pod, given.now) for condition in found]
    resizing = [_probed(condition, old.get(condition["type"]), given.now) for condition in given.resizing.conditions]
    # Those of others come first, as upstream writes them.
    return [*(condition for kind, condition in old.items() if kind not in known), *resizing, *whole]


def is_to_be_judged(pod: Object) -> bool:
    """Whether others have changed what Ready hangs on, or Ready itself: a gate, or the mark of a node that was lost."""
    status = pod.get("status") or {}
    told = {condition["type"]: condition for condition in status.get("conditions") or ()}
    if status.get("phase") != "Running" or "Ready" not in told or "ContainersReady" not in told:
        return False
    ready = _with_gates(pod, told["ContainersReady"], told)
    return any((ready.get(key) or "") != (told["Ready"].get(key) or "") for key in ("status", "message"))


def _disruption(failure: Trouble) -> str:
    """What is told of a pod that the node gave up; empty where it failed by itself."""
    if failure.reason == "Preempting":
        return "Pod was preempted by Kubelet to accommodate a critical pod."
    return failure.message if failure.reason == "Evicted" else ""


def _probed(condition: Object, old: Object | None, now: datetime) -> Object:
    """Upstream sets both times of a resize's condition when it first sets it."""
    same = old is not None and {**old, **condition} == old
    first = {key: old[key] if same and old is not None else timestamp(now) for key in _TIMES}
    return {**first, **condition}


def _dated(condition: Object, old: Object | None, pod: Object, now: datetime) -> Object:
    is_same = old is not None and old.get("status") == condition["status"]
    since = old["lastTransitionTime"] if is_same and old is not None else timestamp(now)
    return {
        "lastProbeTime": None,
        "lastTransitionTime": since,
        "observedGeneration": podspec.generation(pod),
        **condition,
    }


def _containers_ready(pod: Object, init: list[Object], main: list[Object], final: str) -> Object:
    if final == "Succeeded":
        return {"status": "False", "reason": "PodCompleted"}
    if final == "Failed":
        return {"status": "False", "reason": "PodFailed"}
    unready = [status["name"] for status in (*_of_sidecars(pod, init), *main) if not status["ready"]]
    if not unready:
        return {"status": "True"}
    message = f"containers with unready status: [{' '.join(unready)}]"
    return {"status": "False", "reason": "ContainersNotReady", "message": message}


def _of_sidecars(pod: Object, init: list[Object]) -> list[Object]:
    specs = podspec.init_containers(pod)
    return [status for status, spec in zip(init, specs, strict=True) if podspec.is_sidecar(spec)]


def _with_gates(pod: Object, ready: Object, old: Mapping[str, Object]) -> Object:
    if ready["status"] != "True":
        return ready
    lacking: list[str] = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        if kind not in old:
            lacking.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif old[kind].get("status") != "True":
            lacking.append(f'the status of pod readiness gate "{kind}" is not "True", but {old[kind].get("status")}')
    if not lacking:
        return ready
    return {"status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(lacking)}


def _initialized(pod: Object, init: list[Object], main: list[Object], final: str) -> Object:
    if final == "Succeeded":
        return {"type": "Initialized", "status": "True", "reason": "PodCompleted"}
    if _has_begun(main):
        return {"type": "Initialized", "status": "True"}
    incomplete = [
        status["name"]
        for status, spec in zip(init, podspec.init_containers(pod), strict=True)
        if not (status["started"] if podspec.is_sidecar(spec) else status["ready"])
    ]
    if not incomplete:
        return {"type": "Initialized", "status": "True"}
    message = f"containers with incomplete status: [{' '.join(incomplete)}]"
    return {"type": "Initialized", "status": "False", "reason": "ContainersNotInitialized", "message": message}
