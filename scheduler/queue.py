"""Pods that wait for a node: by priority and age, with back-off, and set aside until something may help them.

A pod that was refused is tried again once an event came of which one of the plugins that refused it says that it may
help (a queueing hint, KEP-4247), or after five minutes, whatever happened.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from machinery.client.clock import Clock
from machinery.client.work_queue import WorkQueue
from machinery.contain import contain
from machinery.structs import Struct
from scheduler.cluster_events import ClusterEvent
from scheduler.framework import Hint
from scheduler.keys import PodKey
from scheduler.pod_info import PodInfo

INITIAL, MOST = 1.0, 10.0
FLUSH = 300.0
AT_ONCE = 256


_Entry = tuple[int, str, int, PodKey]
"""Less important ones later, then younger ones, then what came later; the number is also what tells entries apart."""


class _Waiting(Struct):
    pod: PodInfo
    created: str
    attempts: int = 0
    ready_at: float = 0.0
    queued: int = 0
    """The number of its entry that counts; 0 while it is in no line."""
    refused_by: frozenset[str] = frozenset()
    is_aside: bool = False


class SchedulingQueue:
    """`pop` gives the next key; then `failed`, `retry` or `forget` says how it went on."""

    def __init__(
        self, clock: Clock, hints: Mapping[str, Hint], *, initial: float = INITIAL, most: float = MOST
    ) -> None:
        self._clock = clock
        self._hints = hints
        self._initial, self._most = initial, most
        self._active: list[_Entry] = []
        self._pods: dict[PodKey, _Waiting] = {}
        self._aside: defaultdict[str, dict[PodKey, None]] = defaultdict(dict)
        """By the plugin that refused them, the pods that are set aside."""
        self._backing: WorkQueue[PodKey] = WorkQueue(clock)
        self._long: asyncio.Queue[tuple[str, ClusterEvent, list[PodKey]]] = asyncio.Queue()
        self._count = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()

    def __len__(self) -> int:
        return len(self._pods)

    def add(self, pod: PodInfo, created: str) -> None:
        """Queues a pod, or sees to it that a changed one is looked at again."""
        waiting = self._pods.get(pod.key)
        if waiting is None:
            waiting = self._pods[pod.key] = _Waiting(pod, created)
        waiting.pod = pod
        self._push(waiting)

    def forget(self, key: PodKey) -> None:
        waiting = self._pods.pop(key, None)
        if waiting is not None:
            self._unset(waiting)

    def failed(self, key: PodKey, refused_by: Collection[str]) -> None:
        """No node takes the pod now: it waits until one of these plugins may think otherwise."""
        waiting = self._pods.get(key)
        if waiting is None:
            return
        self._back_off(waiting)
        waiting.refused_by = frozenset(refused_by)
        waiting.is_aside = True
        for plugin in waiting.refused_by:
            self._aside[plugin][key] = None
        self._backing.add_after(key, FLUSH)

    def retry(self, key: PodKey) -> None:
        """Something went wrong that has nothing to do with the pod: it is tried again after its back-off."""
        waiting = self._pods.get(key)
        if waiting is not None:
            self._back_off(waiting)
            waiting.is_aside = True
            self._bring_back(waiting)

    @property
    def is_any_aside(self) -> bool:
        """Whether there is a pod that an event could help."""
        return any(self._aside.values())

    def happened(self, event: ClusterEvent) -> None:
        """Pods that the event may help are tried again, once their back-off has passed."""
        for plugin, keys in self._aside.items():
            hint = self._hints.get(plugin)
            if not keys or hint is None or event.happened not in hint.events:
                continue
            if len(keys) > AT_ONCE:
                self._long.put_nowait((plugin, event, list(keys)))
            else:
                self._ask(plugin, event, list(keys))

    def _ask(self, plugin: str, event: ClusterEvent, keys: Sequence[PodKey]) -> None:
        helps = self._hints[plugin].helps
        for key in keys:
            # Another event may have brought it back meanwhile.
            if key in self._aside[plugin]:
                waiting = self._pods[key]
                with contain("queueing hint", about=f"{plugin}: {key.namespace}/{key.name}"):
                    if helps(waiting.pod, event):
                        self._bring_back(waiting)

    async def run(self) -> None:
        """Brings back pods whose back-off has passed; runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask_many())
            group.create_task(self._bring_back_in_time())

    async def _ask_many(self) -> None:
        """Where very many pods wait, an event is asked about in parts: that must not hold the loop."""
        while True:
            plugin, event, keys = await self._long.get()
            for at in range(0, len(keys), AT_ONCE):
                self._ask(plugin, event, keys[at : at + AT_ONCE])
                await asyncio.sleep(0)

    async def _bring_back_in_time(self) -> None:
        while True:
            key = await self._backing.get()
            self._backing.done(key)
            waiting = self._pods.get(key)
            if waiting is not None and waiting.is_aside:
                self._bring_back(waiting)

    async def pop(self) -> PodInfo:
        while True:
            while self._active:
                *_, number, key = heapq.heappop(self._active)
                waiting = self._pods.get(key)
                if waiting is not None and waiting.queued == number:
                    waiting.queued = 0
                    return waiting.pod
            self._wake.clear()
            self._idle.set()
            await self._wake.wait()

    async def idle(self) -> None:
        """Returns when no pod waits for its turn."""
        await self._idle.wait()

    def _back_off(self, waiting: _Waiting) -> None:
        waiting.attempts += 1
        waiting.ready_at = self._clock.monotonic() + min(
            self._initial * 2.0 ** min(waiting.attempts - 1, 32), self._most
        )

    def _bring_back(self, waiting: _Waiting) -> None:
        wait = waiting.ready_at - self._clock.monotonic()
        if wait <= 0:
            self._push(waiting)
        else:
            self._out_of_sight(waiting)
            self._backing.add_after(waiting.pod.key, wait)

    def _push(self, waiting: _Waiting) -> None:
        self._unset(waiting)
        self._count += 1
        waiting.queued = self._count
        heapq.heappush(self._active, (-waiting.pod.priority, waiting.created, self._count, waiting.pod.key))
        self._idle.clear()
        self._wake.set()

    def _unset(self, waiting: _Waiting) -> None:
        self._out_of_sight(waiting)
        waiting.is_aside = False

    def _out_of_sight(self, waiting: _Waiting) -> None:
        """Events are no longer asked about for the pod."""
        for plugin in waiting.refused_by:
            self._aside[plugin].pop(waiting.pod.key, None)
        waiting.refused_by = frozenset()
