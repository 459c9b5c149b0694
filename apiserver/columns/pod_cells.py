"""What `kubectl get pods` says of a pod: the Status column tells containers' reasons before the phase."""

from __future__ import annotations

from datetime import datetime

from apiserver.columns.cell import NONE, Cell, at, since
from machinery.api.resource import Object


def ready(pod: Object, now: datetime) -> str:
    """Ready containers of all, restartable init containers (sidecars) counted with them."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = {c["name"] for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    total = len(spec.get("containers") or []) + len(sidecars)
    done = sum(
        bool(c.get("ready")) and "running" in (c.get("state") or {}) for c in status.get("containerStatuses") or []
    )
    done += sum(bool(c.get("ready")) for c in status.get("initContainerStatuses") or [] if c["name"] in sidecars)
    return f"{done}/{total}"


def status(pod: Object, now: datetime) -> str:
    told = pod.get("status") or {}
    reason = told.get("reason") or told.get("phase") or ""
    if any(c["type"] == "PodScheduled" and c.get("reason") == "SchedulingGated" for c in told.get("conditions") or []):
        reason = "SchedulingGated"
    initializing = _initializing(pod)
    reason = initializing or _of_containers(pod, reason)
    if pod["metadata"].get("deletionTimestamp"):
        if told.get("reason") == "NodeLost":
            return "Unknown"
        if told.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return str(reason)


def _initializing(pod: Object) -> str:
    """`Init:…` while init containers are not done, empty after."""
    init = (pod.get("spec") or {}).get("initContainers") or []
    sidecars = {c["name"] for c in init if c.get("restartPolicy") == "Always"}
    for number, told in enumerate((pod.get("status") or {}).get("initContainerStatuses") or []):
        state = told.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and terminated.get("exitCode") == 0:
            continue
        if told["name"] in sidecars and told.get("started"):
            continue
        if terminated is not None:
            return f"Init:{terminated.get('reason') or _exit(terminated)}"
        if waiting is not None and waiting.get("reason") not in (None, "", "PodInitializing"):
            return f"Init:{waiting['reason']}"
        return f"Init:{number}/{len(init)}"
    return ""


def _of_containers(pod: Object, reason: str) -> str:
    running = False
    for told in reversed((pod.get("status") or {}).get("containerStatuses") or []):
        state = told.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if waiting is not None and waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated is not None:
            reason = terminated.get("reason") or _exit(terminated)
        elif told.get("ready") and "running" in state:
            running = True
    if reason == "Completed" and running:
        return "Running" if _is_ready(pod) else "NotReady"
    return reason


def _exit(terminated: Object) -> str:
    signal = terminated.get("signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode', 0)}"


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def restarts(pod: Object, now: datetime) -> str:
    """The sum of restarts, and how long ago the last one was."""
    told = pod.get("status") or {}
    statuses = [*(told.get("initContainerStatuses") or []), *(told.get("containerStatuses") or [])]
    total = sum(c.get("restartCount", 0) for c in statuses)
    ends = [((c.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for c in statuses]
    last = max((end for end in ends if end), default=None)
    return f"{total} ({since(last, now)} ago)" if total and last else str(total)


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
