"""How long callbacks hold the event loop: how much later than asked a timer fires, looked at twice a second."""

from __future__ import annotations

import asyncio
from bisect import bisect_left

INTERVAL = 0.5
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class LoopLag:
    """A histogram of lags in seconds, and the longest one."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0
        self.longest = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds
        self.longest = max(self.longest, seconds)

    def exposition(self) -> str:
        """`loop_lag_seconds` in Prometheus' text format."""
        lines = ["# HELP loop_lag_seconds How late the event loop's timers fire.", "# TYPE loop_lag_seconds histogram"]
        cumulated = 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self.counts, strict=True):
            cumulated += count
            lines.append(f'loop_lag_seconds_bucket{{le="{bound}"}} {cumulated}')
        lines += [f"loop_lag_seconds_sum {self.total}", f"loop_lag_seconds_count {cumulated}"]
        lines += ["# TYPE loop_lag_longest_seconds gauge", f"loop_lag_longest_seconds {self.longest}", ""]
        return "\n".join(lines)


LAG = LoopLag()
"""The lag of this process's loop; filled by `watch`, read by the metrics."""


async def watch(lag: LoopLag = LAG) -> None:
    """Measures until cancelled; costs two timers a second."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + INTERVAL
        await asyncio.sleep(INTERVAL)
        lag.observe(max(loop.time() - due, 0.0))
