"""How long others wait while the cluster is busy: one client's GETs, and the longest that a callback held the loop."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

from tests.bench import cases
from tests.bench.connection import Target

_EVERY = 0.01
_LONGEST = re.compile(rb"loop_lag_longest_seconds ([0-9.e-]+)")
# Enough to make the embedded store forget some of its past.
_WRITES, _WRITERS = 22_000, 32


@dataclass
class Waits:
    """Seconds that each GET took, and the loop's longest lag so far in seconds."""

    seconds: list[float] = field(default_factory=list)
    lag: float = 0.0

    def __str__(self) -> str:
        found = sorted(self.seconds)
        p99 = found[int(len(found) * 0.99)] if found else 0.0
        return f"p99 {p99 * 1000:.0f} ms, loop held {self.lag * 1000:.0f} ms at most"


@asynccontextmanager
async def waits(target: Target) -> AsyncIterator[Waits]:
    """Asks for one small object a hundred times a second while the block runs."""
    found = Waits()
    request = target.request("GET", "/api/v1/namespaces/bench")
    async with cases.connections(target, 1) as (one,), asyncio.TaskGroup() as group:

        async def ask() -> None:
            while True:
                began = time.monotonic()
                await one.ask(request)
                found.seconds.append(time.monotonic() - began)
                await asyncio.sleep(_EVERY)

        task = group.create_task(ask())
        try:
            yield found
        finally:
            task.cancel()
    async with cases.connections(target, 1) as (one,):
        match = _LONGEST.search(await one.ask(target.request("GET", "/metrics")))
        found.lag = float(match[1]) if match else 0.0


async def compaction(target: Target) -> Waits:
    """Writes until the store has compacted its past away."""
    path = "/api/v1/namespaces/bench/configmaps"
    async with cases.connections(target, _WRITERS) as opened, waits(target) as found:

        async def write(index: int) -> None:
            name = f"pressed-{index}"
            body = orjson.dumps({"metadata": {"name": name}, "data": {"pad": "x" * 2000}})
            await opened[index].ask(target.request("POST", path, body, Content_Type=cases.JSON))
            for turn in range(_WRITES // _WRITERS):
                patch = orjson.dumps({"data": {"turn": str(turn)}})
                kind = "application/merge-patch+json"
                await opened[index].ask(target.request("PATCH", f"{path}/{name}", patch, Content_Type=kind))

        await asyncio.gather(*(write(index) for index in range(_WRITERS)))
    return found
