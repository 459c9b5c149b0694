"""Events about pods, written behind the bindings: a pod that waits for a node goes before the news of another."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from machinery.api.resource import Object
from machinery.client.clock import Clock
from machinery.client.recorder import EventRecorder
from machinery.structs import Struct
from scheduler.pod_info import PodInfo

LOG = logging.getLogger("scheduler")
LATEST = 3.0
"""Seconds that an Event waits for a burst of pods to pass."""
AT_ONCE = 16
MOST = 10_000


class _Event(Struct, frozen=True):
    recorder: EventRecorder
    about: Object
    type: str
    reason: str
    message: str
    since: float


class Telling:
    """`tell` returns at once; `run` writes. `idle` returns when no pod waits for its turn."""

    def __init__(
        self, recorders: Mapping[str, EventRecorder], clock: Clock, idle: Callable[[], Awaitable[None]]
    ) -> None:
        self._recorders = recorders
        self._clock = clock
        self._idle = idle
        self._waiting: deque[_Event] = deque()
        self._some = asyncio.Event()

    def tell(self, pod: PodInfo, about: Object, type_: str, reason: str, message: str) -> None:
        """Keeps the Event for later, in the name of the pod's scheduler; drops what is more than can be held."""
        if len(self._waiting) >= MOST:
            LOG.warning("too many Events wait, one is dropped: %s", message)
            return
        recorder = self._recorders[pod.shape.example.scheduler_name]
        self._waiting.append(_Event(recorder, about, type_, reason, message, self._clock.monotonic()))
        self._some.set()

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                await self._quiet(self._waiting[0])
                batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
                async with asyncio.TaskGroup() as group:
                    for event in batch:
                        written = event.recorder.record(event.about, event.type, event.reason, event.message)
                        group.create_task(written)

    async def _quiet(self, oldest: _Event) -> None:
        try:
            async with asyncio.timeout(max(oldest.since + LATEST - self._clock.monotonic(), 0)):
                await self._idle()
        except TimeoutError:
            pass
