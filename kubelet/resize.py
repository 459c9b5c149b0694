"""Resizing in place (KEP-1287): which running containers get other limits, and whether the node has room. Pure.

What a container has is what its status told last, so that nothing is remembered beside the API.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from kubelet import podspec
from kubelet.admission import Shortage, shortage
from kubelet.podstate import ContainerState, PodState
from kubelet.resources import quantity, told_resources, with_resources
from kubelet.statusinput import Trouble
from machinery.api.resource import Object
from machinery.structs import Struct, field

_RESIZABLE = ("cpu", "memory")


class Change(Struct, frozen=True):
    """A running container that is to have other limits, with or without a restart."""

    container: ContainerState
    needs_restart: bool


class Resize(Struct, frozen=True):
    """`pod` has the resources that its containers are to have now: while a resize waits, those from before it."""

    pod: Object
    before: Mapping[str, Object] = field(default_factory=dict)
    """What running containers have, where it is not yet what they are to have."""
    changes: tuple[Change, ...] = ()
    pending: Trouble | None = None
    """Infeasible or Deferred, and why."""


def plan_resize(pod: Object, state: PodState, others: Iterable[Object], allocatable: Mapping[str, str]) -> Resize:
    """`others` are the pods that share the node."""
    told = told_resources(pod)
    differing = {
        spec["name"]: told[spec["name"]]
        for spec in _resizable(pod)
        if spec["name"] in told and _effective(told[spec["name"]]) != _effective(spec.get("resources") or {})
    }
    if not differing:
        return Resize(pod)
    lack = shortage(pod, others, allocatable)
    if lack is not None:
        return Resize(with_resources(pod, differing), pending=_pending(lack))
    changes = tuple(
        Change(running, _needs_restart(spec, differing[spec["name"]]))
        for spec in _resizable(pod)
        if spec["name"] in differing and (running := state.newest(spec["name"])) is not None and running.is_running
    )
    return Resize(pod, {change.container.name: differing[change.container.name] for change in changes}, changes)


def _resizable(pod: Object) -> list[Object]:
    return [*filter(podspec.is_sidecar, podspec.init_containers(pod)), *podspec.containers(pod)]


def _effective(resources: Object) -> dict[tuple[str, str], object]:
    """Request and limit of what can be resized; a limit without request is one."""
    limits = resources.get("limits") or {}
    requests = {**limits, **(resources.get("requests") or {})}
    return {
        (kind, name): quantity(values[name])
        for kind, values in (("limits", limits), ("requests", requests))
        for name in _RESIZABLE
        if name in values
    }


def _needs_restart(spec: Object, before: Object) -> bool:
    old, new = _effective(before), _effective(spec.get("resources") or {})
    changed = {key[1] for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    policies = {each["resourceName"]: each["restartPolicy"] for each in spec.get("resizePolicy") or ()}
    return any(policies.get(name) == "RestartContainer" for name in changed)


def _pending(lack: Shortage) -> Trouble:
    if lack.requested > lack.capacity:
        said = f"Node didn't have enough capacity: {lack.resource}, requested: {lack.requested}, capacity: "
        return Trouble("Infeasible", f"{said}{lack.capacity}")
    return Trouble("Deferred", str(lack))


def summary(pod: Object, error: str = "") -> str:
    """How the events of a resize tell it: the resources of all containers, as JSON in upstream's order."""

    def told(specs: Iterable[Object]) -> list[Object]:
        return [{"name": spec["name"], "resources": _ordered(spec.get("resources") or {})} for spec in specs]

    found: Object = {}
    if sidecars := told(filter(podspec.is_sidecar, podspec.init_containers(pod))):
        found["initContainers"] = sidecars
    found |= {"containers": told(podspec.containers(pod)), "generation": podspec.generation(pod)}
    if error:
        found["error"] = error
    return json.dumps(found, separators=(",", ":"))


def _ordered(resources: Object) -> Object:
    return {key: dict(sorted(resources[key].items())) for key in ("limits", "requests") if resources.get(key)}


def conditions(pod: Object, *, in_progress: bool, pending: Trouble | None, error: str = "") -> list[Object]:
    """The conditions that a resize adds to a pod's status, without their times."""
    generation = podspec.generation(pod)
    found: list[Object] = []
    if pending is not None:
        found.append(
            {
                "type": "PodResizePending",
                "status": "True",
                "reason": pending.reason,
                "message": pending.message,
                "observedGeneration": generation,
            }
        )
    if in_progress:
        reason = {"reason": "Error", "message": error} if error else {}
        found.append({"type": "PodResizeInProgress", "status": "True", **reason, "observedGeneration": generation})
    return found
