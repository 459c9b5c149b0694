"""What `kubectl get pods` says of a pod: the Status column tells containers' reasons before the phase."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from apiserver.columns.cell import NONE, Cell, at, holds, since
from machinery.api.resource import Object


class _Told(NamedTuple):
    """What statuses of containers come to: the reason that is shown, "" for none, and those of them that count."""

    reason: str
    ready: int
    counted: list[Object]


def ready(pod: Object, now: datetime) -> str:
    """Ready containers of all, restartable init containers (sidecars) counted with them."""
    total = len((pod.get("spec") or {}).get("containers") or []) + len(_sidecars(pod))
    return f"{_told(pod).ready}/{total}"


def status(pod: Object, now: datetime) -> str:
    told = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        if told.get("reason") == "NodeLost":
            return "Unknown"
        if told.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return _told(pod).reason


def restarts(pod: Object, now: datetime) -> str:
    """The sum of restarts, and how long ago the last one was; those of init containers while they run alone."""
    counted = _told(pod).counted
    total = sum(c.get("restartCount", 0) for c in counted)
    ends = [((c.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for c in counted]
    last = max((end for end in ends if end), default=None)
    return f"{total} ({since(last, now)} ago)" if total and last else str(total)


def conditions(pod: Object) -> list[Object]:
    """Marks the rows of pods that have ended, for clients that show them with less weight."""
    return _ENDED.get((pod.get("status") or {}).get("phase", ""), [])


def _ended(phase: str, message: str) -> list[Object]:
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}]


_ENDED = {
    "Succeeded": _ended("Succeeded", "The pod has completed successfully."),
    "Failed": _ended("Failed", "The pod failed."),
}


def _told(pod: Object) -> _Told:
    init = _of_init_containers(pod)
    if init.reason and not holds(pod, "Initialized"):
        return init
    sidecars = [c for c in init.counted if c["name"] in _sidecars(pod)]
    main = _of_containers(pod, init.reason or _of_pod(pod))
    return _Told(main.reason, init.ready + main.ready, [*sidecars, *main.counted])


def _of_pod(pod: Object) -> str:
    told = pod.get("status") or {}
    gates = [c for c in told.get("conditions") or [] if c["type"] == "PodScheduled"]
    if any(c.get("reason") == "SchedulingGated" for c in gates):
        return "SchedulingGated"
    return str(told.get("reason") or told.get("phase") or "")


def _sidecars(pod: Object) -> set[str]:
    init = (pod.get("spec") or {}).get("initContainers") or []
    return {c["name"] for c in init if c.get("restartPolicy") == "Always"}


def _of_init_containers(pod: Object) -> _Told:
    """Up to the first that is not done, whose `Init:…` is the reason."""
    sidecars, is_ready, counted = _sidecars(pod), 0, []
    for number, told in enumerate((pod.get("status") or {}).get("initContainerStatuses") or []):
        counted.append(told)
        state = told.get("state") or {}
        if state.get("terminated") is not None and not state["terminated"].get("exitCode"):
            continue
        if told["name"] in sidecars and told.get("started"):
            is_ready += bool(told.get("ready"))
            continue
        total = len((pod.get("spec") or {}).get("initContainers") or [])
        return _Told(f"Init:{_unfinished(state) or f'{number}/{total}'}", is_ready, counted)
    return _Told("", is_ready, counted)


def _unfinished(state: Object) -> str:
    """Why an init container doesn't run, "" where it does or is about to."""
    terminated, waiting = state.get("terminated"), state.get("waiting") or {}
    if terminated is not None:
        return str(terminated.get("reason") or _exit(terminated))
    return "" if waiting.get("reason") == "PodInitializing" else str(waiting.get("reason") or "")


def _of_containers(pod: Object, reason: str) -> _Told:
    statuses, running = (pod.get("status") or {}).get("containerStatuses") or [], 0
    for told in reversed(statuses):
        state = told.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if waiting is not None and waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated is not None:
            reason = terminated.get("reason") or _exit(terminated)
        elif told.get("ready") and "running" in state:
            running += 1
    if reason == "Completed" and running:
        reason = "Running" if holds(pod, "Ready") else "NotReady"
    return _Told(reason, running, statuses)


def _exit(terminated: Object) -> str:
    signal = terminated.get("signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode', 0)}"


def ip(pod: Object, now: datetime) -> str:
    told = pod.get("status") or {}
    ips = told.get("podIPs") or []
    return str(ips[0]["ip"] if ips else told.get("podIP") or NONE)


def readiness_gates(pod: Object, now: datetime) -> str:
    gates = (pod.get("spec") or {}).get("readinessGates") or []
    if not gates:
        return NONE
    true = {c["type"] for c in (pod.get("status") or {}).get("conditions") or [] if c["status"] == "True"}
    return f"{sum(gate['conditionType'] in true for gate in gates)}/{len(gates)}"


PODS: dict[str, Cell] = {
    "Ready": ready,
    "Status": status,
    "Restarts": restarts,
    "IP": ip,
    "Node": lambda pod, now: (pod.get("spec") or {}).get("nodeName") or NONE,
    "Nominated Node": at("status", "nominatedNodeName", default=NONE),
    "Readiness Gates": readiness_gates,
}
