"""A pod that was to be ended for the cluster's sake, and two minutes later is not: it is not to be any more."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from controllers.plan import Controller, Key, Patch, Plan, key_of
from controllers.pods import targeted
from machinery.api.disruption import DISRUPTION_TARGET
from machinery.api.resource import Object
from machinery.api.resources import PODS
from machinery.api.timestamps import parse_time, rfc3339
from machinery.api.views import Pod
from machinery.client.cache import Cache
from machinery.structs import Struct

_STALE_AFTER = timedelta(minutes=2)


class State(Struct, frozen=True):
    pod: Pod


def plan(state: State, now: datetime) -> Plan:
    pod = state.pod
    if not _is_target(pod):
        return Plan()
    since = parse_time((pod.condition(DISRUPTION_TARGET) or {})["lastTransitionTime"])
    left = (since + _STALE_AFTER - now).total_seconds()
    if left > 0:
        return Plan(requeue_after=left)
    patch = {
        "metadata": {"uid": pod.uid, "resourceVersion": pod.resource_version},
        "status": {"conditions": targeted(pod, rfc3339(now), status="False")},
    }
    return Plan([Patch(PODS, key_of(pod.obj), patch, "status")])


def _is_target(pod: Pod) -> bool:
    """What a kubelet said is never stale: it may take any time until the pod ends."""
    if pod.deleted or pod.is_finished or not pod.is_true(DISRUPTION_TARGET):
        return False
    return (pod.condition(DISRUPTION_TARGET) or {}).get("reason") != "TerminationByKubelet"


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(PODS, key.namespace, key.name)
    return State(Pod(found)) if found is not None else None


def _targets(obj: Object) -> Iterable[Key]:
    if _is_target(Pod(obj)):
        yield key_of(obj)


STALE_DISRUPTION = Controller(
    "stale-pod-disruption", wakes={PODS: _targets}, observe=observe, plan=plan, identity="disruption-controller"
)
