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
_BUCKET = re.compile(rb'loop_lag_seconds_bucket\{le="([0-9.]+|\+Inf)"\} ([0-9]+)')
# Enough to make the embedded store forget some of its past.
_WRITES, _WRITERS = 22_000, 32


@dataclass
class Waits:
    """Seconds that each GET took, and the bound in seconds below which the loop's lags meanwhile were."""

    seconds: list[float] = field(default_factory=list)
    lag: float = 0.0

    def __str__(self) -> str:
        found = sorted(self.seconds)
        p99 = found[int(len(found) * 0.99)] if found else 0.0
        return f"p99 {p99 * 1000:.0f} ms, loop held below {self.lag * 1000:.0f} ms"


@asynccontextmanager
async def waits(target: Target) -> AsyncIterator[Waits]:
    """Asks for one small object a hundred times a second while the block runs."""
    found = Waits()
    before = await _lags(target)
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
    after = await _lags(target)
    above = {bound: after[""] - after[bound] - (before[""] - before[bound]) for bound in after if bound}
    found.lag = min((float(bound) for bound, count in above.items() if not count), default=float("inf"))


async def _lags(target: Target) -> dict[str, int]:
    """How many lags were below each bound, all of them under the empty one."""
    async with cases.connections(target, 1) as (one,):
        text = await one.ask(target.request("GET", "/metrics"))
    found = {bound.decode(): int(count) for bound, count in _BUCKET.findall(text)}
    found[""] = found.pop("+Inf")
    return found


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
