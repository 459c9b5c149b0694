"""Which run of a container a request for its log means, or why it has none; by what the API was told of it. Pure."""

from __future__ import annotations

from machinery.api.resource import Object

_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_WAITS = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}


class NoLog(Exception):
    """The message is what `kubectl logs` shows."""


def log_run(pod: Object, container: str, *, previous: bool) -> int:
    """0 for the newest run, 1 for the one before; raises NoLog.

    A container that waits for its next run has its last one as the previous one, too.
    """
    about = f'container "{container}" in pod "{pod["metadata"]["name"]}"'
    status = status_of(pod, container)
    if status is None:
        raise NoLog(f"{about} is not available")
    ended = (status.get("lastState") or {}).get("terminated")
    last = (ended or {}).get("containerID")
    state = status.get("state") or {}
    if previous:
        if not last:
            raise NoLog(f"previous terminated {about} not found")
        return int(last != status.get("containerID"))
    if "running" in state:
        return 0
    now = state.get("terminated") or {}
    if "terminated" in state or ended:
        if not now.get("containerID") and not last:
            raise NoLog(f"{about} is terminated")
        return 0
    if "waiting" in state:
        reason = (state["waiting"] or {}).get("reason", "")
        raise NoLog(f"{about} is waiting to start: {_WAITS.get(reason, reason)}")
    raise NoLog(f"{about} is waiting to start - no logs yet")


def status_of(pod: Object, container: str) -> Object | None:
    told = pod.get("status") or {}
    found = (each for field in _STATUSES for each in told.get(field) or () if each["name"] == container)
    return next(found, None)
