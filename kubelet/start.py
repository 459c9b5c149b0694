"""Starts one container: image by its pull policy, environment, mounts, create, start; tells each step by an Event.

What goes wrong is a `Failed` with the reason and message that the container's `waiting` state shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kubelet.cri import Cri, RuntimeFailure
from kubelet.fieldrefs import ConfigurationError
from kubelet.images import ImagePuller, ImageUnavailable, Pulled, Tell
from kubelet.podfiles import container_mounts
from kubelet.sandboxconfig import ContainerPlan, container_config
from kubelet.volumecontent import VolumeFailure
from machinery.api.resource import Object


class Failed(Exception):
    """`reason` and the message are what the container's `waiting` state tells; `retry_at` where that is known."""

    def __init__(self, reason: str, message: str, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_at = retry_at


@dataclass(frozen=True)
class Room:
    """Where a container is started: its sandbox and what the pod's worker has prepared."""

    sandbox_id: str
    sandbox_config: Mapping[str, Any]
    volumes: Mapping[str, Path]
    pod_dir: Path
    environment: Callable[[Object], Mapping[str, str]]
    """The environment of a container's spec; raises ConfigurationError."""
    memory_capacity: int


async def pull_image(puller: ImagePuller, pod: Object, spec: Object, room: Room, tell: Tell) -> Pulled:
    """The container's image on this node; raises Failed."""
    try:
        return await puller.ensure(pod, spec, room.sandbox_config, tell)
    except ImageUnavailable as error:
        await tell("Warning", "Failed", f"Error: {error.trouble.reason}")
        raise Failed(error.trouble.reason, error.trouble.message, error.retry_at) from error


async def start_container(
    cri: Cri, pod: Object, spec: Object, attempt: int, room: Room, pulled: Pulled, tell: Tell
) -> str:
    """Creates and starts the container; its id. Raises Failed."""
    try:
        environment = room.environment(spec)
        mounts = await asyncio.to_thread(container_mounts, pod, spec, room.volumes, room.pod_dir, attempt, environment)
        plan = ContainerPlan(attempt, pulled.image, pulled.name, environment, mounts, room.memory_capacity)
        config = container_config(pod, spec, plan)
    except (ConfigurationError, VolumeFailure) as error:
        await tell("Warning", "Failed", f"Error: {error}")
        raise Failed("CreateContainerConfigError", str(error)) from error
    try:
        container_id = await cri.create_container(room.sandbox_id, config, room.sandbox_config)
    except RuntimeFailure as failure:
        await tell("Warning", "Failed", f"Error: {failure}")
        raise Failed("CreateContainerError", str(failure)) from failure
    await tell("Normal", "Created", "Container created")
    try:
        await cri.start_container(container_id)
    except RuntimeFailure as failure:
        await tell("Warning", "Failed", f"Error: {failure}")
        raise Failed("RunContainerError", str(failure)) from failure
    await tell("Normal", "Started", "Container started")
    return container_id
