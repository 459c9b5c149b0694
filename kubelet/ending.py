"""Ends a pod's containers by their grace, and removes what a pod that is gone has left on the node."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from kubelet import podspec
from kubelet.context import PodContext
from kubelet.hooks import HookFailed, run_hook
from kubelet.logrotation import remove_logs
from kubelet.podstate import ContainerState, PodState
from kubelet.resources import cgroup_parent
from kubelet.volumes import take_down
from machinery.api.resource import Object
from machinery.linux import cgroup

_LEAST_GRACE = 2
"""Seconds that are left to a container whose grace its hook or others have used up."""


async def stop_containers(
    context: PodContext, pod: Object | None, state: PodState, grace_seconds: int, told: set[str]
) -> None:
    """Returns when none runs: the main ones first, then sidecars, the last declared first. `told`: Killing is said.

    Each runs its preStop at once, and waits then for those before it, as long as its grace lasts.
    """
    sidecars = [spec["name"] for spec in podspec.init_containers(pod) if podspec.is_sidecar(spec)] if pod else []
    turns = {name: turn for turn, name in enumerate(reversed(sidecars), start=1)}
    ends = {container.id: asyncio.Event() for container in state.running}

    async def stop(container: ContainerState, turn: int) -> None:
        before = [ends[each.id] for each in state.running if turns.get(each.name, 0) < turn]
        await stop_container(context, pod, state, container, grace_seconds, before)
        ends[container.id].set()

    async with asyncio.TaskGroup() as group:
        for container in state.running:
            if pod is not None and container.id not in told:
                told.add(container.id)
                said = f"Stopping container {container.name}"
                context.events.tell(pod, "Normal", "Killing", said, container=container.name)
            group.create_task(stop(container, turns.get(container.name, 0)))


async def stop_container(
    context: PodContext,
    pod: Object | None,
    state: PodState,
    container: ContainerState,
    grace_seconds: int,
    before: Sequence[asyncio.Event] = (),
) -> None:
    """preStop within the grace period, the ends of those before it, then the runtime's stop with what is left."""
    began = context.clock.monotonic()
    hook = await _before_stop(context, pod, state, container, grace_seconds)
    if before:
        left = grace_seconds - (context.clock.monotonic() - began)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                for end in before:
                    await end.wait()
    left = grace_seconds - int(context.clock.monotonic() - began)
    await context.cri.stop_container(container.id, max(left, _LEAST_GRACE) if hook or before else grace_seconds)


async def _before_stop(
    context: PodContext, pod: Object | None, state: PodState, container: ContainerState, seconds: int
) -> bool:
    """Whether the container has a preStop; returns when it is done."""
    spec = podspec.container(pod, container.name) if pod else None
    hook = ((spec or {}).get("lifecycle") or {}).get("preStop")
    if not hook or pod is None:
        return False
    ip = state.sandbox.ips[0] if state.sandbox and state.sandbox.ips else ""
    try:
        await run_hook(context.cri, pod, hook, container, ip, seconds)
    except HookFailed:
        context.events.tell(pod, "Warning", "FailedPreStopHook", "PreStopHook failed", container=container.name)
    return True


async def stop_sandboxes(context: PodContext, state: PodState) -> None:
    for sandbox in state.sandboxes:
        await context.cri.stop_sandbox(sandbox.id)


async def remove_containers(context: PodContext, state: PodState, ids: Sequence[str]) -> None:
    """Removes containers that nobody asks for any more, with their logs."""
    for container in state.containers:
        if container.id in ids:
            await context.cri.remove_container(container.id)
            if container.log_path:
                await asyncio.to_thread(remove_logs, Path(container.log_path))


async def remove_traces(context: PodContext, state: PodState, pod_dir: Path, logs: Path) -> None:
    """Stopped sandboxes with their containers, volumes, logs; the pod's cgroup is left, as it may hold them still."""
    sandboxes = {sandbox.id for sandbox in state.sandboxes}
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(_remove_files, pod_dir, logs))
        for sandbox_id in sandboxes:
            group.create_task(context.cri.remove_sandbox(sandbox_id))
        for container in state.containers:
            if container.sandbox_id not in sandboxes:
                group.create_task(context.cri.remove_container(container.id))


async def remove_cgroup(context: PodContext, pod: Object) -> None:
    """The last of a pod: the cgroup in which its containers were."""
    await asyncio.to_thread(cgroup.remove, cgroup_parent(context.config.cgroup_root, pod))


def _remove_files(pod_dir: Path, logs: Path) -> None:
    take_down(pod_dir)
    if logs.is_dir():
        shutil.rmtree(logs)
