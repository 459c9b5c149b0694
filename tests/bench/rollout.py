"""A large Deployment on simulated nodes: how long it takes to come up and to roll over, and the memory for its pods."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import orjson

from minikube_py.simulation.fleet import Fleet, workload
from tests.bench import cases, pressure
from tests.bench.connection import Connection, Target, follow
from tests.bench.servers import Program

_PATH = "/apis/apps/v1/namespaces/default/deployments"
_PATIENCE = 1800


@dataclass(frozen=True)
class Rolled:
    """Seconds and CPU seconds from the change to the last available pod; what others waited for meanwhile."""

    seconds: float
    cpu: float
    waits: pressure.Waits


async def rolled(running: Program, *, replicas: int = 1000, nodes: int = 100) -> Rolled:
    target = running.target
    async with cases.connections(target, 2) as (asking, watching):
        await _come_up(target, asking, watching, replicas, nodes)
    async with cases.connections(target, 2) as (asking, watching), pressure.waits(target) as waits:
        done = await _available(target, asking, watching, replicas)
        began, before = time.monotonic(), target.cpu_seconds()
        patch = orjson.dumps({"spec": {"template": {"metadata": {"annotations": {"turn": "2"}}}}})
        kind = "application/merge-patch+json"
        await asking.ask(target.request("PATCH", f"{_PATH}/simulated", patch, Content_Type=kind))
        await _in_time(done)
        return Rolled(time.monotonic() - began, target.cpu_seconds() - before, waits)


async def memory(running: Program, *, pods: int = 10_000, nodes: int = 200) -> float:
    """PSS in MB with that many pods that run."""
    async with cases.connections(running.target, 2) as (asking, watching):
        await _come_up(running.target, asking, watching, pods, nodes)
        return running.pss()


async def _come_up(target: Target, asking: Connection, watching: Connection, replicas: int, nodes: int) -> None:
    fleet = Fleet(nodes=nodes, zones=3)
    for index in range(nodes):
        body = orjson.dumps(fleet.node(index))
        await asking.ask(target.request("POST", "/api/v1/nodes", body, Content_Type=cases.JSON))
    done = await _available(target, asking, watching, replicas)
    await asking.ask(target.request("POST", _PATH, orjson.dumps(workload(replicas)), Content_Type=cases.JSON))
    await _in_time(done)


async def _in_time(done: asyncio.Event) -> None:
    async with asyncio.timeout(_PATIENCE):
        await done.wait()


async def _available(target: Target, asking: Connection, watching: Connection, replicas: int) -> asyncio.Event:
    """Set once the watch tells of a Deployment that is as it should be, after a change from now on."""
    done = asyncio.Event()

    def look(event: bytes) -> None:
        if _is_settled(orjson.loads(event)["object"], replicas):
            done.set()

    await follow(target, asking, watching, _PATH, look)
    return done


def _is_settled(deployment: dict[str, Any], replicas: int) -> bool:
    status = deployment.get("status") or {}
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")}
    return status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == {replicas}
