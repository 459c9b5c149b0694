"""A hundred watchers and two writers as fast as they can: deliveries a second, and how late an event comes."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field

import orjson

from tests.bench import cases
from tests.bench.connection import Connection, Target

_MARK = b'"sent":"'
_WATCHERS, _WRITERS = 100, 2


@dataclass
class Deliveries:
    """What one watcher got: the time of sending stands in each event."""

    count: int = 0
    late: list[float] = field(default_factory=list)
    is_sampled: bool = False

    def got(self, data: bytes) -> None:
        number = data.count(_MARK)
        self.count += number
        if self.is_sampled and number:
            now = time.monotonic()
            for piece in data.split(_MARK)[1:]:
                sent = piece.partition(b'"')[0]
                if sent:
                    self.late.append(now - float(sent))


@dataclass(frozen=True)
class FanOut:
    """Events delivered a second to all watchers, and the 99th percentile of the delay in milliseconds."""

    rate: float
    p99: float


async def ours(target: Target) -> FanOut:
    """Two writers patch a ConfigMap each, all watchers watch the namespace."""
    path = "/api/v1/namespaces/bench/configmaps"
    async with cases.connections(target, 1) as (one,):
        for index in range(_WRITERS):
            body = orjson.dumps({"metadata": {"name": f"told-{index}"}, "data": {"pad": "x" * 500}})
            await one.ask(target.request("POST", path, body, Content_Type=cases.JSON))
        listed = orjson.loads(await one.ask(target.request("GET", path)))
    version = listed["metadata"]["resourceVersion"]
    watch = target.request("GET", f"{path}?watch=true&resourceVersion={version}")

    def write(index: int) -> bytes:
        body = orjson.dumps({"data": {"sent": str(time.monotonic())}})
        return target.request("PATCH", f"{path}/told-{index}", body, Content_Type="application/merge-patch+json")

    return await _measure(target, watch, write)


async def idle(target: Target, size: int) -> FanOut:
    """The same with events of `size` bytes from the server that does nothing."""
    pad = "x" * size

    def write(index: int) -> bytes:
        return target.request("POST", "/event", orjson.dumps({"sent": str(time.monotonic()), "pad": pad}))

    return await _measure(target, target.request("GET", "/watch"), write)


async def _measure(target: Target, watch: bytes, write: object) -> FanOut:
    assert callable(write)
    async with cases.connections(target, _WATCHERS + _WRITERS) as opened:
        watched = [Deliveries(is_sampled=index % 10 == 0) for index in range(_WATCHERS)]
        for got, connection in zip(watched, opened, strict=False):
            connection.listen(watch, got.got)
        await asyncio.sleep(0.5)
        ends = time.monotonic() + cases.SECONDS
        began = time.monotonic()

        async def writer(index: int, connection: Connection) -> int:
            for turn in itertools.count():
                await connection.ask(write(index))
                if time.monotonic() > ends:
                    return turn
            return 0

        await asyncio.gather(*(writer(index, opened[_WATCHERS + index]) for index in range(_WRITERS)))
        seconds = time.monotonic() - began
        await asyncio.sleep(0.3)
        late = sorted(each for got in watched for each in got.late)
        total = sum(got.count for got in watched)
        return FanOut(total / seconds, late[int(len(late) * 0.99)] * 1000 if late else 0.0)
