"""Starts one container: back-off, image, environment, mounts, create, start, hook; what fails becomes its trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from kubelet import podspec
from kubelet.actions import Start
from kubelet.backoff import duration
from kubelet.claimed_volumes import as_mounted
from kubelet.context import PodContext
from kubelet.cri import RuntimeFailure
from kubelet.ending import stop_container
from kubelet.environment import Surroundings, environment
from kubelet.fieldrefs import ConfigurationError
from kubelet.hooks import HookFailed, run_hook
from kubelet.imagenames import full_name
from kubelet.images import ImageUnavailable, Pulled
from kubelet.podfiles import container_mounts
from kubelet.podstate import ContainerPhase, ContainerState, PodState
from kubelet.sandboxconfig import ContainerPlan, container_config
from kubelet.statusinput import Trouble
from kubelet.volumecontent import VolumeFailure
from machinery.api.resource import Object
from machinery.structs import Struct

_RETRY = timedelta(seconds=10)


class NotStarted(Exception):
    """`trouble` is for the status, `retry_at` when another try makes sense; `has_touched`: it left a container."""

    def __init__(self, trouble: Trouble, retry_at: datetime, *, has_touched: bool = False) -> None:
        super().__init__(trouble.message)
        self.trouble, self.retry_at, self.has_touched = trouble, retry_at, has_touched


class Place(Struct, frozen=True):
    """Where containers of one pod are started: its sandbox, its volumes, its directory."""

    state: PodState
    sandbox_id: str
    sandbox_config: Mapping[str, Any]
    volumes: Mapping[str, Path]
    directory: Path


async def start_container(context: PodContext, pod: Object, start: Start, place: Place) -> None:
    """Returns when it runs; raises NotStarted after the events are told."""
    spec = podspec.container(pod, start.name)
    assert spec is not None

    def tell(type_: str, reason: str, message: str) -> None:
        context.events.tell(pod, type_, reason, message, container=start.name)

    _wait_out_backoff(context, pod, start, tell)
    now = context.clock.now()
    try:
        pulled = await context.images.ensure(pod, spec, place.sandbox_config, tell)
        volumes = await _image_volumes(context, pod, spec, place, tell)
    except ImageUnavailable as error:
        tell("Warning", "Failed", f"Error: {error.trouble.reason}")
        again = error.retry_at + timedelta(seconds=1) if error.retry_at else now + 6 * _RETRY
        raise NotStarted(error.trouble, again) from error
    try:
        config = await asyncio.to_thread(_configure, context, pod, spec, start, place, pulled, volumes)
    except (ConfigurationError, VolumeFailure, OSError) as error:
        tell("Warning", "Failed", f"Error: {error}")
        raise NotStarted(Trouble("CreateContainerConfigError", str(error)), now + _RETRY) from error
    await _create_and_start(context, pod, spec, place, config, tell)


def _wait_out_backoff(context: PodContext, pod: Object, start: Start, tell: Callable[[str, str, str], None]) -> None:
    if start.ended is None:
        return
    key, now = f"{podspec.uid(pod)}/{start.name}", context.clock.now()
    ended_at = start.ended.finished_at or now
    until = context.crashes.until(key, ended_at)
    if until is not None and until > now:
        tell("Warning", "BackOff", f"Back-off restarting failed container {start.name} in pod {podspec.full_name(pod)}")
        delay = duration(context.crashes.delay(key))
        said = f"back-off {delay} restarting failed container={start.name} pod={podspec.full_name(pod)}"
        raise NotStarted(Trouble("CrashLoopBackOff", said), until)
    context.crashes.advance(key, ended_at)


async def _image_volumes(
    context: PodContext, pod: Object, spec: Object, place: Place, tell: Callable[[str, str, str], None]
) -> dict[str, str]:
    """Volume name -> image id, of the images that the container mounts; raises ImageUnavailable."""
    wanted = {mount["name"] for mount in spec.get("volumeMounts") or ()}
    found = {}
    for volume in pod["spec"].get("volumes") or ():
        if "image" in volume and volume["name"] in wanted:
            asked = {"image": volume["image"].get("reference", "")}
            if volume["image"].get("pullPolicy"):
                asked["imagePullPolicy"] = volume["image"]["pullPolicy"]
            found[volume["name"]] = (await context.images.ensure(pod, asked, place.sandbox_config, tell)).image.id
    return found


def _configure(
    context: PodContext,
    pod: Object,
    spec: Object,
    start: Start,
    place: Place,
    pulled: Pulled,
    volumes: Mapping[str, str],
) -> dict[str, Any]:
    sandbox = place.state.sandbox
    ips = sandbox.ips if sandbox else ()
    if podspec.is_host_network(pod):
        ips = context.config.node_ips
    around = Surroundings(ips, context.config.node_ips, context.allocatable, place.volumes)
    values = environment(pod, spec, context.cache, around)
    mounts = container_mounts(as_mounted(pod, spec), place.volumes, volumes, place.directory, start.attempt, values)
    aimed_at = spec.get("targetContainerName")
    target = place.state.newest(aimed_at) if aimed_at else None
    if aimed_at and target is None:
        raise ConfigurationError(f"unable to find target container {aimed_at}")
    plan = ContainerPlan(
        attempt=start.attempt,
        image=pulled.image,
        image_name=full_name(pulled.name),
        environment=values,
        mounts=mounts,
        memory_capacity=context.memory_capacity,
        seccomp_dir=context.config.seccomp_dir,
        target_id=target.id if target else "",
    )
    return container_config(pod, spec, plan)


async def _create_and_start(
    context: PodContext,
    pod: Object,
    spec: Object,
    place: Place,
    config: Mapping[str, Any],
    tell: Callable[[str, str, str], None],
) -> None:
    now = context.clock.now()
    try:
        container_id = await context.cri.create_container(place.sandbox_id, config, place.sandbox_config)
    except RuntimeFailure as failure:
        tell("Warning", "Failed", f"Error: {failure}")
        raise NotStarted(Trouble("CreateContainerError", str(failure)), now + _RETRY) from failure
    tell("Normal", "Created", "Container created")
    try:
        await context.cri.start_container(container_id)
    except RuntimeFailure as failure:
        tell("Warning", "Failed", f"Error: {failure}")
        raise NotStarted(Trouble("RunContainerError", str(failure)), now + _RETRY, has_touched=True) from failure
    tell("Normal", "Started", "Container started")
    hook = (spec.get("lifecycle") or {}).get("postStart")
    if not hook:
        return
    ip = place.state.sandbox.ips[0] if place.state.sandbox and place.state.sandbox.ips else ""
    running = ContainerState(container_id, spec["name"], place.sandbox_id, ContainerPhase.RUNNING)
    try:
        await run_hook(context.cri, pod, hook, running, ip, seconds=3600)
    except HookFailed as error:
        tell("Warning", "FailedPostStartHook", "PostStartHook failed")
        tell("Normal", "Killing", "FailedPostStartHook")
        await stop_container(context, pod, place.state, running, podspec.grace_period(pod))
        raise NotStarted(Trouble("PostStartHookError", str(error)), now + _RETRY, has_touched=True) from error
