"""Node lifecycle: taints follow a node's conditions, and a node whose Lease is no longer renewed is Unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from controllers.plan import Action, Controller, Key, Patch, Plan, UpdateStatus, itself, key_of, with_status
from machinery.api.resource import Object
from machinery.api.resources import LEASES, NODES
from machinery.api.timestamps import parse_time, rfc3339
from machinery.api.views import Node
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
_OWN = {f"{_PREFIX}{name}" for name in (*_BY_CONDITION.values(), "unschedulable")}


class State(Struct, frozen=True):
    """`renewed` is when the node last gave a sign of life, None where it never has."""

    node: Node
    renewed: datetime | None
    is_any_ready: bool = True
    """Whether some node of the cluster is."""
    awake_since: datetime | None = None
    """From when on somebody is there to see its signs: this process' start, or the machine's last sleep."""


def plan(state: State, now: datetime) -> Plan:
    node = state.node
    silent = _silent(state, now)
    actions: list[Action] = []
    if silent > GRACE and not _is_unknown(node):
        conditions = _unknown(node, rfc3339(now))
        status = {**(node.obj.get("status") or {}), "conditions": conditions}
        return Plan([UpdateStatus(NODES, with_status(node.obj, status))])
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


def _unknown(node: Node, now: str) -> list[Object]:
    said = {"status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
    return [{**condition, **said, "lastTransitionTime": now} for condition in node.conditions]


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

    def observe(cache: Cache, key: Key) -> State | None:
        found = cache.get(NODES, "", key.name)
        if found is None:
            return None
        lease = cache.get(LEASES, "kube-node-lease", key.name)
        renewed = ((lease or {}).get("spec") or {}).get("renewTime")
        # Mostly the node itself is: then nobody looks at a thousand others.
        is_any_ready = Node(found).is_true("Ready") or any(Node(each).is_true("Ready") for each in cache.list(NODES))
        return State(Node(found), parse_time(renewed) if renewed else None, is_any_ready, awake_since())

    return Controller(
        "node-lifecycle",
        wakes={NODES: itself},
        related=_others,
        observe=observe,
        plan=plan,
        identity="node-controller",
    )
