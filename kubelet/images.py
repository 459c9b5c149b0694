"""Brings a container's image to the node by its pull policy, with the events and errors that people know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from kubelet import podspec
from kubelet.backoff import Backoff
from kubelet.cri import Cri, RuntimeFailure
from kubelet.cri_values import Image
from kubelet.imagenames import InvalidImageName, default_pull_policy, with_default_tag
from kubelet.pull_secrets import Credential, credentials
from kubelet.pulled_images import PulledImages
from kubelet.statusinput import Trouble
from machinery.api.resource import Object
from machinery.client.cache import Cache
from machinery.client.clock import Clock
from machinery.structs import Struct

Tell = Callable[[str, str, str], None]
"""Records an event about the container: type, reason, message."""

_SIMULTANEOUS_PULLS = 4
_LOADED_BY_THEN = timedelta(seconds=10)
_ADVICE = (
    "; an image of this name is on the node, but imagePullPolicy: Always asks the registry: "
    "with imagePullPolicy: IfNotPresent it is used"
)
_LATEST = (
    "; an image of this name is on the node, but the tag latest means imagePullPolicy: Always, "
    "which asks the registry: with imagePullPolicy: IfNotPresent it is used"
)


class ImageUnavailable(Exception):
    """Why the container waits, and when another try makes sense."""

    def __init__(self, trouble: Trouble, retry_at: datetime | None = None) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble
        self.retry_at = retry_at


class Pulled(Struct, frozen=True):
    image: Image
    name: str


class ImagePuller:
    def __init__(self, cri: Cri, cache: Cache, clock: Clock, pulled: PulledImages) -> None:
        self._cri, self._cache, self._clock, self._pulled = cri, cache, clock, pulled
        self._backoff = Backoff()
        self._slots = asyncio.Semaphore(_SIMULTANEOUS_PULLS)
        self._failures: dict[str, str] = {}
        self._retry_at: dict[str, datetime] = {}

    async def ensure(self, pod: Object, spec: Object, sandbox: Mapping[str, Any], tell: Tell) -> Pulled:
        """The image, present on the node; raises ImageUnavailable after telling why."""
        given = spec.get("image", "")
        try:
            name = with_default_tag(given)
        except InvalidImageName as error:
            tell("Warning", "InspectFailed", str(error))
            raise ImageUnavailable(Trouble("InvalidImageName", str(error))) from error
        policy = spec.get("imagePullPolicy") or default_pull_policy(given)
        present = await self._present(name, given, tell)
        if present is not None and policy != "Always" and await self._may_use(pod, name, present):
            said = f'Container image "{given}" already present on machine and can be accessed by the pod'
            tell("Normal", "Pulled", said)
            return Pulled(present, name)
        if policy == "Never":
            said = f'Container image "{given}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", said)
            # Somebody may load it at any moment.
            raise ImageUnavailable(Trouble("ErrImageNeverPull", said), self._clock.now() + _LOADED_BY_THEN)
        advice = ""
        if present is not None and policy == "Always":
            advice = _LATEST if default_pull_policy(given) == "Always" else _ADVICE
        return await self._pull(pod, given, name, sandbox, tell, advice)

    async def _present(self, name: str, given: str, tell: Tell) -> Image | None:
        try:
            return await self._cri.image(name)
        except RuntimeFailure as failure:
            said = f'Failed to inspect image "{given}": {failure.rpc_text}'
            tell("Warning", "InspectFailed", said)
            raise ImageUnavailable(Trouble("ImageInspectError", said)) from failure

    async def _may_use(self, pod: Object, name: str, present: Image) -> bool:
        """Whether the pod has what brought the image here, where that took a Secret."""
        shown = [each.proof for each in credentials(pod, name, self._cache)]
        return await self._pulled.admits(name, present.id, shown)

    async def _pull(
        self, pod: Object, given: str, name: str, sandbox: Mapping[str, Any], tell: Tell, advice: str
    ) -> Pulled:
        key = f"{podspec.uid(pod)}/{given}"
        retry_at = self._retry_at.get(key)
        if retry_at is not None and retry_at > self._clock.now():
            said = f'Back-off pulling image "{given}"'
            tell("Normal", "BackOff", said)
            message = f"{said}: ErrImagePull: {self._failures[key]}" if key in self._failures else said
            raise ImageUnavailable(Trouble("ImagePullBackOff", message), retry_at)
        tell("Normal", "Pulling", f'Pulling image "{given}"')
        asked = self._clock.monotonic()
        try:
            async with self._slots:
                began = self._clock.monotonic()
                image = await self._fetch(pod, name, sandbox)
        except RuntimeFailure as told:
            failure = RuntimeFailure(told.code, f"{told}{advice}")
            tell("Warning", "Failed", f'Failed to pull image "{given}": {failure.rpc_text}')
            raise ImageUnavailable(*self._failed(key, failure)) from told
        now = self._clock.monotonic()
        self._failures.pop(key, None)
        self._retry_at.pop(key, None)
        self._backoff.forget(key)
        tell(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{given}" in {_seconds(now - began)} ({_seconds(now - asked)} including '
            f"waiting). Image size: {image.size} bytes.",
        )
        return Pulled(image, name)

    def retry_soon(self) -> None:
        """Ends all waits: what failed without a network, or by a clock that was set since, may succeed now."""
        self._retry_at.clear()

    def _failed(self, key: str, failure: RuntimeFailure) -> tuple[Trouble, datetime]:
        now = self._clock.now()
        self._backoff.advance(key, now)
        self._failures[key] = failure.rpc_text
        self._retry_at[key] = now + self._backoff.delay(key)
        return Trouble("ErrImagePull", failure.rpc_text), self._retry_at[key]

    async def _fetch(self, pod: Object, name: str, sandbox: Mapping[str, Any]) -> Image:
        shown = credentials(pod, name, self._cache)
        if not shown:
            return await self._fetched(name, None, sandbox)
        try:
            await self._pulled.begin(name)
        except OSError as error:
            raise RuntimeFailure("Unknown", f"failed to record image pull intent: {error}") from error
        try:
            failure: RuntimeFailure | None = None
            for credential in (*shown, None):
                try:
                    return await self._fetched(name, credential, sandbox)
                except RuntimeFailure as error:
                    failure = failure or error
            assert failure is not None
            raise failure
        finally:
            await self._pulled.end(name)

    async def _fetched(self, name: str, credential: Credential | None, sandbox: Mapping[str, Any]) -> Image:
        reference = await self._cri.pull(name, credential.auth if credential is not None else None, sandbox)
        image = await self._cri.image(name) or await self._cri.image(reference)
        if image is None:
            raise RuntimeFailure("Unknown", f'image "{name}" was pulled but is gone')
        await self._pulled.succeeded(name, image.id, credential.proof if credential is not None else None)
        return image

    def forget(self, pod_uid: str) -> None:
        self._backoff.forget(f"{pod_uid}/")
        for known in (self._failures, self._retry_at):
            for key in [key for key in known if key.startswith(f"{pod_uid}/")]:
                known.pop(key, None)


def _seconds(value: float) -> str:
    """As Go prints a duration rounded to milliseconds: `512ms`, `1.2s`, `1m3.5s`."""
    if value < 1:
        return f"{round(value * 1000)}ms"
    minutes, seconds = divmod(round(value, 3), 60)
    text = f"{seconds:.3f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{text}s" if minutes else f"{text}s"
