"""Pods bound to nodes that no longer exist are ended, since no kubelet will do it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from controllers.plan import Controller, Delete, Key, Plan, key_of, nobody
from controllers.pods import condemned
from machinery.api.resource import Object
from machinery.api.resources import NODES, PODS
from machinery.api.timestamps import rfc3339
from machinery.api.views import Pod
from machinery.client.cache import Cache, Change
from machinery.structs import Struct


class State(Struct, frozen=True):
    pod: Pod
    node_exists: bool


def plan(state: State, now: datetime) -> Plan:
    if state.node_exists or not state.pod.node_name:
        return Plan()
    pod = state.pod
    delete = Delete(PODS, key_of(pod.obj), uid=pod.uid, grace_period_seconds=0)
    if pod.is_finished:
        return Plan([delete])
    # Controllers count a pod that failed, not one that vanished: so it fails before it goes.
    said = "PodGC: node no longer exists"
    return Plan([condemned(pod, "DeletionByPodGC", said, rfc3339(now), phase="Failed"), delete])


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(PODS, key.namespace, key.name)
    if found is None:
        return None
    pod = Pod(found)
    return State(pod, cache.get(NODES, "", pod.node_name) is not None)


def _on_gone_node(cache: Cache, change: Change) -> Iterable[Key]:
    """The pods of a node that goes, and a pod that comes to one, which may be gone already."""
    if change.resource == NODES:
        return [key_of(pod) for pod in cache.on_node(change.object["metadata"]["name"])] if change.after is None else ()
    if change.after is None or (change.before is not None and _node(change.before) == _node(change.after)):
        return ()
    return (key_of(change.after),) if _node(change.after) else ()


def _node(pod: Object) -> str:
    return Pod(pod).node_name


POD_GARBAGE = Controller(
    "pod-garbage-collector",
    wakes={PODS: nobody, NODES: nobody},
    related=_on_gone_node,
    observe=observe,
    plan=plan,
    identity="pod-garbage-collector",
)
