"""A pod as scheduling sees it, parsed once: its shape (all that filters and scores look at) and who it is.

Pods made from one template share one `PodShape` value, so what was found out for one holds for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import orjson

from machinery.api import quantity
from machinery.api.disruption import DISRUPTION_TARGET
from machinery.api.host_ports import Port, host_ports
from machinery.api.resource import Object
from machinery.api.views import Pod
from machinery.structs import Struct
from scheduler.keys import PodKey
from scheduler.pod_terms import PodTerms, SpreadConstraint, pod_terms, spread_constraints

MILLI_CPU, MEMORY = "cpu", "memory"
# What a container that asks for nothing is taken to use when nodes are compared (upstream's non-zero requests).
_ASSUMED = {MILLI_CPU: 100, MEMORY: 200 << 20}
PREEMPTED = "PreemptionByScheduler"


def amounts(quantities: Mapping[str, Any]) -> dict[str, int]:
    """Cpu in milli, all else in whole units."""
    return {
        name: quantity.milli(str(value)) if name == MILLI_CPU else quantity.integer(str(value))
        for name, value in quantities.items()
    }


def requests(pod: Pod) -> dict[str, int]:
    """What the pod asks for; the larger of init containers and the rest, or what the pod as a whole says.

    Restartable init containers (KEP-753) run beside the containers, and beside the init containers after them.
    Requests of the pod itself (KEP-2837) stand for those of its containers. While a container is being resized in place
    (KEP-1287) it counts with the most of what it asks for, was given and has.
    """
    return _requests(pod, {})


def _requests(pod: Pod, assumed: Mapping[str, int]) -> dict[str, int]:
    held = _held(pod)
    keeps = _keeps_what_it_has(pod) if held else False
    total: dict[str, int] = {}
    for container in pod.containers:
        _add(total, _of(container, assumed, held, keeps=keeps))
    running: dict[str, int] = {}
    most: dict[str, int] = {}
    for container in pod.init_containers:
        wanted = _of(container, assumed, held, keeps=keeps)
        if container.get("restartPolicy") == "Always":
            _add(total, wanted)
            _add(running, wanted)
            wanted = running
        else:
            wanted = {name: wanted.get(name, 0) + running.get(name, 0) for name in {*wanted, *running}}
        for name, value in wanted.items():
            most[name] = max(most.get(name, 0), value)
    for name, value in most.items():
        total[name] = max(total.get(name, 0), value)
    total.update(amounts((pod.obj["spec"].get("resources") or {}).get("requests") or {}))
    _add(total, amounts(pod.overhead))
    return total


Held = Mapping[str, list[Mapping[str, str]]]


def _held(pod: Pod) -> Held:
    """By container what it was given and what it has, where that is not what it asks for."""
    status = pod.obj.get("status") or {}
    statuses = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    told = {each["name"]: each for each in statuses if each.get("allocatedResources") or each.get("resources")}
    if not told:
        return {}
    found = {}
    for container in (*pod.containers, *pod.init_containers):
        each = told.get(container["name"], {})
        asked = (container.get("resources") or {}).get("requests") or {}
        parts = [each.get("allocatedResources") or {}, (each.get("resources") or {}).get("requests") or {}]
        if any(part and part != asked for part in parts):
            found[container["name"]] = parts
    return found


def _keeps_what_it_has(pod: Pod) -> bool:
    """The node can't ever give what is asked for."""
    pending = pod.condition("PodResizePending")
    return pending is not None and pending.get("reason") == "Infeasible"


def _of(container: Object, assumed: Mapping[str, int], held: Held, *, keeps: bool) -> dict[str, int]:
    said = amounts((container.get("resources") or {}).get("requests") or {})
    if parts := held.get(container.get("name", "")):
        counted = [amounts(part) for part in parts] if keeps else [said, *map(amounts, parts)]
        said = {name: max(part.get(name, 0) for part in counted) for part in counted for name in part}
    return {**assumed, **said} if assumed else said


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


