"""Pods that no kubelet will ever end are ended: their node is gone or out of service, or they never had one.

A node may be away for a moment only, as when it is made anew under its name, so its pods wait a while.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from controllers.plan import Controller, Delete, Key, Patch, Plan, key_of, nobody
from controllers.pods import condemned
from controllers.since import Since
from machinery.api.resource import Object
from machinery.api.resources import NODES, PODS
from machinery.api.timestamps import parse_time, rfc3339
from machinery.api.views import Node, Pod
from machinery.client.cache import Cache, Change
from machinery.structs import Struct

QUARANTINE = timedelta(seconds=40)
UNCLAIMED = timedelta(seconds=10)
"""Upstream looks every 20 s: so long, on average, others have to let go of a pod that is being deleted."""
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


class State(Struct, frozen=True):
    """The pod and its node, None where that is not there."""

    pod: Pod
    node: Node | None


def pod_garbage() -> Controller:
    """The controller, with its memory of since when it has missed the nodes of which pods."""
    missed = Since()

    def observe(cache: Cache, key: Key) -> State | None:
        found = cache.get(PODS, key.namespace, key.name)
        node = cache.get(NODES, "", Pod(found).node_name) if found is not None else None
        if found is None or node is not None:
            missed.forget(key)
        return State(Pod(found), Node(node) if node is not None else None) if found is not None else None

    def plan(state: State, now: datetime) -> Plan:
        key = key_of(state.pod.obj)
        if not state.pod.node_name or state.node is not None:
            return decide(state, now, now)
        decided = decide(state, missed.of(key, state.pod.uid, now), now)
        if decided.actions:
            # It is gone, or else waits once more.
            missed.forget(key)
        return decided

    return Controller(
        "pod-garbage-collector",
        wakes={PODS: nobody, NODES: nobody},
        related=_concerned,
        observe=observe,
        plan=plan,
        identity="pod-garbage-collector",
    )


def decide(state: State, missed: datetime, now: datetime) -> Plan:
    """What to do with a pod whose node, where it has one that is not there, has been missed since `missed`."""
    pod = state.pod
    if not pod.node_name:
        return _after(parse_time(pod.deleted) + UNCLAIMED, now, _ended(pod)) if pod.deleted else Plan()
    if state.node is None:
        said = condemned(
            pod,
            "DeletionByPodGC",
            "PodGC: node no longer exists",
            rfc3339(now),
            phase="Failed",
            observedGeneration=pod.generation,
        )
        return _after(missed + QUARANTINE, now, _ended(pod, said))
    return _ended(pod) if pod.deleted and _is_lost(state.node) else Plan()


def _after(moment: datetime, now: datetime, then: Plan) -> Plan:
    left = (moment - now).total_seconds()
    return Plan(requeue_after=left) if left > 0 else then


def _ended(pod: Pod, said: Patch | None = None) -> Plan:
    """Controllers count a pod that failed, not one that vanished: so it fails before it goes."""
    delete = Delete(PODS, key_of(pod.obj), uid=pod.uid, grace_period_seconds=0)
    if pod.is_finished:
        return Plan([delete])
    status = {"phase": "Failed", "observedGeneration": pod.generation}
    failed = Patch(PODS, key_of(pod.obj), {"metadata": {"uid": pod.uid}, "status": status}, "status")
    return Plan([said or failed, delete])


def _is_lost(node: Node) -> bool:
    """Somebody has said that the machine is off, and nothing contradicts (KEP-2268)."""
    return not node.is_true("Ready") and any(taint["key"] == _OUT_OF_SERVICE for taint in node.taints)


def _concerned(cache: Cache, change: Change) -> Iterable[Key]:
    """The pods of a node that goes or is lost; a pod that comes to a node, which may be gone already, or is deleted."""
    after = change.after
    if change.resource == NODES:
        was, is_lost = (obj is not None and _is_lost(Node(obj)) for obj in (change.before, after))
        is_over = after is None or is_lost and not was
        return [key_of(pod) for pod in cache.on_node(change.object["metadata"]["name"])] if is_over else ()
    if after is None or (change.before is not None and _standing(change.before) == _standing(after)):
        return ()
    return (key_of(after),) if any(_standing(after)) else ()


def _standing(obj: Object) -> tuple[str, bool]:
    pod = Pod(obj)
    return pod.node_name, bool(pod.deleted)
