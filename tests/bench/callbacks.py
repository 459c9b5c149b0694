"""The longest that one callback holds the loop while pods are bound and the store compacts: on asyncio's own loop, as
uvloop's callbacks can't be timed.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.bench import pressure, scheduling
from tests.bench.servers import program


async def longest() -> tuple[float, float]:
    """Milliseconds of CPU time and of time. The first pods and metrics come before: what they need is loaded then."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        file = Path(directory, "callbacks")
        async with program("apiserver,scheduler", by=("tests.bench.timed_program", str(file))) as running:
            async with pressure.waits(running.target):
                await scheduling.bound_pods(running.target, nodes=1, pods=50)
            began = time.monotonic()
            await scheduling.bound_pods(running.target, first=50)
            await pressure.compaction(running.target)
        told = [tuple(map(float, line.split())) for line in file.read_text().splitlines()]
        during = [(computed, took) for at, took, computed in told if at > began]
        return max(computed for computed, _ in during) * 1000, max(took for _, took in during) * 1000
