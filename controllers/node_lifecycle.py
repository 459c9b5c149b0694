"""Node lifecycle: taints follow a node's conditions, and a node whose Lease is no longer renewed is Unknown.

Then its pods are not Ready: nobody there could say so, and Services must not send to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial

from controllers.plan import Action, Controller, Key, Patch, Plan, Record, UpdateStatus, itself, key_of, with_status
from machinery.api.resource import Object
from machinery.api.resources import LEASES, NODES, PODS
from machinery.api.timestamps import parse_time, rfc3339
from machinery.api.views import Node, Pod
from machinery.client.cache import Cache, Change
from machinery.structs import Struct

GRACE = 50.0
_PREFIX = "node.kubernetes.io/"
_BY_CONDITION = {
    ("Ready", "False"): "not-ready",
    ("Ready", "Unknown"): "unreachable",
    ("MemoryPressure", "True"): "memory-pressure",
    ("DiskPressure", "True"): "disk-pressure",
    ("PIDPressure", "True"): "pid-pressure",
    ("NetworkUnavailable", "True"): "network-unavailable",
}
_EVICTING = ("not-ready", "unreachable")
_POSTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
"""The conditions that a kubelet posts; others are of the control plane's and stay."""
_OWN = {f"{_PREFIX}{name}" for name in (*_BY_CONDITION.values(), "unschedulable")}


class State(Struct, frozen=True):
    """`renewed` is when the node last gave a sign of life, None where it never has."""

    node: Node
    renewed: datetime | None
    is_any_ready: bool = True
    """Whether some node of the cluster is."""
    awake_since: datetime | None = None
    """From when on somebody is there to see its signs: this process' start, or the machine's last sleep."""
    pods: Callable[[], Sequence[Object]] = tuple
    """Those on the node; who looks at a thousand nodes that live needs none of them."""


class Gone(Struct, frozen=True):
    """A node that was known and is deleted."""

    name: str
    uid: str


def plan(state: State, now: datetime) -> Plan:
    node = state.node
    silent = _silent(state, now)
    actions: list[Action] = []
    if silent > GRACE and not _is_unknown(node):
        return Plan(_lost(state, rfc3339(now)))
    wanted = _taints(node, rfc3339(now), drives_out=state.is_any_ready)
    if wanted != node.taints:
        metadata = {"resourceVersion": node.resource_version}
        patch = {"metadata": metadata, "spec": {"taints": wanted or None}}
        actions.append(Patch(NODES, key_of(node.obj), patch))
    return Plan(actions, requeue_after=max(GRACE - silent, 1.0) if not _is_unknown(node) else None)


def _silent(state: State, now: datetime) -> float:
    """For how many seconds it gave no sign though it could have been seen."""
    if state.renewed is None:
        return 0.0
    return (now - max(state.renewed, state.awake_since or state.renewed)).total_seconds()


def _taints(node: Node, now: str, *, drives_out: bool) -> list[Object]:
    """The node's taints with ours as its conditions say; those of others, and those that stay, untouched.

    Where no node is ready, it is rather the control plane that sees none: then no pod is driven out.
    """
    effects = set()
    ready = node.condition("Ready")
    found = {(c["type"], c["status"]) for c in node.conditions}
    if ready is None:
        found.add(("Ready", "False"))
    for condition, name in _BY_CONDITION.items():
        if condition in found:
            effects.add((f"{_PREFIX}{name}", "NoSchedule"))
            if name in _EVICTING and drives_out:
                effects.add((f"{_PREFIX}{name}", "NoExecute"))
    if node.unschedulable:
        effects.add((f"{_PREFIX}unschedulable", "NoSchedule"))
    kept = [t for t in node.taints if t["key"] not in _OWN or (t["key"], t["effect"]) in effects]
    there = {(taint["key"], taint["effect"]) for taint in kept}
    fresh = [{"key": key, "effect": effect, "timeAdded": now} for key, effect in sorted(effects - there)]
    return [*kept, *fresh]


def _is_unknown(node: Node) -> bool:
    return (node.condition("Ready") or {}).get("status") == "Unknown"


