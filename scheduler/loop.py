"""The scheduler's loop: takes a pod, decides on a snapshot, binds; the rest of this file is what wakes it.

A pod that was bound counts on its node at once (it is assumed), also before the watch tells so.
"""

from __future__ import annotations

import asyncio
import logging

from machinery.api.errors import StatusError
from machinery.api.resource import Object
from machinery.api.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from machinery.api.timestamps import rfc3339
from machinery.api.views import Pod
from machinery.client.cache import Cache, Change
from machinery.client.client import Client, PatchType
from machinery.client.clock import Clock
from machinery.client.recorder import EventRecorder
from machinery.contain import contain
from scheduler.keys import PodKey
from scheduler.plugins.volumes import claim_names
from scheduler.queue import SchedulingQueue
from scheduler.schedule import Decision, schedule
from scheduler.snapshot import Claim, Snapshot

LOG = logging.getLogger("scheduler")
NAME = "default-scheduler"


async def run(client: Client, cache: Cache, clock: Clock) -> None:
    """Schedules until cancelled."""
    await Scheduler(client, cache, clock).run()


class Scheduler:
    """Binds the pods whose `spec.schedulerName` is `default-scheduler`."""

    def __init__(self, client: Client, cache: Cache, clock: Clock) -> None:
        self._client = client
        self._cache = cache
        self._clock = clock
        self._queue = SchedulingQueue(clock)
        self._assumed: dict[PodKey, Object] = {}
        self._recorder = EventRecorder(client, NAME)

    async def run(self) -> None:
        self._cache.subscribe(NODES, self._on_node)
        for resource in (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES):
            self._cache.subscribe(resource, lambda change: self._queue.wake())
        self._cache.subscribe(PODS, self._on_pod)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(self._schedule())

    def _on_node(self, change: Change) -> None:
        # A node's heartbeats are many and make room for nobody.
        if change.before is None or change.after is None or _room(change.before) != _room(change.after):
            self._queue.wake()

    def _on_pod(self, change: Change) -> None:
        pod = Pod(change.object)
        key = PodKey.of(pod)
        if change.after is None or pod.node_name or pod.is_finished:
            self._queue.forget(key)
            if pod.node_name:
                self._assumed.pop(key, None)
            if change.after is None or pod.is_finished:
                # What it held on its node is free.
                self._queue.wake()
            return
        if pod.scheduler_name != NAME or pod.deleted or pod.scheduling_gates:
            return
        before = Pod(change.before) if change.before is not None else None
        if before is None or before.obj.get("spec") != pod.obj.get("spec"):
            self._queue.add(pod)

    async def _schedule(self) -> None:
        while True:
            key = await self._queue.pop()
            with contain("scheduling attempt", about=f"{key.namespace}/{key.name}"):
                await self.attempt(key)
            # A burst of pods must not hold the loop.
            await asyncio.sleep(0)

    async def attempt(self, key: PodKey) -> None:
        """One scheduling attempt, from the cache's pod to its binding or its failure told."""
        found = self._cache.get(PODS, key.namespace, key.name)
        if found is None or Pod(found).uid != key.uid or Pod(found).node_name or key in self._assumed:
            return
        pod = Pod(found)
        decision = schedule(pod, self._snapshot(pod))
        if not decision.node:
            self._queue.failed(key)
            await self._tell_failure(pod, decision)
            return
        self._assumed[key] = {**found, "spec": {**found["spec"], "nodeName": decision.node}}
        try:
            await self._bind(pod, decision.node)
        except StatusError as error:
            self._assumed.pop(key, None)
            LOG.info("binding %s/%s to %s: %s", key.namespace, key.name, decision.node, error.message)
            self._queue.failed(key)
            self._queue.wake()
            return
        message = f"Successfully assigned {pod.namespace}/{pod.name} to {decision.node}"
        await self._recorder.record(pod.obj, "Normal", "Scheduled", message)

    def _snapshot(self, pod: Pod) -> Snapshot:
        nodes = self._cache.list(NODES)
        pods_on = {node["metadata"]["name"]: list(self._cache.on_node(node["metadata"]["name"])) for node in nodes}
        for obj in self._assumed.values():
            pods_on.setdefault(obj["spec"]["nodeName"], []).append(obj)
        return Snapshot.of(nodes, pods_on, self._claims(pod))

    def _claims(self, pod: Pod) -> dict[str, Claim]:
        found = {}
        for name in claim_names(pod):
            claim = self._cache.get(PERSISTENT_VOLUME_CLAIMS, pod.namespace, name)
            if claim is not None:
                storage_class = self._cache.get(STORAGE_CLASSES, "", claim["spec"].get("storageClassName") or "")
                mode = (storage_class or {}).get("volumeBindingMode")
                found[name] = Claim(claim, mode == "WaitForFirstConsumer")
        return found

    async def _bind(self, pod: Pod, node: str) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"kind": "Node", "name": node},
        }
        await self._client.create(PODS, binding, pod.namespace, name=pod.name, subresource="binding")

    async def _tell_failure(self, pod: Pod, decision: Decision) -> None:
        await self._recorder.record(pod.obj, "Warning", "FailedScheduling", decision.message)
        before = pod.condition("PodScheduled")
        if before is not None and before.get("message") == decision.message:
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": decision.message,
            "lastProbeTime": None,
            "lastTransitionTime": rfc3339(self._clock.now()),
            "observedGeneration": pod.generation,
        }
        patch = {"status": {"conditions": [condition]}}
        with contain("scheduling status", about=pod.name):
            await self._client.patch(
                PODS, pod.name, patch, pod.namespace, patch_type=PatchType.STRATEGIC, subresource="status"
            )


def _room(node: Object) -> tuple[object, ...]:
    """What of a node decides whether a pod may go there."""
    return node.get("spec"), node["metadata"].get("labels"), (node.get("status") or {}).get("allocatable")
