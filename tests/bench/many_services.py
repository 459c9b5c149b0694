"""1,000 Services of 10 endpoints in a network namespace of its own: the proxy's first sync, one change, its memory.

    unshare --net python -m tests.bench.many_services

The API server is real, on a store in memory; prints its figures as a line of JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
# <linux/netlink.h>, <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h>, <asm-generic/socket.h>
_NETLINK_NETFILTER, _SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _NFNLGRP_NFTABLES, _SO_RCVBUFFORCE = 12, 270, 1, 7, 33
_NEW_GENERATION = 10 << 8 | 15
_MESSAGE, _ROOM = 1 << 20, 1 << 27


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

    def __init__(self, told: socket.socket) -> None:
        self._told = told

    async def changes(self) -> None:
        """Returns once a transaction has been made."""
        async with asyncio.timeout(_NEVER):
            while _NEW_GENERATION not in _types(await asyncio.get_running_loop().sock_recv(self._told, _MESSAGE)):
                pass


def _types(told: bytes) -> set[int]:
    """The types of the messages (RFC 3549, section 2.3.2)."""
    found, at = set(), 0
    while at < len(told):
        length, kind = struct.unpack_from("=IH", told, at)
        found.add(kind)
        at += (length + 3) & ~3
    return found


@contextmanager
def kernel() -> Iterator[Kernel]:
    # Of uvloop's and of asyncio's loops neither knows netlink's addresses, which sock_recv doesn't ask for.
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_NETFILTER) as told:
        told.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        told.bind((0, 0))
        told.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _NFNLGRP_NFTABLES)
        yield Kernel(told)


def _memory() -> float:
    gc.collect()
    give_back()
    return pss(os.getpid())


async def _change(client: Client, kernel: Kernel, endpoints: int) -> float:
    """Milliseconds from the write of a slice with so many endpoints until the kernel leads to them."""
    # From rest: what comes right after a change waits as long as that took.
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await client.patch(ENDPOINT_SLICES, "s7-x", {"endpoints": _slice(7, endpoints)["endpoints"]}, "default")
    await kernel.changes()
    return (time.monotonic() - began) * 1000


def _check(endpoints: int) -> None:
    """Raises where the kernel does not lead to so many of the Service that was changed."""
    found = next(each["map"]["elem"] for each in nft.query("list map ip many services") if "map" in each)
    leads = {str(key["concat"][0]): verdict["goto"]["target"] for key, verdict in found}
    if f"mod {endpoints} map" not in nft.run(f"list chain ip many {leads['10.96.1.8']}"):
        raise RuntimeError("the kernel changed and leads elsewhere")


async def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        async with running(Path(directory)) as api:
            client = api.client("bench", ("system:masters",))
            await _make(client)
            # The libraries are there anyway, by the runtime's network.
            nft.run("add table ip warm")
            await asyncio.to_thread(route.lead, _CONFIG.service_cidrs, "")
            with kernel() as changes:
                before, began = _memory(), time.monotonic()
                async with asyncio.TaskGroup() as group:
                    proxy = group.create_task(Proxy(_CONFIG, "n", api.cache, SystemClock()).run())
                    await changes.changes()
                    first = time.monotonic() - began
                    memory = _memory() - before
                    counts = [1 + at % (_ENDPOINTS - 1) for at in range(_CHANGES)]
                    took = [await _change(client, changes, count) for count in counts]
                    _check(counts[-1])
                    proxy.cancel()
    print(json.dumps(asdict(Figures(first, median(took), memory))))


if __name__ == "__main__":
    uvloop.run(main())
