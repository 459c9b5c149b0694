"""The Leases of simulated nodes: renewed seldom, and not all at once.

A node counts as lost when its Lease is not renewed for fifty seconds. A kubelet renews every ten; thirty leave a busy
machine twenty to be late, and cost a third. Each node has its own second for it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from controllers.plan import Controller, Create, Key, Patch, Plan, key_of
from machinery.api.resource import Object
from machinery.api.resources import LEASES, NODES
from machinery.api.timestamps import parse_time, rfc3339_micro
from machinery.api.views import View
from machinery.client.cache import Cache
from machinery.structs import Struct
from minikube_py.simulation.fleet import is_simulated

RENEW, LASTS = 30.0, 40
NAMESPACE = "kube-node-lease"


class State(Struct, frozen=True):
    node: View
    lease: Object | None


def plan(state: State, now: datetime) -> Plan:
    name = state.node.name
    since = (now.timestamp() + zlib.crc32(name.encode())) % RENEW
    again = RENEW - since
    if state.lease is None:
        return Plan([Create(LEASES, _lease(state.node, now))], requeue_after=again)
    renewed = state.lease["spec"].get("renewTime")
    if renewed and parse_time(renewed) >= now - timedelta(seconds=since):
        return Plan(requeue_after=again)
    patch = {"spec": {"renewTime": rfc3339_micro(now)}}
    return Plan([Patch(LEASES, Key(NAMESPACE, name), patch)], requeue_after=again)


def _lease(node: View, now: datetime) -> Object:
    owner = {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": node.name, "namespace": NAMESPACE, "ownerReferences": [owner]},
        "spec": {"holderIdentity": node.name, "leaseDurationSeconds": LASTS, "renewTime": rfc3339_micro(now)},
    }


def observe(cache: Cache, key: Key) -> State | None:
    node = cache.get(NODES, "", key.name)
    if node is None or not is_simulated(node):
        return None
    return State(View(node), cache.get(LEASES, NAMESPACE, key.name))


def _simulated(node: Object) -> Iterable[Key]:
    return (key_of(node),) if is_simulated(node) else ()


SIMULATED_LEASES = Controller("simulated-node-lease", wakes={NODES: _simulated}, observe=observe, plan=plan)
