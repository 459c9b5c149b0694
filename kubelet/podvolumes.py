"""One pod's volumes over its life: set up, renewed when a source or a token changes, tried again where they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from kubelet import podspec
from kubelet.context import PodContext
from kubelet.podstate import PodState
from kubelet.volumecontent import Sources, tokens_of
from kubelet.volumes import set_up
from machinery.api.resource import Object

_FIRST_RETRY, _LAST_RETRY = timedelta(seconds=0.5), timedelta(seconds=122)


class PodVolumes:
    """`paths` by volume name, once `mount` has succeeded; `look_again` says when it has more to do."""

    def __init__(self, context: PodContext, directory: Path) -> None:
        self._context, self._directory = context, directory
        self._delay = _FIRST_RETRY
        self._is_current = False
        self.paths: Mapping[str, Path] = {}
        self.look_again: datetime | None = None

    def refresh(self) -> None:
        """A source has changed: the next `mount` writes what is new."""
        self._is_current = False

    async def mount(self, pod: Object, state: PodState) -> bool:
        """Whether the volumes are there; a FailedMount event for each that isn't, and a later try."""
        context = self._context
        renewal, now = context.tokens.next_renewal(podspec.uid(pod)), context.clock.now()
        self.look_again = renewal
        if self._is_current and (renewal is None or renewal > now):
            return True
        tokens = {
            (audience, seconds): await context.tokens.get(pod, audience, seconds)
            for audience, seconds in tokens_of(pod)
        }
        sources = Sources(
            cache=context.cache,
            token=lambda audience, seconds: tokens[audience, seconds],
            pod_ips=state.sandbox.ips if state.sandbox else (),
            host_ips=context.config.node_ips,
            allocatable=context.allocatable,
        )
        self.paths, failed = await asyncio.to_thread(set_up, pod, self._directory, sources)
        for said in failed:
            context.events.tell(pod, "Warning", "FailedMount", said)
        if failed:
            self.look_again = now + self._delay
            self._delay = min(self._delay * 2, _LAST_RETRY)
            return False
        self._delay = _FIRST_RETRY
        self._is_current = True
        self.look_again = context.tokens.next_renewal(podspec.uid(pod))
        return True
