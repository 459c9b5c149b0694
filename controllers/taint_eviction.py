"""Pods that don't bear a NoExecute taint of their node go: at once, or after as long as they tolerate it.

How long a pod has borne a taint is told by the taint (`timeAdded`) or, where that says nothing, counted from when it
was first seen here: then a restart gives the pod its whole time again, as upstream's does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from controllers.plan import Controller, Delete, Key, Plan, Record, key_of, nobody
from controllers.pods import condemned
from controllers.since import Since
from machinery.api.resource import Object
from machinery.api.resources import NODES, PODS
from machinery.api.taints import tolerates
from machinery.api.timestamps import parse_time, rfc3339
from machinery.api.views import Node, Pod
from machinery.client.cache import Cache, Change
from machinery.structs import Struct

_MESSAGE = "Taint manager: deleting due to NoExecute taint"


class State(Struct, frozen=True):
    """`taints` are the NoExecute ones of the pod's node."""

    pod: Pod
    taints: Sequence[Object]


def taint_eviction() -> Controller:
    """The controller; it remembers when it first saw a pod bear which taints, and which are to go later."""
    seen = Since()
    waiting: set[Key] = set()

    def observe(cache: Cache, key: Key) -> State | None:
        found = cache.get(PODS, key.namespace, key.name)
        if found is None:
            seen.forget(key)
            waiting.discard(key)
            return None
        return State(Pod(found), _taints(cache, Pod(found)))

    def plan(state: State, now: datetime) -> Plan:
        key = key_of(state.pod.obj)
        decided = _decided(state, key, now)
        was_waiting = key in waiting
        (waiting.add if decided.requeue_after else waiting.discard)(key)
        if was_waiting and decided == Plan() and state.pod.is_active:
            said = f"Cancelling deletion of Pod {key.namespace}/{key.name}"
            return Plan([Record(state.pod.obj, "Normal", "TaintManagerEviction", said)])
        return decided

    def _decided(state: State, key: Key, now: datetime) -> Plan:
        if not state.taints:
            seen.forget(key)
            return Plan()
        # Other taints, or another pod of the name, begin anew.
        mark = repr([state.pod.uid, sorted(_name(taint) for taint in state.taints)])
        return decide(state, seen.of(key, mark, now), now)

    return Controller(
        "taint-eviction",
        wakes={PODS: nobody, NODES: nobody},
        related=_concerned,
        observe=observe,
        plan=plan,
        identity="node-controller",
        component="taint-eviction-controller",
    )


def decide(state: State, seen: datetime, now: datetime) -> Plan:
    """What to do with a pod that was first seen to bear its node's taints at `seen`."""
    pod = state.pod
    if pod.deleted or pod.is_finished:
        return Plan()
    ends = _ends(state, seen)
    if ends is None:
        return Plan()
    left = (ends - now).total_seconds()
    return Plan(requeue_after=left) if left > 0 else _evict(pod, now)


def _ends(state: State, seen: datetime) -> datetime | None:
    """When the pod has to go; None where it may stay."""
    ends: list[datetime] = []
    for taint in state.taints:
        # The first toleration that bears it counts, whatever others say.
        bearing = next((each for each in state.pod.tolerations if tolerates([each], taint)), None)
        if bearing is None:
            return seen
        seconds = bearing.get("tolerationSeconds")
        if seconds is not None:
            ends.append(_since(state.pod, taint, seen) + timedelta(seconds=max(seconds, 0)))
    return min(ends, default=None)


def _since(pod: Pod, taint: Object, seen: datetime) -> datetime:
    """The later of when the taint came and when the pod did."""
    if not taint.get("timeAdded"):
        return seen
    scheduled = (pod.condition("PodScheduled") or {}).get("lastTransitionTime")
    added = parse_time(taint["timeAdded"])
    return max(added, parse_time(scheduled)) if scheduled else added


def _evict(pod: Pod, now: datetime) -> Plan:
    said = f"Marking for deletion Pod {pod.namespace}/{pod.name}"
    return Plan(
        [
            Record(pod.obj, "Normal", "TaintManagerEviction", said),
            condemned(pod, "DeletionByTaintManager", _MESSAGE, rfc3339(now)),
            Delete(PODS, key_of(pod.obj), uid=pod.uid),
        ]
    )


def _taints(cache: Cache, pod: Pod) -> list[Object]:
    return _driving_out(cache.get(NODES, "", pod.node_name)) if pod.node_name else []


def _name(taint: Object) -> tuple[str, str, str]:
    return taint["key"], taint.get("value") or "", taint.get("timeAdded") or ""


def _concerned(cache: Cache, change: Change) -> Iterable[Key]:
    """Pods that come to a node, bear other taints, or go; and the pods of a node whose taints have changed."""
    if change.resource == PODS:
        if change.before is None or change.after is None or _place(change.before) != _place(change.after):
            yield key_of(change.object)
    elif change.after is not None and _driving_out(change.before) != _driving_out(change.after):
        yield from (key_of(pod) for pod in cache.on_node(change.object["metadata"]["name"]))


def _place(obj: Object) -> tuple[str, list[Object]]:
    pod = Pod(obj)
    return pod.node_name, pod.tolerations


def _driving_out(node: Object | None) -> list[Object]:
    return [taint for taint in Node(node).taints if taint["effect"] == "NoExecute"] if node is not None else []
