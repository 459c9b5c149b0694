"""Starts one container: image by its pull policy, environment, mounts, create, start; tells each step by an Event.

What goes wrong is a `Failed` with the reason and message that the container's `waiting` state shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from kubelet import podspec
from kubelet.backoff import Backoff
from kubelet.cri import Cri, RuntimeFailure
from kubelet.cri_config import Prepared, container_config, volume_mounts
from kubelet.environment import expand
from kubelet.fieldrefs import ConfigurationError
from kubelet.image_names import InvalidImageName, with_default_tag
from machinery.api.resource import Object
from machinery.client.clock import Clock

Tell = Callable[[str, str, str], Awaitable[None]]
"""(type, reason, message) of an Event about the container."""


class Failed(Exception):
    """`reason` and the message are what the container's `waiting` state tells."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Room:
    """Where a container is started: its sandbox and what the pod's worker has prepared."""

    sandbox_id: str
    sandbox_config: Mapping[str, Any]
    volumes: Mapping[str, Path]
    pod_dir: Path
    etc_hosts: Path | None
    environment: Callable[[Object], Mapping[str, str]]
    """The environment of a container's spec; raises ConfigurationError."""
    memory_capacity: int


@dataclass(frozen=True)
class _Failure:
    message: str
    at: datetime


class ImagePuller:
    """Pulls by policy with back-off an image; the same for all pods, so that a missing image is asked for once."""

    def __init__(self, cri: Cri, clock: Clock) -> None:
        self._cri = cri
        self._clock = clock
        self._backoff = Backoff()
        self._failures: dict[str, _Failure] = {}

    async def ensure(self, pod: Object, spec: Object, sandbox_config: Mapping[str, Any], tell: Tell) -> str:
        """The image's id, pulled if the policy asks for it; raises Failed."""
        said = spec.get("image", "")
        try:
            name = with_default_tag(said)
        except InvalidImageName as error:
            message = f'Failed to apply default image tag "{said}": {error}'
            await tell("Warning", "InspectFailed", message)
            await tell("Warning", "Failed", "Error: InvalidImageName")
            raise Failed("InvalidImageName", message) from error
        policy = spec.get("imagePullPolicy", "IfNotPresent")
        present = await self._cri.image(name)
        if present is not None and policy != "Always":
            message = f'Container image "{said}" already present on machine and can be accessed by the pod'
            await tell("Normal", "Pulled", message)
            return present.id
        if policy == "Never":
            message = f'Container image "{said}" is not present with pull policy of Never'
            await tell("Warning", "ErrImageNeverPull", message)
            await tell("Warning", "Failed", "Error: ErrImageNeverPull")
            raise Failed("ErrImageNeverPull", message)
        return await self._pull(pod, said, name, sandbox_config, tell)

    async def _pull(self, pod: Object, said: str, name: str, sandbox_config: Mapping[str, Any], tell: Tell) -> str:
        key = f"{podspec.uid(pod)}_{name}"
        now = self._clock.now()
        failure = self._failures.get(key)
        if failure is not None and (self._backoff.until(key, failure.at) or now) > now:
            message = f'Back-off pulling image "{said}"'
            await tell("Normal", "BackOff", message)
            await tell("Warning", "Failed", "Error: ImagePullBackOff")
            raise Failed("ImagePullBackOff", f"{message}: ErrImagePull: {failure.message}")
        await tell("Normal", "Pulling", f'Pulling image "{said}"')
        begun = self._clock.monotonic()
        try:
            reference = await self._cri.pull(name, None, sandbox_config)
        except RuntimeFailure as error:
            self._backoff.advance(key, self._clock.now())
            self._failures[key] = _Failure(str(error), self._clock.now())
            await tell("Warning", "Failed", f'Failed to pull image "{said}": {error}')
            await tell("Warning", "Failed", "Error: ErrImagePull")
            raise Failed("ErrImagePull", str(error)) from error
        self._failures.pop(key, None)
        self._backoff.forget(key)
        took = _seconds(self._clock.monotonic() - begun)
        image = await self._cri.image(reference) or await self._cri.image(name)
        message = f'Successfully pulled image "{said}" in {took} ({took} including waiting).'
        await tell("Normal", "Pulled", f"{message} Image size: {image.size if image else 0} bytes.")
        return image.id if image else reference

    def retry_at(self, pod: Object, spec: Object) -> datetime | None:
        """When the image may be asked for again; None where nothing holds it back."""
        try:
            key = f"{podspec.uid(pod)}_{with_default_tag(spec.get('image', ''))}"
        except InvalidImageName:
            return None
        failure = self._failures.get(key)
        return self._backoff.until(key, failure.at) if failure is not None else None

    def forget(self, pod_uid: str) -> None:
        for key in [key for key in self._failures if key.startswith(pod_uid)]:
            del self._failures[key]
        self._backoff.forget(pod_uid)


async def start_container(
    cri: Cri, pod: Object, spec: Object, attempt: int, room: Room, image_id: str, tell: Tell
) -> str:
    """Creates and starts the container; its id. Raises Failed."""
    try:
        config = await _configured(pod, spec, attempt, room, image_id)
    except ConfigurationError as error:
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


async def _configured(pod: Object, spec: Object, attempt: int, room: Room, image_id: str) -> dict[str, Any]:
    environment = room.environment(spec)
    mounts: list[dict[str, Any]] = volume_mounts(spec, room.volumes)
    taken = {mount["container_path"] for mount in mounts}
    if room.etc_hosts is not None and "/etc/hosts" not in taken:
        mounts.append({"container_path": "/etc/hosts", "host_path": str(room.etc_hosts)})
    path = spec.get("terminationMessagePath") or "/dev/termination-log"
    log = termination_log(room.pod_dir, spec["name"], attempt)
    await asyncio.to_thread(_touch, log)
    mounts.append({"container_path": path, "host_path": str(log)})
    prepared = Prepared(
        image_id=image_id,
        environment=environment,
        command=[expand(word, environment) for word in spec.get("command") or []],
        arguments=[expand(word, environment) for word in spec.get("args") or []],
        mounts=mounts,
    )
    return container_config(pod, spec, attempt, prepared, room.memory_capacity)


def termination_log(pod_dir: Path, name: str, attempt: int) -> Path:
    return pod_dir / "containers" / name / f"termination-{attempt}"


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(0o666)


def _seconds(value: float) -> str:
    """As Go prints a duration rounded to milliseconds: `812ms`, `1.234s`."""
    if value < 1:
        return f"{max(round(value * 1000), 1)}ms"
    minutes, seconds = divmod(timedelta(seconds=value).total_seconds(), 60)
    text = f"{seconds:.3f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{text}s" if minutes else f"{text}s"
