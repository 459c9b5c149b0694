"""The pod's status as the API tells it, computed from spec, runtime state and what went wrong last. Pure.

Word for word what a v1.36 node writes: kubectl, controllers and people read reasons and messages, not just phases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kubelet import podspec
from kubelet.actions import Verdicts, should_restart
from kubelet.podstate import ContainerPhase, ContainerState, PodState
from kubelet.resources import pod_requests_and_limits
from machinery.api.resource import Object

_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Trouble:
    """Why a container waits: the reason and message of its `waiting` state."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class StatusInput:
    """`troubles` by container name; `unbounded_memory` is the pod cgroup's limit where the host states one anyway."""

    now: datetime
    host_ip: str
    runtime: str
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    verdicts: Verdicts = field(default_factory=Verdicts)
    has_ended: bool = False
    unbounded_memory: str = ""
    failure: Trouble | None = None
    """The pod as a whole is failed: Evicted, DeadlineExceeded."""


def timestamp(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else _EPOCH


def pod_status(pod: Object, state: PodState, given: StatusInput) -> Object:
    """The whole new `status`; equal to the pod's own where nothing has changed."""
    old: Object = pod.get("status") or {}
    init = _statuses(pod, podspec.init_containers(pod), state, old.get("initContainerStatuses"), given)
    main = _statuses(pod, podspec.containers(pod), state, old.get("containerStatuses"), given)
    debug = _statuses(pod, podspec.ephemeral_containers(pod), state, old.get("ephemeralContainerStatuses"), given)
    final = _phase(pod, init, main, ended=given.has_ended)
    if given.failure is not None:
        final = "Failed"
    phase = final
    if final in ("Succeeded", "Failed") and not given.has_ended and old.get("phase") not in ("Succeeded", "Failed"):
        # A terminal phase promises that nothing runs any more, so it waits for the sandbox's end.
        phase = "Running" if old.get("phase") == "Running" or state.containers else "Pending"
    if old.get("phase") in ("Succeeded", "Failed"):
        phase = old["phase"]
    status: Object = {
        "phase": phase,
        "conditions": _conditions(pod, state, init, main, final, given),
        "hostIP": given.host_ip,
        "hostIPs": [{"ip": given.host_ip}],
        "startTime": old.get("startTime") or timestamp(given.now),
        "qosClass": podspec.qos_class(pod),
        "observedGeneration": podspec.generation(pod),
    }
    for key in ("nominatedNodeName", "resourceClaimStatuses", "extendedResourceClaimStatus"):
        if key in old:
            status[key] = old[key]
    status |= _failure_text(given.failure, old)
    status |= _ips(pod, state, old, given)
    if init:
        status["initContainerStatuses"] = init
    if main:
        status["containerStatuses"] = main
    if debug:
        status["ephemeralContainerStatuses"] = debug
    return status | _resources(pod, old, given)


def _failure_text(failure: Trouble | None, old: Object) -> Object:
    if failure is not None:
        return {"reason": failure.reason, "message": failure.message}
    return {key: old[key] for key in ("reason", "message") if key in old}


def _ips(pod: Object, state: PodState, old: Object, given: StatusInput) -> Object:
    ips = [given.host_ip] if podspec.is_host_network(pod) and state.sandboxes else []
    if not ips and state.sandbox is not None:
        ips = list(state.sandbox.ips)
    if ips:
        return {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
    return {key: old[key] for key in ("podIP", "podIPs") if key in old}


def _resources(pod: Object, old: Object, given: StatusInput) -> Object:
    requests, limits = pod_requests_and_limits(pod)
    found: Object = {}
    if requests:
        found["allocatedResources"] = requests
    shown: Object = {}
    if given.unbounded_memory and "memory" not in limits and old.get("phase") == "Running":
        limits = limits | {"memory": given.unbounded_memory}
    if limits:
        shown["limits"] = limits
    if requests:
        shown["requests"] = requests
    return found | {"resources": shown}


def _statuses(
    pod: Object, specs: list[Object], state: PodState, old: list[Object] | None, given: StatusInput
) -> list[Object]:
    before = {status["name"]: status for status in old or ()}
    return [_container_status(pod, spec, state, before.get(spec["name"]), given) for spec in specs]


def _container_status(pod: Object, spec: Object, state: PodState, old: Object | None, given: StatusInput) -> Object:
    newest = state.newest(spec["name"])
    history = state.history(spec["name"])
    status = _seen(spec, history, old, given) if history else _unseen(pod, spec, old, given)
    trouble = given.troubles.get(spec["name"])
    if trouble is not None and not given.has_ended and should_restart(pod, spec, state):
        if "terminated" in status["state"]:
            status["lastState"] = status["state"]
        waiting = {"reason": trouble.reason}
        status["state"] = {"waiting": waiting | ({"message": trouble.message} if trouble.message else {})}
    _judge(pod, spec, status, newest, given)
    mounts = _volume_mounts(spec)
    if mounts:
        status["volumeMounts"] = mounts
    return status


def _judge(pod: Object, spec: Object, status: Object, newest: ContainerState | None, given: StatusInput) -> None:
    """Sets `ready` and `started`; a plain init container is ready when it has done its work."""
    is_debug = any(found is spec for found in pod["spec"].get("ephemeralContainers") or ())
    running = newest is not None and "running" in status["state"]
    if not is_debug:
        status["started"] = bool(running and newest is not None and given.verdicts.is_started(spec, newest))
    is_init = any(found is spec for found in pod["spec"].get("initContainers") or ())
    if is_init and not podspec.is_sidecar(spec):
        status["ready"] = newest is not None and newest.has_succeeded
    elif not is_debug:
        status["ready"] = bool(running and newest is not None and given.verdicts.is_ready(spec, newest))


def _unseen(pod: Object, spec: Object, old: Object | None, given: StatusInput) -> Object:
    """The runtime knows no such container: it waits, or what it was is known from the API alone."""
    status: Object = {
        "name": spec["name"],
        "image": spec.get("image", ""),
        "imageID": "",
        "lastState": {},
        "ready": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": "PodInitializing" if podspec.init_containers(pod) else "ContainerCreating"}},
    }
    if old and old.get("containerID"):
        for key in ("containerID", "image", "imageID", "lastState", "restartCount", "state", "resources"):
            if key in old:
                status[key] = old[key]
        if "running" in old["state"]:
            lost = {
                "containerID": old["containerID"],
                "exitCode": 137,
                "reason": "ContainerStatusUnknown",
                "message": "The container could not be located when the pod was terminated",
                "startedAt": _EPOCH,
                "finishedAt": _EPOCH,
            }
            if given.has_ended:
                status["state"] = {"terminated": lost}
    elif given.has_ended:
        gone = {
            "exitCode": 137,
            "reason": "ContainerStatusUnknown",
            "message": "The container could not be located when the pod was terminated",
            "startedAt": None,
            "finishedAt": None,
        }
        status["state"] = {"terminated": gone}
    return status


def _seen(spec: Object, history: tuple[ContainerState, ...], old: Object | None, given: StatusInput) -> Object:
    newest = history[0]
    status: Object = {
        "name": spec["name"],
        "image": newest.image or spec.get("image", ""),
        "imageID": newest.image_id,
        "containerID": f"{given.runtime}://{newest.id}",
        "lastState": {},
        "ready": False,
        "restartCount": newest.attempt,
        "state": _state(newest, given.runtime),
        "resources": spec.get("resources") or {},
    }
    requests = _effective_requests(spec)
    if requests:
        status["allocatedResources"] = requests
        status["resources"] = {**status["resources"], "requests": requests}
    if len(history) > 1:
        status["lastState"] = _state(history[1], given.runtime)
    elif old and old.get("containerID") == status["containerID"]:
        status["lastState"] = old.get("lastState") or {}
        if "waiting" in old["state"] and "terminated" in status["state"]:
            status["lastState"] = {}
    elif old and newest.attempt > 0 and "terminated" in old.get("state", {}):
        status["lastState"] = old["state"]
    return status


def _effective_requests(spec: Object) -> Object:
    resources = spec.get("resources") or {}
    return {**{k: v for k, v in (resources.get("limits") or {}).items()}, **(resources.get("requests") or {})}


def _state(container: ContainerState, runtime: str) -> Object:
    if container.is_running:
        return {"running": {"startedAt": timestamp(container.started_at)}}
    if container.phase is ContainerPhase.CREATED:
        return {"waiting": {"reason": "ContainerCreating"}}
    reason = container.reason or ("Completed" if container.exit_code == 0 else "Error")
    terminated: dict[str, Any] = {
        "containerID": f"{runtime}://{container.id}",
        "exitCode": container.exit_code,
        "finishedAt": timestamp(container.finished_at),
        "reason": reason,
        "startedAt": timestamp(container.started_at),
    }
    if container.message:
        terminated["message"] = container.message
    return {"terminated": terminated}


def _volume_mounts(spec: Object) -> list[Object]:
    mounts = []
    for mount in spec.get("volumeMounts") or ():
        status: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            status |= {"readOnly": True, "recursiveReadOnly": mount.get("recursiveReadOnly", "Disabled")}
        mounts.append(status)
    return mounts


def _phase(pod: Object, init: list[Object], main: list[Object], *, ended: bool) -> str:
    policy = podspec.restart_policy(pod)
    if ended:
        done = [status["state"].get("terminated") or status["lastState"].get("terminated") for status in main]
        return "Succeeded" if done and all(t is not None and t["exitCode"] == 0 for t in done) else "Failed"
    plain = [
        status for status, spec in zip(init, podspec.init_containers(pod), strict=True) if not podspec.is_sidecar(spec)
    ]
    failed = [s for s in plain if s["state"].get("terminated", {}).get("exitCode")]
    if failed and policy == "Never":
        return "Failed"
    if any(not s["ready"] for s in plain) and not _has_begun(main):
        return "Pending"
    waiting = [s for s in main if "waiting" in s["state"] and not s["lastState"].get("terminated")]
    if waiting:
        return "Pending"
    if any("running" in s["state"] for s in main):
        return "Running"
    codes = [t["exitCode"] for s in main if (t := s["state"].get("terminated") or s["lastState"].get("terminated"))]
    if not codes:
        return "Pending"
    if policy == "Always":
        return "Running"
    if not any(codes):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def _has_begun(main: list[Object]) -> bool:
    return any("waiting" not in status["state"] or status["lastState"] for status in main)


def _conditions(
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
    known = {condition["type"] for condition in found}
    whole = [_dated(condition, old.get(condition["type"]), pod, given.now) for condition in found]
    return whole + [condition for kind, condition in old.items() if kind not in known]


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
    sidecars = [
        status for status, spec in zip(init, podspec.init_containers(pod), strict=True) if podspec.is_sidecar(spec)
    ]
    unready = [status["name"] for status in (*sidecars, *main) if not status["ready"]]
    if not unready:
        return {"status": "True"}
    message = f"containers with unready status: [{' '.join(unready)}]"
    return {"status": "False", "reason": "ContainersNotReady", "message": message}


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
    if final == "Failed":
        return {"type": "Initialized", "status": "False", "reason": "PodFailed"}
    message = f"containers with incomplete status: [{' '.join(incomplete)}]"
    return {"type": "Initialized", "status": "False", "reason": "ContainersNotInitialized", "message": message}
