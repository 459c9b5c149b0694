"""The status of each container as the API tells it: what runs, what ended and how, what it waits for. Pure."""

from __future__ import annotations

from typing import Any

from kubelet import podspec
from kubelet.actions import should_restart
from kubelet.podstate import ContainerPhase, ContainerState, PodState
from kubelet.statusinput import StatusInput, timestamp
from machinery.api.resource import Object


def container_statuses(
    pod: Object, specs: list[Object], state: PodState, old: list[Object] | None, given: StatusInput
) -> list[Object]:
    before = {status["name"]: status for status in old or ()}
    return [_container_status(pod, spec, state, before.get(spec["name"]), given) for spec in specs]


def _container_status(pod: Object, spec: Object, state: PodState, old: Object | None, given: StatusInput) -> Object:
    newest = state.newest(spec["name"])
    history = state.history(spec["name"])
    status = _seen(spec, history, old, given) if history else _unseen(pod, spec, old)
    trouble = given.troubles.get(spec["name"])
    if trouble is not None and should_restart(pod, spec, state):
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


def _unseen(pod: Object, spec: Object, old: Object | None) -> Object:
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
    return status


def with_unknown_ends(pod: Object, init: list[Object], main: list[Object]) -> tuple[list[Object], list[Object]]:
    """The statuses of a pod that has ended: what did not end as far as is known has failed.

    The main containers of a pod that was never initialized still wait: that init containers failed says enough.
    """
    begun = max((n for n, status in enumerate(init) if _has_moved(status)), default=0) + 1
    ended = [_with_end(status) if n < begun else status for n, status in enumerate(init)]
    return ended, [_with_end(status) for status in main] if _was_initialized(pod) else main


def _has_moved(status: Object) -> bool:
    return "waiting" not in status["state"] or "terminated" in (status.get("lastState") or {})


def _was_initialized(pod: Object) -> bool:
    """By what the API was told last."""
    specs, told = podspec.init_containers(pod), pod.get("status") or {}
    if not specs or any(map(_has_moved, told.get("containerStatuses") or ())):
        return True
    found = list(told.get("initContainerStatuses") or ())
    if len(found) < len(specs):
        return False
    last = found[-1]
    if podspec.is_sidecar(specs[-1]):
        return "running" in last["state"] and bool(last.get("started"))
    ends = (each.get("terminated") for each in (last["state"], last.get("lastState") or {}))
    return any(end is not None and end["exitCode"] == 0 for end in ends)


def _with_end(status: Object) -> Object:
    if "terminated" in status["state"]:
        return status
    end = {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
        "startedAt": None,
        "finishedAt": None,
    }
    return {**status, "state": {"terminated": end}}


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
        "resources": _with_requests(given.resizing.before.get(spec["name"], spec.get("resources") or {})),
    }
    if allocated := _with_requests(spec.get("resources") or {}).get("requests"):
        status["allocatedResources"] = allocated
    if len(history) > 1:
        status["lastState"] = _state(history[1], given.runtime)
    elif old and old.get("containerID") == status["containerID"]:
        status["lastState"] = old.get("lastState") or {}
        if "waiting" in old["state"] and "terminated" in status["state"]:
            status["lastState"] = {}
    elif old and newest.attempt > 0 and "terminated" in old.get("state", {}):
        status["lastState"] = old["state"]
    return status


def _with_requests(resources: Object) -> Object:
    """A limit without a request is one."""
    requests = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {**resources, "requests": requests} if requests else resources


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


def _recursive(mount: Object) -> str:
    """What became of the wish: the runtime can always fulfil it."""
    return "Disabled" if mount.get("recursiveReadOnly", "Disabled") == "Disabled" else "Enabled"


def _volume_mounts(spec: Object) -> list[Object]:
    mounts = []
    for mount in spec.get("volumeMounts") or ():
        status: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            status |= {"readOnly": True, "recursiveReadOnly": _recursive(mount)}
        mounts.append(status)
    return mounts