class PodShape(Struct, frozen=True, eq=False, dict=True, weakref=True):
    """What scheduling looks at, of a pod taken as an example of all that are alike. Equal shapes are one object."""

    example: Pod

    def parsed(self) -> PodShape:
        """Itself, once it is known that what is counted on a node can be read; raises what is wrong."""
        _ = self.requests, self.non_zero, self.ports, self.has_pod_affinity, self.labels, self.priority
        return self

    @cached_property
    def requests(self) -> Mapping[str, int]:
        return requests(self.example)

    @cached_property
    def non_zero(self) -> tuple[int, int]:
        """(cpu in milli, memory) where containers that ask for nothing are taken to use a little."""
        found = _requests(self.example, _ASSUMED)
        return found.get(MILLI_CPU, 0), found.get(MEMORY, 0)

    @cached_property
    def ports(self) -> frozenset[Port]:
        return host_ports(self.example)

    @cached_property
    def priority(self) -> int:
        return self.example.priority

    @cached_property
    def labels(self) -> Mapping[str, str]:
        return self.example.labels

    @cached_property
    def terms(self) -> PodTerms:
        return pod_terms(self.example)

    @cached_property
    def hard_spread(self) -> tuple[SpreadConstraint, ...]:
        return spread_constraints(self.example, "DoNotSchedule")

    @cached_property
    def soft_spread(self) -> tuple[SpreadConstraint, ...]:
        return spread_constraints(self.example, "ScheduleAnyway")

    @cached_property
    def has_pod_affinity(self) -> bool:
        """Whether it names other pods that it wants to be near, or away from."""
        return any(self.example.affinity.get(name) for name in ("podAffinity", "podAntiAffinity"))


class PodInfo(Struct, frozen=True):
    """One pod: its name, its shape, and what of its state matters to others. The object itself is not kept."""

    key: PodKey
    shape: PodShape
    is_going: bool = False
    is_preempted: bool = False
    """It is on its way out to make room for a more important pod."""
    started: str = ""

    @property
    def priority(self) -> int:
        return self.shape.priority


class Shapes:
    """Gives one `PodShape` for all pods that are alike, as long as there is one of them."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[bytes, PodShape] = WeakValueDictionary()

    def info(self, obj: Object) -> PodInfo:
        pod = Pod(obj)
        status = obj.get("status") or {}
        is_going = bool(pod.deleted)
        return PodInfo(
            PodKey.of(pod), self._shape(pod), is_going, is_going and _is_preempted(pod), status.get("startTime") or ""
        )

    def _shape(self, pod: Pod) -> PodShape:
        key = _identity(pod)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = PodShape(pod).parsed()
        return found


def _is_preempted(pod: Pod) -> bool:
    condition = pod.condition(DISRUPTION_TARGET)
    return condition is not None and condition["status"] == "True" and condition.get("reason") == PREEMPTED


_LOOKED_AT = ("nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "overhead", "resources",
              "priority", "preemptionPolicy", "schedulerName")  # fmt: skip
_PART = ("image", "resources", "ports", "restartPolicy")
_NO_STORAGE = frozenset(("configMap", "secret", "emptyDir", "projected", "downwardAPI", "hostPath"))


def _identity(pod: Pod) -> bytes:
    spec, metadata = pod.obj["spec"], pod.obj["metadata"]
    volumes = [volume for volume in spec.get("volumes") or () if not _NO_STORAGE & volume.keys()]
    controller = pod.controller
    resized = _held(pod) if spec.get("nodeName") else {}
    return orjson.dumps(
        [
            metadata.get("namespace"),
            metadata.get("labels"),
            [spec.get(name) for name in _LOOKED_AT],
            [[container.get(name) for name in _PART] for container in spec.get("containers") or ()],
            [[container.get(name) for name in _PART] for container in spec.get("initContainers") or ()],
            [controller.get("kind"), controller.get("name")] if controller else None,
            resized and [resized, _keeps_what_it_has(pod)],
            # A claim's name may be made of the pod's.
            [volumes, metadata["name"]] if volumes else None,
        ],
        option=orjson.OPT_SORT_KEYS,
    )
