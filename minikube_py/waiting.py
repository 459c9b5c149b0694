"""`start --wait all`: whether every pod does what it is for, and why one that doesn't will not. Pure but for `wait`."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable
from typing import Any

from machinery.structs import Struct
from minikube_py.api import Api, ApiError
from minikube_py.instance import InstanceError

# No time and no other pod mends these.
_HOPELESS = ("InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError")
_LOOK_EVERY = 0.5


class Waited(Struct, frozen=True):
    """A pod that is not as it should be; `is_hopeless` if it will not be by waiting."""

    namespace: str
    name: str
    uid: str
    why: str
    is_hopeless: bool

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}: {self.why}"


def unfinished(pods: Iterable[dict[str, Any]]) -> list[Waited]:
    """The pods that are neither Ready nor done."""
    found = []
    for pod in pods:
        metadata, status = pod["metadata"], pod.get("status") or {}
        if metadata.get("deletionTimestamp") or status.get("phase") == "Succeeded" or _is_ready(status):
            continue
        why, is_hopeless = _why(pod, status)
        found.append(Waited(metadata["namespace"], metadata["name"], metadata["uid"], why, is_hopeless))
    return found


def _is_ready(status: dict[str, Any]) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())


def _why(pod: dict[str, Any], status: dict[str, Any]) -> tuple[str, bool]:
    if status.get("phase") == "Failed":
        # A Job's controller makes another one.
        owners = [owner["kind"] for owner in pod["metadata"].get("ownerReferences") or ()]
        return status.get("message") or status.get("reason") or "Failed", "Job" not in owners
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason and reason not in ("ContainerCreating", "PodInitializing"):
            said = f"{container['name']}: {reason}"
            return (f"{said}: {waiting['message']}" if waiting.get("message") else said), reason in _HOPELESS
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return condition.get("message") or condition.get("reason") or "not scheduled", False
    return f"{status.get('phase', 'Pending')}, not Ready", False


def wait(api: Api, seconds: float) -> None:
    """Returns when every pod is Ready or done; raises InstanceError with those that aren't and their events."""
    end = time.monotonic() + seconds
    while True:
        left = unfinished(api.get("/api/v1/pods")["items"])
        if not left:
            return
        if any(each.is_hopeless for each in left) or time.monotonic() > end:
            raise InstanceError(_told(api, left))
        select.select([], [], [], _LOOK_EVERY)


def _told(api: Api, left: list[Waited]) -> str:
    lines = [f"{len(left)} pod(s) are not Ready"]
    for each in left:
        lines.append(f"  {each}")
        lines += [f"    {said}" for said in _events(api, each)]
    return "\n".join(lines)


def _events(api: Api, waited: Waited) -> list[str]:
    try:
        query = f"fieldSelector=involvedObject.uid%3D{waited.uid}"
        items = api.get(f"/api/v1/namespaces/{waited.namespace}/events?{query}")["items"]
    except ApiError as error:
        return [str(error)]
    items.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    return [f"{event.get('type', '')} {event.get('reason', '')}: {event.get('message', '')}" for event in items]
