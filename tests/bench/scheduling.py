"""Pods created and bound on a hundred nodes: pods a second from the first request to the last binding."""

from __future__ import annotations

import asyncio
import time

import orjson

from tests.bench import cases, objects
from tests.bench.connection import Connection, Target

_NODES, _PODS, _WRITERS = 100, 2000, 16


async def bound_pods(target: Target) -> float:
    async with cases.connections(target, _WRITERS + 1) as opened:
        for index in range(_NODES):
            body = orjson.dumps(objects.node(f"node-{index}"))
            await opened[0].ask(target.request("POST", "/api/v1/nodes", body, Content_Type=cases.JSON))
            # What a node's kubelet and the node controller would do with the taint of a new node.
            untaint = orjson.dumps({"spec": {"taints": None}})
            kind = "application/merge-patch+json"
            await opened[0].ask(target.request("PATCH", f"/api/v1/nodes/node-{index}", untaint, Content_Type=kind))
        path = "/api/v1/namespaces/bench/pods"
        listed = orjson.loads(await opened[0].ask(target.request("GET", path + "?limit=1")))
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

        opened[-1].listen(target.request("GET", f"{path}?watch=true&resourceVersion={version}"), look)
        began = time.monotonic()

        async def make(index: int, connection: Connection) -> None:
            for number in range(index, _PODS, _WRITERS):
                body = objects.pod(f"bound-{number}")
                await connection.ask(target.request("POST", path, body, Content_Type=cases.JSON))

        await asyncio.gather(*(make(index, opened[index]) for index in range(_WRITERS)))
        async with asyncio.timeout(300):
            await done.wait()
        return _PODS / (time.monotonic() - began)