def _lost(state: State, now: str) -> list[Action]:
    """The node last: as long as it is Ready, what is left of its pods is tried again."""
    node = state.node
    status = {**(node.obj.get("status") or {}), "conditions": _unknown(node, now)}
    update = UpdateStatus(NODES, with_status(node.obj, status))
    if not node.is_true("Ready"):
        return [update]
    told = Record(node.obj, "Normal", "NodeNotReady", f"Node {node.name} status is now: NodeNotReady")
    return [*_unready(map(Pod, state.pods()), now), update, told]


def _unready(pods: Iterable[Pod], now: str) -> Iterator[Action]:
    for pod in pods:
        ready = pod.condition("Ready")
        if ready is None or ready["status"] == "False":
            continue
        said = {**ready, "status": "False", "lastTransitionTime": now}
        conditions = [said if each is ready else each for each in pod.conditions]
        metadata = {"uid": pod.uid, "resourceVersion": pod.resource_version}
        yield Patch(PODS, key_of(pod.obj), {"metadata": metadata, "status": {"conditions": conditions}}, "status")
        yield Record(pod.obj, "Warning", "NodeNotReady", "Node is not ready")


def _unknown(node: Node, now: str) -> list[Object]:
    found = [_stale(each, now) if each["type"] in _POSTED else each for each in node.conditions]
    missing = [kind for kind in _POSTED if node.condition(kind) is None]
    return [*found, *(_never_posted(kind, node, now) for kind in missing)]


def _stale(condition: Object, now: str) -> Object:
    if condition["status"] == "Unknown":
        return condition
    said = {"status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
    return {**condition, **said, "lastTransitionTime": now}


def _never_posted(kind: str, node: Node, now: str) -> Object:
    times = {"lastHeartbeatTime": node.created, "lastTransitionTime": now}
    said = {"reason": "NodeStatusNeverUpdated", "message": "Kubelet never posted node status."}
    return {"type": kind, "status": "Unknown", **times, **said}


def _told(name: str, uid: str, reason: str, said: str) -> Record:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": uid}}
    return Record(node, "Normal", reason, f"Node {name} event: {said}")


def _others(cache: Cache, change: Change) -> Iterable[Key]:
    """The first node that is ready again, or the last one that was, matters to all; any other to nobody else."""
    before, after = (obj is not None and Node(obj).is_true("Ready") for obj in (change.before, change.after))
    if change.resource != NODES or before == after:
        return
    name, nodes = Node(change.object).name, cache.list(NODES)
    if not any(node.is_true("Ready") for node in map(Node, nodes) if node.name != name):
        yield from map(key_of, nodes)


def node_lifecycle(awake_since: Callable[[], datetime | None] = lambda: None) -> Controller:
    """`awake_since` tells from when on this machine has been awake."""

    known: dict[str, str] = {}

    def observe(cache: Cache, key: Key) -> State | Gone | None:
        found = cache.get(NODES, "", key.name)
        if found is None:
            return Gone(key.name, known[key.name]) if key.name in known else None
        lease = cache.get(LEASES, "kube-node-lease", key.name)
        renewed = ((lease or {}).get("spec") or {}).get("renewTime")
        # Mostly the node itself is: then nobody looks at a thousand others.
        is_any_ready = Node(found).is_true("Ready") or any(Node(each).is_true("Ready") for each in cache.list(NODES))
        since = parse_time(renewed) if renewed else None
        return State(Node(found), since, is_any_ready, awake_since(), partial(cache.on_node, key.name))

    def followed(state: State | Gone, now: datetime) -> Plan:
        """The plan, and what is told of a node that is seen for the first or the last time."""
        if isinstance(state, Gone):
            known.pop(state.name, None)
            return Plan([_told(state.name, state.uid, "RemovingNode", f"Removing Node {state.name} from Controller")])
        node, decided = state.node, plan(state, now)
        if node.name in known:
            return decided
        known[node.name] = node.uid
        told = _told(node.name, node.uid, "RegisteredNode", f"Registered Node {node.name} in Controller")
        return Plan([told, *decided.actions], decided.requeue_after)

    return Controller(
        "node-lifecycle",
        wakes={NODES: itself},
        related=_others,
        observe=observe,
        plan=followed,
        identity="node-controller",
    )
