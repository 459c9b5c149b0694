"""1,000 Services of 10 endpoints in a network namespace of its own: the proxy's first sync, one change, its memory.

    unshare --net python -m tests.bench.many_services

The API server is real, on a store in memory; prints its figures as a line of JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from kubelet.proxy import route
from kubelet.proxy.proxy import Proxy, ProxyConfig
from machinery.api.resources import ENDPOINT_SLICES, SERVICES
from machinery.client.client import Client
from machinery.client.clock import SystemClock
from machinery.linux import nft
from minikube_py.memory import give_back
from tests.bench import own_network
from tests.bench.servers import pss
from tests.contract.apiserver_running import running

_SERVICES, _ENDPOINTS, _CHANGES = 1000, 10, 15
_CONFIG = ProxyConfig("many", ("10.244.0.0/16",), ("10.96.0.0/12",))
_NEVER = 60.0


@dataclass(frozen=True)
class Figures:
    """Seconds of the first sync, milliseconds of one change from the write to the kernel, megabytes that stay."""

    first: float
    change: float
    memory: float


async def measured() -> Figures:
    """The same in a process and namespace of its own."""
    return Figures(**await own_network.figures("tests.bench.many_services"))


def _slice(number: int, endpoints: int) -> dict[str, Any]:
    addresses = (number * _ENDPOINTS + each for each in range(endpoints))
    return {
        "metadata": {
            "name": f"s{number}-x", "namespace": "default", "labels": {"kubernetes.io/service-name": f"s{number}"}
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [f"10.244.{each // 250}.{each % 250 + 1}"]} for each in addresses],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }  # fmt: skip


async def _make(client: Client) -> None:
    for number in range(_SERVICES):
        ports = [{"name": "http", "port": 80, "targetPort": 8080}]
        spec = {"ports": ports, "clusterIP": f"10.96.{number // 250 + 1}.{number % 250 + 1}"}
        made = {"metadata": {"name": f"s{number}", "namespace": "default"}, "spec": spec}
        await client.create(SERVICES, made, "default")
        await client.create(ENDPOINT_SLICES, _slice(number, _ENDPOINTS), "default")


class Kernel:
    """What the kernel tells of its changes, as it makes them."""

    def __init__(self, told: asyncio.StreamReader) -> None:
        self._told = told

    async def has(self, *words: str) -> None:
        """Returns once a change with these words has come."""
        async with asyncio.timeout(_NEVER):
            while line := (await self._told.readline()).decode():
                if all(word in line for word in words):
                    return
        raise EOFError("nft tells no more")


@asynccontextmanager
async def kernel() -> AsyncIterator[Kernel]:
    child = await asyncio.create_subprocess_exec(
        "nft", "monitor", stdout=asyncio.subprocess.PIPE, limit=1 << 24, env={**os.environ, "LC_ALL": "C"}
    )
    assert child.stdout is not None
    try:
        yield Kernel(child.stdout)
    finally:
        child.terminate()
        await child.wait()


def _memory() -> float:
    gc.collect()
    give_back()
    return pss(os.getpid())


async def _change(client: Client, kernel: Kernel, chain: str, endpoints: int) -> float:
    """Milliseconds from the write of a slice with so many endpoints until the kernel leads to them."""
    began = time.monotonic()
    await client.patch(ENDPOINT_SLICES, "s7-x", {"endpoints": _slice(7, endpoints)["endpoints"]}, "default")
    await kernel.has(chain, f"mod {endpoints} map")
    return (time.monotonic() - began) * 1000


async def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        async with running(Path(directory)) as api, kernel() as changes:
            client = api.client("bench", ("system:masters",))
            await _make(client)
            # The libraries are there anyway, by the runtime's network.
            nft.run("add table ip warm")
            await changes.has("warm")
            await asyncio.to_thread(route.lead, _CONFIG.service_cidrs, "")
            before, began = _memory(), time.monotonic()
            async with asyncio.TaskGroup() as group:
                proxy = group.create_task(Proxy(_CONFIG, "n", api.cache, SystemClock()).run())
                await changes.has("add table", "many")
                await changes.has("new generation")
                first = time.monotonic() - began
                memory = _memory() - before
                found = nft.query("list map ip many services")
                leads = {str(key["concat"][0]): verdict["goto"]["target"]
                         for key, verdict in next(each["map"]["elem"] for each in found if "map" in each)}  # fmt: skip
                chain = leads["10.96.1.8"]
                took = [await _change(client, changes, chain, 1 + at % (_ENDPOINTS - 1)) for at in range(_CHANGES)]
                proxy.cancel()
    print(json.dumps(asdict(Figures(first, median(took), memory))))


if __name__ == "__main__":
    uvloop.run(main())
