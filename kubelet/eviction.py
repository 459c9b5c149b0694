"""When the node runs short of something, and which pod it gives up for it. Pure.

Thresholds, order and wording are upstream's: https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from kubelet import podspec
from kubelet.admission import is_critical
from kubelet.resources import format_quantity, quantity, whole
from kubelet.statusinput import Trouble
from machinery.api.resource import Object
from machinery.structs import Struct, field

TRANSITION = timedelta(minutes=5)
"""So long a condition stays after the pressure was last seen, lest it flaps."""


class Signal(StrEnum):
    MEMORY = "memory.available"
    NODE_DISK = "nodefs.available"
    NODE_INODES = "nodefs.inodesFree"
    IMAGE_DISK = "imagefs.available"
    IMAGE_INODES = "imagefs.inodesFree"
    PIDS = "pid.available"


class Observation(Struct, frozen=True):
    available: int
    capacity: int


class Threshold(Struct, frozen=True):
    """Met when less is available than `quantity`, or than `percent` of the capacity."""

    signal: Signal
    condition: str
    resource: str
    quantity: int = 0
    percent: int = 0

    def least(self, seen: Observation) -> int:
        return self.quantity or seen.capacity * self.percent // 100


THRESHOLDS = (
    Threshold(Signal.MEMORY, "MemoryPressure", "memory", quantity=100 << 20),
    Threshold(Signal.NODE_DISK, "DiskPressure", "ephemeral-storage", percent=10),
    Threshold(Signal.NODE_INODES, "DiskPressure", "inodes", percent=5),
    Threshold(Signal.IMAGE_DISK, "DiskPressure", "ephemeral-storage", percent=15),
    Threshold(Signal.IMAGE_INODES, "DiskPressure", "inodes", percent=5),
    # Not among upstream's defaults: here the control plane shares the process ids with the pods.
    Threshold(Signal.PIDS, "PIDPressure", "pids", percent=5),
)
"""In the order in which they are dealt with."""


class ContainerUsage(Struct, frozen=True):
    name: str
    memory: int = 0
    disk: int = 0


class PodUsage(Struct, frozen=True):
    """What a pod uses; `disk` counts layers, logs and local volumes, `pids` processes."""

    pod: Object
    containers: tuple[ContainerUsage, ...] = ()
    local_volumes: int = 0
    pids: int = 0

    @property
    def memory(self) -> int:
        return sum(each.memory for each in self.containers)

    @property
    def disk(self) -> int:
        return self.local_volumes + sum(each.disk for each in self.containers)

    def request(self, resource: str) -> int:
        return sum(whole(_request(spec, resource)) for spec in podspec.containers(self.pod))


class Pressure(Struct, frozen=True):
    """The conditions that hold, and when each was last seen."""

    seen: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def conditions(self) -> frozenset[str]:
        return frozenset(self.seen)

    def after(self, met: Iterable[Threshold], now: datetime) -> Pressure:
        recent = {kind: when for kind, when in self.seen.items() if now - when < TRANSITION}
        return Pressure({**recent, **{threshold.condition: now for threshold in met}})


def met(seen: Mapping[Signal, Observation], thresholds: Sequence[Threshold] = THRESHOLDS) -> tuple[Threshold, ...]:
    """Those that are met; what can't be observed is no pressure."""
    return tuple(each for each in thresholds if each.signal in seen and _is_met(each, seen[each.signal]))


def _is_met(threshold: Threshold, seen: Observation) -> bool:
    return seen.available < threshold.least(seen)


def ranked(threshold: Threshold, usages: Iterable[PodUsage]) -> list[PodUsage]:
    """The pods that may be given up, the first to go first."""
    candidates = [usage for usage in usages if not is_critical(usage.pod)]
    resource = threshold.resource

    def key(usage: PodUsage) -> tuple[int, ...]:
        priority = int(usage.pod["spec"].get("priority") or 0)
        if resource == "pids":
            return (priority, -usage.pids)
        if resource == "inodes":
            return (priority, -usage.disk)
        used = usage.memory if resource == "memory" else usage.disk
        over = used - usage.request(resource)
        return (0 if over > 0 else 1, priority, -over)

    return sorted(candidates, key=key)


def verdict(threshold: Threshold, seen: Observation, usage: PodUsage) -> Trouble:
    """Reason and message of the pod's end, word for word as upstream tells them."""
    said = f"The node was low on resource: {threshold.resource}. "
    least, available = format_quantity(threshold.least(seen), "Ki"), format_quantity(seen.available, "Ki")
    said += f"Threshold quantity: {least}, available: {available}. "
    for each in usage.containers:
        spec = podspec.container(usage.pod, each.name)
        used = {"memory": each.memory, "ephemeral-storage": each.disk}.get(threshold.resource, 0)
        if spec is None or used <= quantity(_request(spec, threshold.resource)):
            continue
        said += (
            f"Container {each.name} was using {format_quantity(used, 'Ki')}, request is "
            f"{_request(spec, threshold.resource)}, has larger consumption of {threshold.resource}. "
        )
    return Trouble("Evicted", said)


def over_its_limit(usage: PodUsage, empty_dirs: Mapping[str, int]) -> Trouble | None:
    """Why a pod that exceeds what it was granted of the disk is ended, whatever the node has left."""
    for volume in usage.pod["spec"].get("volumes") or ():
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit and (used := empty_dirs.get(volume["name"])) is not None and used > quantity(limit):
            return Trouble("Evicted", f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". ')
    limits = [
        limit
        for spec in podspec.containers(usage.pod)
        if (limit := ((spec.get("resources") or {}).get("limits") or {}).get("ephemeral-storage"))
    ]
    total = sum(quantity(limit) for limit in limits)
    if len(limits) == len(podspec.containers(usage.pod)) and usage.disk > total:
        said = format_quantity(total, limits[0])
        return Trouble("Evicted", f"Pod ephemeral local storage usage exceeds the total limit of containers {said}. ")
    for each in usage.containers:
        spec = podspec.container(usage.pod, each.name)
        limit = (((spec or {}).get("resources") or {}).get("limits") or {}).get("ephemeral-storage")
        if limit and each.disk > quantity(limit):
            return Trouble("Evicted", f'Container {each.name} exceeded its local ephemeral storage limit "{limit}". ')
    return None


def _request(spec: Object, resource: str) -> str:
    resources = spec.get("resources") or {}
    return str((resources.get("requests") or {}).get(resource) or (resources.get("limits") or {}).get(resource) or "0")
