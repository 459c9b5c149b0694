"""The end of a pod: of one that has done its work, that the node gives up, or that the API deletes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from kubelet import podspec
from kubelet.context import PodContext
from kubelet.ending import remove_cgroup, remove_traces, stop_containers, stop_sandboxes
from kubelet.observing import PodObserver
from kubelet.podstate import PodState
from kubelet.probes import Probes
from kubelet.sandboxconfig import log_directory
from kubelet.statusinput import Trouble
from kubelet.statuswriter import StatusWriter
from kubelet.volumes import take_down
from machinery.api.errors import Conflict, NotFound
from machinery.api.resource import Object
from machinery.api.resources import PODS


class PodEnding:
    def __init__(
        self, context: PodContext, writer: StatusWriter, probes: Probes, observer: PodObserver, directory: Path
    ) -> None:
        self._context, self._writer, self._probes = context, writer, probes
        self._observer, self._directory = observer, directory
        self._told: set[str] = set()

    async def finish(
        self, pod: Object, state: PodState, failure: Trouble | None, *, grace: int | None = None
    ) -> Object:
        """The pod has succeeded or failed: ends what still runs, then says so; logs and exit codes stay."""
        self._probes.stop()
        seconds = podspec.grace_period(pod) if grace is None else grace
        await stop_containers(self._context, pod, state, seconds, self._told)
        await stop_sandboxes(self._context, state)
        await remove_cgroup(self._context, pod)
        state = await self._observer.observe()
        ended = await self._writer.tell(pod, state, self._probes.verdicts, has_ended=True, failure=failure)
        await asyncio.to_thread(take_down, self._directory)
        return ended

    async def rest(self, pod: Object) -> None:
        """A pod that has ended keeps its containers for `logs`; after a restart something may still have to end."""
        self._probes.stop()
        await self._writer.restate(pod)
        state = await self._observer.observe()
        if state.running or state.sandbox is not None:
            await stop_containers(self._context, pod, state, 1, self._told)
            await stop_sandboxes(self._context, state)

    async def end(self, pod: Object, grace: Callable[[], int], woken: asyncio.Event, *, is_gone: bool) -> None:
        """Nothing of the pod is left, here and in the API; `grace` is asked again whenever `woken` is set."""
        context, uid = self._context, podspec.uid(pod)
        state = await self._observer.observe()
        self._probes.follow(pod, state)
        self._probes.stop_killing()
        tells = not podspec.is_terminal(pod) and not is_gone
        if tells:
            pod = await self._writer.tell(pod, state, self._probes.verdicts)
        await self._stop_within(grace, woken, pod, state)
        await stop_sandboxes(context, state)
        self._probes.stop()
        state = await self._observer.observe()
        async with asyncio.TaskGroup() as group:
            group.create_task(remove_traces(context, state, self._directory, log_directory(pod, context.config)))
            if tells:
                group.create_task(self._writer.tell(pod, state, self._probes.verdicts, has_ended=True))
        await remove_cgroup(context, pod)
        if not is_gone:
            with contextlib.suppress(NotFound, Conflict):
                await context.client.delete(
                    PODS, podspec.name(pod), podspec.namespace(pod), uid=uid, grace_period_seconds=0
                )
        context.images.forget(uid)
        context.tokens.forget(uid)
        context.crashes.forget(f"{uid}/")

    async def _stop_within(self, grace: Callable[[], int], woken: asyncio.Event, pod: Object, state: PodState) -> None:
        """A second, shorter delete (or a forced one) cuts the first one's grace."""
        async with asyncio.TaskGroup() as group:
            seconds = grace()
            stopping = {group.create_task(stop_containers(self._context, pod, state, seconds, self._told))}
            while not any(task.done() for task in stopping):
                woken.clear()
                wake = group.create_task(woken.wait())
                await asyncio.wait({*stopping, wake}, return_when=asyncio.FIRST_COMPLETED)
                wake.cancel()
                if (new := grace()) < seconds:
                    seconds = new
                    stopping.add(group.create_task(stop_containers(self._context, pod, state, seconds, self._told)))
