"""Pods created and bound: pods a second from the first request to the last binding, by what the pods ask for.

The features are those by which upstream's scheduler_perf tells its figures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from tests.bench import cases, objects
from tests.bench.connection import Connection, Target, follow

_WRITERS, _ZONES = 16, 5
_PATH = "/api/v1/namespaces/bench/pods"
_ZONE, _HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True)
class Bound:
    """Pods a second, and the CPU time of the server for each in us."""

    rate: float
    cpu: float


Feature = Callable[[dict[str, Any]], dict[str, Any]]
"""What of its spec a pod with these labels adds."""


def plain(labels: dict[str, Any]) -> dict[str, Any]:
    return {}


def node_affinity(labels: dict[str, Any]) -> dict[str, Any]:
    wanted = {"key": _ZONE, "operator": "In", "values": ["zone-1", "zone-2", "zone-3"]}
    return {"affinity": {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}}}}


def near(labels: dict[str, Any]) -> dict[str, Any]:
    """In one zone with the others of its kind."""
    return {"affinity": {"podAffinity": {_REQUIRED: [_term(labels, _ZONE)]}}}


def rather_near(labels: dict[str, Any]) -> dict[str, Any]:
    return {"affinity": {"podAffinity": {_PREFERRED: [{"weight": 1, "podAffinityTerm": _term(labels, _HOST)}]}}}


def rather_away(labels: dict[str, Any]) -> dict[str, Any]:
    return {"affinity": {"podAntiAffinity": {_PREFERRED: [{"weight": 100, "podAffinityTerm": _term(labels, _HOST)}]}}}


def away_from_others(labels: dict[str, Any]) -> dict[str, Any]:
    """No pod of another colour on its node."""
    term = {"labelSelector": {"matchLabels": {"color": "red"}}, "topologyKey": _HOST}
    return {"affinity": {"podAntiAffinity": {_REQUIRED: [term]}}}


def spread(labels: dict[str, Any]) -> dict[str, Any]:
    rule = {"maxSkew": 5, "topologyKey": _ZONE, "whenUnsatisfiable": "DoNotSchedule"}
    return {"topologySpreadConstraints": [{**rule, "labelSelector": {"matchLabels": labels}}]}


def rather_spread(labels: dict[str, Any]) -> dict[str, Any]:
    (rule,) = spread(labels)["topologySpreadConstraints"]
    return {"topologySpreadConstraints": [{**rule, "whenUnsatisfiable": "ScheduleAnyway"}]}


def spread_and_rather_away(labels: dict[str, Any]) -> dict[str, Any]:
    return {**spread(labels), **rather_away(labels)}


FEATURES: dict[str, Feature] = {
    "SchedulingBasic": plain,
    "SchedulingNodeAffinity": node_affinity,
    "SchedulingPodAffinity": near,
    "SchedulingPodAntiAffinity": away_from_others,
    "SchedulingPreferredPodAffinity": rather_near,
    "SchedulingPreferredPodAntiAffinity": rather_away,
    "TopologySpreading": spread,
    "PreferredTopologySpreading": rather_spread,
}


def _term(labels: dict[str, Any], key: str) -> dict[str, Any]:
    return {"labelSelector": {"matchLabels": labels}, "topologyKey": key}


async def bound_pods(
    target: Target, feature: Feature = plain, *, nodes: int = 100, pods: int = 2000, first: int = 0
) -> Bound:
    """`first` numbers the first node and pod; where some are there already, none of theirs."""
    async with cases.connections(target, _WRITERS + 1) as opened:
        for index in range(first, first + nodes):
            await _add_node(target, opened[0], index)
        done = await _bindings(target, opened[0], opened[-1], pods)
        began, before = time.monotonic(), target.cpu_seconds()

        async def make(index: int, connection: Connection) -> None:
            for number in range(index, pods, _WRITERS):
                body = _pod(f"bound-{first + number}", feature)
                await connection.ask(target.request("POST", _PATH, body, Content_Type=cases.JSON))

        await asyncio.gather(*(make(index, opened[index]) for index in range(_WRITERS)))
        async with asyncio.timeout(600):
            await done.wait()
        seconds, cpu = time.monotonic() - began, target.cpu_seconds() - before
        return Bound(pods / seconds, cpu / pods * 1e6)


async def _add_node(target: Target, connection: Connection, index: int) -> None:
    node = objects.node(f"node-{index}")
    node["metadata"]["labels"][_ZONE] = f"zone-{index % _ZONES}"
    await connection.ask(target.request("POST", "/api/v1/nodes", orjson.dumps(node), Content_Type=cases.JSON))
    # What a node's kubelet and the node controller would do with the taint of a new node.
    untaint = orjson.dumps({"spec": {"taints": None}})
    kind = "application/merge-patch+json"
    await connection.ask(target.request("PATCH", f"/api/v1/nodes/node-{index}", untaint, Content_Type=kind))


async def _bindings(target: Target, asking: Connection, watching: Connection, pods: int) -> asyncio.Event:
    """Set once the watch has told of every pod's node."""
    bound: set[str] = set()
    done = asyncio.Event()

    def look(event: bytes) -> None:
        if b'"nodeName":"' in event:
            bound.add(orjson.loads(event)["object"]["metadata"]["name"])
        if len(bound) >= pods:
            done.set()

    await follow(target, asking, watching, _PATH, look)
    return done


def _pod(name: str, feature: Feature) -> bytes:
    pod: dict[str, Any] = orjson.loads(objects.pod(name))
    pod["spec"] |= feature(pod["metadata"]["labels"])
    return orjson.dumps(pod)
