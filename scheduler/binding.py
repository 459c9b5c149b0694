"""Carries out what was decided about a pod: its volumes bound, then itself; or room made, and its failure told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from machinery.api.disruption import DISRUPTION_TARGET
from machinery.api.errors import Conflict, NotFound
from machinery.api.resource import Object
from machinery.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from machinery.api.timestamps import rfc3339
from machinery.api.views import Pod
from machinery.api.volumes import SELECTED_NODE, PersistentVolume, PersistentVolumeClaim, bound_to
from machinery.client.cache import Cache, Change
from machinery.client.client import Client, PatchType
from machinery.client.clock import Clock
from scheduler.framework import Reservation
from scheduler.keys import PodKey
from scheduler.pod_info import PREEMPTED

VOLUMES_BOUND_WITHIN = 600.0


async def bind(client: Client, key: PodKey, node: str) -> None:
    """Raises StatusError where the pod is gone, another namesake, or has a node already."""
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": key.name, "namespace": key.namespace, "uid": key.uid},
        "target": {"kind": "Node", "name": node},
    }
    await client.create(PODS, binding, key.namespace, name=key.name, subresource="binding")


async def bind_volumes(client: Client, cache: Cache, plan: Reservation, node: str) -> None:
    """Returns when every claim of the plan is bound; raises StatusError, or TimeoutError after ten minutes."""
    for claim, volume in plan.bindings:
        # The revision that was decided on goes with it: two pods can't take one volume.
        await client.update(PERSISTENT_VOLUMES, bound_to(PersistentVolume(volume), PersistentVolumeClaim(claim)))
    for claim in plan.provisions:
        metadata = claim["metadata"]
        patch = {"metadata": {"annotations": {SELECTED_NODE: node}}}
        await client.patch(PERSISTENT_VOLUME_CLAIMS, metadata["name"], patch, metadata["namespace"])
    async with asyncio.timeout(VOLUMES_BOUND_WITHIN):
        await _all_bound(cache, {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in plan.claims})


async def _all_bound(cache: Cache, names: set[tuple[str, str]]) -> None:
    """Raises Conflict where a claim goes, or loses its node: then the pod has to be looked at anew."""
    waiting = set(names)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look(change: Change) -> None:
        metadata = change.object["metadata"]
        key = (metadata["namespace"], metadata["name"])
        if key not in waiting or done.done():
            return
        if change.after is None or (change.before and _node_of(change.before) and not _node_of(change.after)):
            done.set_exception(Conflict(f"claim {key[0]}/{key[1]} can no longer be bound there"))
        elif (change.after.get("status") or {}).get("phase") == "Bound":
            waiting.discard(key)
            if not waiting:
                done.set_result(None)

    unsubscribe: Callable[[], None] = cache.subscribe(PERSISTENT_VOLUME_CLAIMS, look)
    try:
        await done
    finally:
        unsubscribe()


def _node_of(claim: Object) -> str:
    return PersistentVolumeClaim(claim).annotations.get(SELECTED_NODE, "")


async def evict(client: Client, clock: Clock, victim: Object, by: str) -> bool:
    """Marks the victim and deletes it by its grace; False where it is gone already."""
    pod = Pod(victim)
    condition = {
        "type": DISRUPTION_TARGET,
        "status": "True",
        "reason": PREEMPTED,
        "lastTransitionTime": rfc3339(clock.now()),
        "message": f"{by}: preempting to accommodate a higher priority pod",
        "observedGeneration": pod.generation,
    }
    try:
        await _set_condition(client, pod, condition)
        if not pod.deleted:
            await client.delete(PODS, pod.name, pod.namespace, uid=pod.uid)
    except NotFound:
        return False
    return True


async def tell_nomination(client: Client, key: PodKey, node: str) -> None:
    """Writes where room is kept for the pod, "" for nowhere any longer; nothing where it is gone."""
    patch = {"metadata": {"uid": key.uid}, "status": {"nominatedNodeName": node or None}}
    with contextlib.suppress(NotFound):
        await client.patch(PODS, key.name, patch, key.namespace, patch_type=PatchType.STRATEGIC, subresource="status")


async def _set_condition(client: Client, pod: Pod, condition: Object, nominated: str | None = None) -> None:
    status: Object = {"conditions": [condition]}
    if nominated is not None:
        status["nominatedNodeName"] = nominated or None
    await client.patch(
        PODS,
        pod.name,
        {"metadata": {"uid": pod.uid}, "status": status},
        pod.namespace,
        patch_type=PatchType.STRATEGIC,
        subresource="status",
    )


async def tell_unschedulable(client: Client, clock: Clock, obj: Object, message: str, nominated: str | None) -> None:
    """Writes the condition PodScheduled, and where room is made for the pod (None leaves that as it is)."""
    pod = Pod(obj)
    before = pod.condition("PodScheduled")
    was = (obj.get("status") or {}).get("nominatedNodeName") or ""
    if nominated in (None, was) and before is not None and before.get("message") == message:
        return
    is_new = before is None or before.get("status") != "False"
    now = rfc3339(clock.now())
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": now if is_new else (before or {}).get("lastTransitionTime", now),
        "observedGeneration": pod.generation,
    }
    await _set_condition(client, pod, condition, None if nominated == was else nominated)
