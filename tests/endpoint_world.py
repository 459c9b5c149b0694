"""Services, pods and nodes for tables, and a world in which controllers of endpoints act without a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from controllers.plan import Action, Controller, Create, Delete, Key, Patch, Plan, Record, Update, UpdateStatus, key_of
from machinery.api.patch import merge_patch
from machinery.api.resource import Object, Resource
from machinery.api.resources import NODES, PODS, SERVICES
from machinery.client.cache import Change
from tests.known import Known

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CREATED = "2026-01-01T00:00:00Z"


def service(name: str = "s", /, *, labels: dict[str, str] | None = None, uid: str = "", **spec: Any) -> Object:
    whole = {
        "type": "ClusterIP", "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"], "selector": {"app": "x"},
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], **spec,
    }  # fmt: skip
    metadata: Object = {"name": name, "namespace": "n", "uid": uid or f"{name}-uid", "creationTimestamp": CREATED}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": whole}


def pod(
    name: str, ip: str = "10.1.0.1", /, *, ready: bool = True, deleted: bool = False, phase: str = "Running",
    labels: dict[str, str] | None = None, node: str = "node", ips: Sequence[str] = (),
    ports: Iterable[Object] = (), since: str = CREATED, **spec: Any,
) -> Object:  # fmt: skip
    metadata: Object = {"name": name, "namespace": "n", "uid": f"{name}-uid"}
    metadata["labels"] = {"app": "x"} if labels is None else labels
    if deleted:
        metadata["deletionTimestamp"] = CREATED
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": since}
    status: Object = {"phase": phase, "conditions": [condition]}
    if ip:
        status["podIP"] = ip
        status["podIPs"] = [{"ip": each} for each in ips or (ip,)]
    whole = {"nodeName": node, "containers": [{"name": "c", "ports": list(ports)}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole, "status": status}


def node(name: str = "node", zone: str = "") -> Object:
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


class World(Known):
    """Knows objects, and does what plans say."""

    def __init__(self, *objects: tuple[Resource, Object]) -> None:
        super().__init__(*objects)
        self.writes = 0
        self.told: list[Record] = []

    def perform(self, action: Action) -> None:
        match action:
            case Create(resource, obj) | Update(resource, obj):
                self.put(resource, obj)
                self.writes += 1
            case UpdateStatus(resource, obj):
                there = self.objects[key_of(obj)._replace(resource=resource)]
                self.put(resource, {**there, "status": obj["status"]})
                self.writes += 1
            case Patch(resource, key, patch):
                before = self.objects[Key(key.namespace, key.name, resource)]
                self.put(resource, merge_patch(before, patch))
                self.writes += 1
            case Record():
                self.told.append(action)
            case Delete(resource, key):
                if Key(key.namespace, key.name, resource) in self.objects:
                    self.remove(resource, key.namespace, key.name)
                self.writes += 1


class Acting:
    """A controller in a world; `step` takes one key, and may crash after some of its actions."""

    def __init__(self, controller: Controller, world: World) -> None:
        self._controller = controller
        self._world = world
        self.waiting: dict[Key, None] = {}
        for resource, wakes in controller.wakes.items():
            world.subscribe(resource, self._woken(wakes))

    def _woken(self, wakes: Callable[[Object], Iterable[Key]]) -> Callable[[Change], None]:
        def on_change(change: Change) -> None:
            for obj in (change.before, change.after):
                self.waiting |= dict.fromkeys(wakes(obj) if obj is not None else ())
            if self._controller.related is not None:
                self.waiting |= dict.fromkeys(self._controller.related(self._world, change))

        return on_change

    def plan(self, key: Key) -> Plan:
        state = self._controller.observe(self._world, key)
        return Plan() if state is None else self._controller.plan(state, NOW)

    def step(self, *, crash_after: int | None = None) -> bool:
        """Whether there was something to do; one that crashed forgets all that waits."""
        if not self.waiting:
            return False
        key = next(iter(self.waiting))
        del self.waiting[key]
        for done, action in enumerate(self.plan(key).actions):
            if done == crash_after:
                return False
            self._world.perform(action)
        return True

    def settle(self, most: int = 1000) -> None:
        for _ in range(most):
            if not self.step():
                return
        raise AssertionError(f"it never comes to rest: {list(self.waiting)}")


def a_world(*objects: tuple[Resource, Object], zone: str = "") -> World:
    return World((NODES, node(zone=zone)), *objects)


def with_service(*pods: Object, **spec: Any) -> World:
    return a_world((SERVICES, service(**spec)), *((PODS, each) for each in pods))
