"""Pods created and bound on a hundred nodes: pods a second from the first request to the last binding."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import orjson

from tests.bench import cases, objects
from tests.bench.connection import Connection, Target

_NODES, _PODS, _WRITERS, _ZONES = 100, 2000, 16, 5
_PATH = "/api/v1/namespaces/bench/pods"
_ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class Bound:
    """Pods a second, and the CPU time of the server for each in us."""

    rate: float
    cpu: float


async def bound_pods(target: Target, *, spread: bool = False) -> Bound:
    """With `spread` the pods are spread over zones and would rather not be beside one another."""
    async with cases.connections(target, _WRITERS + 1) as opened:
        for index in range(_NODES):
            await _add_node(target, opened[0], index)
        done = await _bindings(target, opened[0], opened[-1])
        began, before = time.monotonic(), target.cpu_seconds()

        async def make(index: int, connection: Connection) -> None:
            for number in range(index, _PODS, _WRITERS):
                body = _pod(f"bound-{number}", spread=spread)
                await connection.ask(target.request("POST", _PATH, body, Content_Type=cases.JSON))

        await asyncio.gather(*(make(index, opened[index]) for index in range(_WRITERS)))
        async with asyncio.timeout(300):
            await done.wait()
        seconds, cpu = time.monotonic() - began, target.cpu_seconds() - before
        return Bound(_PODS / seconds, cpu / _PODS * 1e6)


async def _add_node(target: Target, connection: Connection, index: int) -> None:
    node = objects.node(f"node-{index}")
    node["metadata"]["labels"][_ZONE] = f"zone-{index % _ZONES}"
    await connection.ask(target.request("POST", "/api/v1/nodes", orjson.dumps(node), Content_Type=cases.JSON))
    # What a node's kubelet and the node controller would do with the taint of a new node.
    untaint = orjson.dumps({"spec": {"taints": None}})
    kind = "application/merge-patch+json"
    await connection.ask(target.request("PATCH", f"/api/v1/nodes/node-{index}", untaint, Content_Type=kind))


async def _bindings(target: Target, asking: Connection, watching: Connection) -> asyncio.Event:
    """Set once the watch has told of every pod's node."""
    listed = orjson.loads(await asking.ask(target.request("GET", f"{_PATH}?limit=1")))
    version = listed["metadata"]["resourceVersion"]
    bound: set[str] = set()
    done = asyncio.Event()
    pending = b""

    def look(data: bytes) -> None:
        nonlocal pending
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            if line.startswith(b'{"type":"MODIFIED"') and b'"nodeName":"' in line:
                bound.add(orjson.loads(line)["object"]["metadata"]["name"])
        if len(bound) >= _PODS:
            done.set()

    watching.listen(target.request("GET", f"{_PATH}?watch=true&resourceVersion={version}"), look)
    return done


def _pod(name: str, *, spread: bool) -> bytes:
    if not spread:
        return objects.pod(name)
    pod: dict[str, Any] = orjson.loads(objects.pod(name))
    selector = {"matchLabels": pod["metadata"]["labels"]}
    term = {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}
    rule = {"maxSkew": 5, "topologyKey": _ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    pod["spec"]["affinity"] = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    pod["spec"]["topologySpreadConstraints"] = [rule]
    return orjson.dumps(pod)
