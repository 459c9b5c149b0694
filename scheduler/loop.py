"""The scheduler's loop: takes a pod, decides on a snapshot, and goes on with the next while the first is being bound.

A pod that was given a node counts there at once (it is assumed), before its binding is written and seen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from machinery.api.errors import StatusError
from machinery.api.resource import Object
from machinery.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from machinery.api.views import Pod
from machinery.client.cache import Cache, Change
from machinery.client.client import Client
from machinery.client.clock import Clock
from machinery.client.recorder import EventRecorder
from machinery.contain import contain
from machinery.structs import replace
from scheduler.binding import bind, bind_volumes, evict, tell_nomination, tell_unschedulable
from scheduler.cluster import FOLLOWED, Cluster
from scheduler.cluster_events import ClusterEvent, Happened, events_of
from scheduler.configuration import Configuration
from scheduler.framework import Candidate, Decision, Outcome, Reservation
from scheduler.keys import PodKey
from scheduler.pod_info import PodInfo
from scheduler.queue import SchedulingQueue
from scheduler.schedule import post_filter, reserve, schedule
from scheduler.snapshot import Snapshot
from scheduler.telling import Telling

LOG = logging.getLogger("scheduler")
Work = Callable[[], Awaitable[None]]
BINDINGS_AT_ONCE = 64
HOLDS_FOR = 0.002
"""Seconds after which a long look lets others go first."""


async def run(client: Client, cache: Cache, clock: Clock, configuration: Configuration | None = None) -> None:
    """Schedules until cancelled, as configured or as upstream does by default."""
    await Scheduler(client, cache, clock, configuration or Configuration()).run()


class Scheduler:
    """Binds the pods whose `spec.schedulerName` is that of a profile."""

    def __init__(self, client: Client, cache: Cache, clock: Clock, configuration: Configuration) -> None:
        self._client = client
        self._cache = cache
        self._clock = clock
        self._profiles = {profile.name: profile for profile in configuration.profiles}
        self._cluster = Cluster(cache)
        plugins = [plugin for profile in configuration.profiles for plugin in profile.plugins]
        hints = {plugin.name: plugin.hint for plugin in plugins if plugin.hint is not None}
        self._queue = SchedulingQueue(
            clock, hints, initial=configuration.initial_backoff, most=configuration.max_backoff
        )
        recorders = {name: EventRecorder(client, name, clock=clock) for name in self._profiles}
        self._telling = Telling(recorders, clock, self._queue.idle)
        self._slots = asyncio.Semaphore(BINDINGS_AT_ONCE)
        self._preempting: set[PodKey] = set()

    async def run(self) -> None:
        for resource in (*FOLLOWED, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES):
            self._cache.subscribe(resource, self._on_change)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(self._telling.run())
            group.create_task(self._schedule(group))

    def _on_change(self, change: Change) -> None:
        metadata = change.object["metadata"]
        about = f"{metadata.get('namespace', '')}/{metadata['name']}"
        if change.resource in FOLLOWED:
            with contain("scheduler's view", about=about):
                self._cluster.see(change)
        if change.resource == PODS:
            with contain("scheduling queue", about=about):
                self._on_pod(change)
        if self._queue.is_any_aside:
            with contain("cluster events", about=about):
                for event in events_of(change):
                    self._queue.happened(event)

    def _on_pod(self, change: Change) -> None:
        pod = Pod(change.object)
        if change.after is None or pod.node_name or pod.is_finished or pod.deleted:
            self._queue.forget(PodKey.of(pod))
            return
        is_mine = pod.scheduler_name in self._profiles and not pod.scheduling_gates
        if is_mine and (change.before is None or _asks(change.before) != _asks(pod.obj)):
            self._queue.add(self._cluster.shapes.info(pod.obj), pod.created)

    async def _schedule(self, group: asyncio.TaskGroup) -> None:
        while True:
            pod = await self._queue.pop()
            await self._slots.acquire()
            work: Work | None = None
            is_over = False
            with contain("scheduling attempt", about=f"{pod.key.namespace}/{pod.key.name}"):
                work = self._attempt(pod)
                is_over = True
            if not is_over:
                self._queue.retry(pod.key)
            if work is None:
                self._slots.release()
            else:
                group.create_task(self._carry_out(pod.key, work))
            # A burst of pods must not hold the loop.
            await asyncio.sleep(0)

    async def _carry_out(self, key: PodKey, work: Work) -> None:
        try:
            with contain("scheduling", about=f"{key.namespace}/{key.name}"):
                await work()
        finally:
            self._slots.release()

    def _attempt(self, pod: PodInfo) -> Work | None:
        """Decides on the pod; what is still to be done about it, None where there is nothing."""
        key = pod.key
        found = self._cache.get(PODS, key.namespace, key.name)
        if found is None or found["metadata"]["uid"] != key.uid or self._cluster.infos.is_placed(key):
            return None
        if found["spec"].get("nodeName") or found["metadata"].get("deletionTimestamp"):
            return None
        if key in self._preempting:
            # Its victims are still being evicted.
            self._queue.retry(key)
            return None
        snapshot = self._cluster.snapshot(pod)
        profile = self._profiles[pod.shape.example.scheduler_name]
        decision = schedule(pod, snapshot, profile)
        self._cluster.looked_at(decision.looked_at)
        if not decision.node:
            self._preempting.add(key)
            self._queue.failed(key, decision.refused_by)
            return partial(self._fail, pod, found, snapshot, decision)
        plan = reserve(pod, snapshot, decision.node, profile)
        self._cluster.nominate(pod, "")
        self._cluster.infos.assume(pod, decision.node)
        return partial(self._bind, pod, found, decision.node, plan)

    async def _bind(self, pod: PodInfo, obj: Object, node: str, plan: Reservation) -> None:
        key = pod.key
        is_bound = False
        try:
            if plan.claims:
                await self._bind_volumes(pod, obj, node, plan)
            await bind(self._client, key, node)
            is_bound = True
        except (StatusError, TimeoutError) as error:
            LOG.info("binding %s/%s to %s: %s", key.namespace, key.name, node, error)
            if plan.claims:
                await self._tell_nomination(key, "")
        finally:
            if not is_bound:
                # Whatever happened, the pod takes nothing there and is tried again.
                self._cluster.infos.forget(key)
                self._queue.retry(key)
                self._queue.happened(ClusterEvent(Happened.POD_GONE, obj, obj))
        if is_bound:
            message = f"Successfully assigned {key.namespace}/{key.name} to {node}"
            self._telling.tell(pod, obj, "Normal", "Scheduled", message)

    async def _bind_volumes(self, pod: PodInfo, obj: Object, node: str, plan: Reservation) -> None:
        """Without a slot meanwhile: a volume may be long in the making, and other pods need none.

        Until then others see by the nomination where the pod will go (KEP-5278).
        """
        self._slots.release()
        try:
            if (obj.get("status") or {}).get("nominatedNodeName") != node:
                await self._tell_nomination(pod.key, node)
            await bind_volumes(self._client, self._cache, plan, node)
        finally:
            await self._slots.acquire()

    async def _tell_nomination(self, key: PodKey, node: str) -> None:
        """A nomination that can't be told harms nobody."""
        with contain("nomination", about=f"{key.namespace}/{key.name}"):
            await tell_nomination(self._client, key, node)

    async def _fail(self, pod: PodInfo, obj: Object, snapshot: Snapshot, decision: Decision) -> None:
        """Makes room where that is possible; tells the failure."""
        try:
            outcome = await self._post_filter(pod, snapshot, decision)
            if outcome.chosen is not None:
                self._cluster.nominate(pod, outcome.chosen.node)
                await self._evict(pod, outcome.chosen)
            self._telling.tell(pod, obj, "Warning", "FailedScheduling", outcome.message)
            await tell_unschedulable(self._client, self._clock, obj, outcome.message, outcome.nominated)
        except StatusError as error:
            LOG.info("telling of %s/%s: %s", pod.key.namespace, pod.key.name, error)
        finally:
            self._preempting.discard(pod.key)

    async def _post_filter(self, pod: PodInfo, snapshot: Snapshot, decision: Decision) -> Outcome:
        profile = self._profiles[pod.shape.example.scheduler_name]
        steps = post_filter(pod, replace(snapshot, budgets=self._cluster.budgets()), decision, profile)
        since = self._clock.monotonic()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            # A look at many nodes with many pods must not hold the loop.
            if self._clock.monotonic() - since > HOLDS_FOR:
                await asyncio.sleep(0)
                since = self._clock.monotonic()

    async def _evict(self, pod: PodInfo, chosen: Candidate) -> None:
        for other in self._cluster.lesser_nominated(chosen.node, pod.priority):
            # What is freed there is not for them: they look anew.
            self._cluster.nominate(other, "")
            await self._tell_nomination(other.key, "")
        for victim in chosen.victims:
            found = self._cache.get(PODS, victim.key.namespace, victim.key.name)
            if found is None or PodKey.of(Pod(found)) != victim.key:
                continue
            try:
                is_evicted = await evict(self._client, self._clock, found, pod.shape.example.scheduler_name)
            except StatusError as error:
                # The others go nevertheless; the next attempt sees who is left.
                LOG.info("evicting %s/%s: %s", victim.key.namespace, victim.key.name, error)
                continue
            if is_evicted:
                message = f"Preempted by pod {pod.key.uid} on node {chosen.node}"
                self._telling.tell(pod, found, "Normal", "Preempted", message)


def _asks(pod: Object) -> tuple[object, ...]:
    """What of a pod that waits may change where it can go."""
    return pod["spec"], pod["metadata"].get("labels")
