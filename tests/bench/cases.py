"""What is measured, a row each: requests a second of one kind, beside a server that does nothing with as many bytes."""

from __future__ import annotations

import asyncio
import itertools
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson

from tests.bench import objects
from tests.bench.connection import Connection, Target

SECONDS = 3.0
_NAMESPACE = "/api/v1/namespaces/bench"
_DEPLOYMENTS = "/apis/apps/v1/namespaces/bench/deployments"
JSON = "application/json"


@dataclass(frozen=True)
class Rate:
    """Requests a second and the CPU time in us of each; `idle_` is of the server that does nothing."""

    rate: float
    cpu: float
    idle_rate: float
    idle_cpu: float

    @property
    def ratio(self) -> float:
        return self.rate / self.idle_rate


@asynccontextmanager
async def connections(target: Target, number: int) -> AsyncIterator[list[Connection]]:
    opened = [await target.connect() for _ in range(number)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


async def rate(target: Target, number: int, requests: Callable[[int], Iterator[bytes]]) -> tuple[float, float]:
    """Requests a second over `number` connections for SECONDS, and the server's CPU time in us for each."""
    async with connections(target, number) as opened:
        done = 0
        ends = time.monotonic() + SECONDS

        async def work(index: int, connection: Connection) -> None:
            nonlocal done
            for request in requests(index):
                await connection.ask(request)
                done += 1
                if time.monotonic() > ends:
                    return

        began, before = time.monotonic(), target.cpu_seconds()
        await asyncio.gather(*(work(index, connection) for index, connection in enumerate(opened)))
        seconds, cpu = time.monotonic() - began, target.cpu_seconds() - before
        return done / seconds, cpu / done * 1e6


async def beside(
    ours: Target, idle: Target, number: int, requests: Callable[[int], Iterator[bytes]], sample: bytes
) -> Rate:
    """Measures ours, then the idle server with requests as long and answers of `sample`'s length."""
    found, cpu = await rate(ours, number, requests)
    body = next(requests(0)).partition(b"\r\n\r\n")[2]
    same = idle.request("POST" if body else "GET", f"/size/{len(sample)}", body)
    return Rate(found, cpu, *await rate(idle, number, lambda _: itertools.repeat(same)))


async def get(ours: Target, idle: Target, number: int) -> Rate:
    async with connections(ours, 1) as (one,):
        made = objects.config_map("read")
        await one.ask(ours.request("POST", f"{_NAMESPACE}/configmaps", made, Content_Type=JSON))
        request = ours.request("GET", f"{_NAMESPACE}/configmaps/read")
        sample = await one.ask(request)
        found = await beside(ours, idle, number, lambda _: itertools.repeat(request), sample)
        await one.ask(ours.request("DELETE", f"{_NAMESPACE}/configmaps/read"))
        return found


async def list_pods(ours: Target, idle: Target, *, accepts_gzip: bool) -> Rate:
    """1,000 pods with one container, about 2 kB each, over 4 connections."""
    async with connections(ours, 8) as opened:
        if len(orjson.loads(await opened[0].ask(ours.request("GET", f"{_NAMESPACE}/pods")))["items"]) < 1000:

            async def make(index: int, connection: Connection) -> None:
                for number in range(index, 1000, len(opened)):
                    body = objects.pod(f"listed-{number}")
                    await connection.ask(ours.request("POST", f"{_NAMESPACE}/pods", body, Content_Type=JSON))

            await asyncio.gather(*(make(index, connection) for index, connection in enumerate(opened)))
        extra = {"Accept_Encoding": "gzip"} if accepts_gzip else {}
        request = ours.request("GET", f"{_NAMESPACE}/pods", **extra)
        sample = await opened[0].ask(request)
        plain = zlib.decompress(sample, wbits=31) if accepts_gzip else sample
        assert len(orjson.loads(plain)["items"]) >= 1000
    return await beside(ours, idle, 4, lambda _: itertools.repeat(request), sample)


async def create_config_maps(ours: Target, idle: Target, number: int) -> Rate:
    names = itertools.count()

    def requests(index: int) -> Iterator[bytes]:
        while True:
            body = objects.config_map(f"made-{number}-{next(names)}")
            yield ours.request("POST", f"{_NAMESPACE}/configmaps", body, Content_Type=JSON)

    return await beside(ours, idle, number, requests, b"x" * 900)


async def create_deployments(ours: Target, idle: Target) -> Rate:
    names = itertools.count()

    def requests(index: int) -> Iterator[bytes]:
        while True:
            body = objects.deployment(f"made-{next(names)}")
            yield ours.request("POST", _DEPLOYMENTS, body, Content_Type=JSON)

    return await beside(ours, idle, 32, requests, b"x" * 6000)


async def patch(ours: Target, idle: Target) -> Rate:
    """A merge patch of one value, 16 connections, each its own ConfigMap."""
    async with connections(ours, 1) as (one,):
        for index in range(16):
            body = objects.config_map(f"patched-{index}")
            await one.ask(ours.request("POST", f"{_NAMESPACE}/configmaps", body, Content_Type=JSON))

    def requests(index: int) -> Iterator[bytes]:
        for turn in itertools.count():
            body = orjson.dumps({"data": {"turn": str(turn)}})
            path = f"{_NAMESPACE}/configmaps/patched-{index}"
            yield ours.request("PATCH", path, body, Content_Type="application/merge-patch+json")

    return await beside(ours, idle, 16, requests, b"x" * 900)


async def apply(ours: Target, idle: Target) -> Rate:
    """Server-side apply of a Deployment by two managers in turn, 16 connections, each its own object."""

    def requests(index: int) -> Iterator[bytes]:
        path = f"{_DEPLOYMENTS}/applied-{index}?fieldManager="
        kind = "application/apply-patch+yaml"
        for turn in itertools.count():
            full = objects.deployment(f"applied-{index}", image=f"nginx:{turn}")
            yield ours.request("PATCH", f"{path}first&force=true", full, Content_Type=kind)
            own = objects.replicas_only(f"applied-{index}", turn % 7)
            yield ours.request("PATCH", f"{path}second&force=true", own, Content_Type=kind)

    return await beside(ours, idle, 16, requests, b"x" * 6000)
