"""Carries a pod's resize out: tells what it does by events and conditions, has the runtime change the limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta

from kubelet import podspec
from kubelet.actions import Verdicts
from kubelet.context import PodContext
from kubelet.cri import RuntimeFailure
from kubelet.podcgroup import pod_limits, set_limits, wider
from kubelet.podstate import PodState
from kubelet.resize import Resize, conditions, plan_resize, summary
from kubelet.resources import cgroup_parent, with_resources
from kubelet.sandboxconfig import container_resources
from kubelet.statusinput import Resizing, Trouble
from kubelet.statuswriter import StatusWriter
from machinery.api.resource import Object
from machinery.structs import replace

_RETRY = timedelta(seconds=10)
_RETRY_DEFERRED = timedelta(seconds=30)


class PodResize:
    """`look_again` says when a resize that failed or waits is tried anew."""

    def __init__(self, context: PodContext, writer: StatusWriter) -> None:
        self._context, self._writer = context, writer
        self._resize = Resize({})
        self._error = ""
        self.look_again: datetime | None = None

    def plan(self, pod: Object, state: PodState) -> tuple[Object, set[str]]:
        """The pod with the resources that it has been allotted, and the ids of containers that must restart."""
        self.look_again = None
        found = self._resize = plan_resize(pod, state, self._context.pods_here(), self._context.allocatable)
        told = _told_conditions(pod)
        if found.pending is not None:
            self._tell_pending(pod, found.pending, told.get("PodResizePending"))
        under_way = bool(found.changes)
        if under_way and told.get("PodResizeInProgress", {}).get("observedGeneration") != podspec.generation(pod):
            self._context.events.tell(pod, "Normal", "ResizeStarted", f"Pod resize started: {summary(pod)}")
        elif not under_way and "PodResizeInProgress" in told:
            self._tell_completed(found.pod)
        self._error = self._error if under_way else ""
        shown = conditions(pod, in_progress=under_way, pending=found.pending, error=self._error)
        self._writer.resizing = Resizing(tuple(shown), found.before)
        return found.pod, {change.container.id for change in found.changes if change.needs_restart}

    def _tell_pending(self, pod: Object, pending: Trouble, told: Object | None) -> None:
        self.look_again = self._context.clock.now() + _RETRY_DEFERRED if pending.reason == "Deferred" else None
        if told is not None and (told.get("reason"), told.get("message")) == (pending.reason, pending.message):
            return
        said = f"Pod resize {pending.reason}: {summary(pod, pending.message)}"
        self._context.events.tell(pod, "Warning", f"Resize{pending.reason}", said)

    def _tell_completed(self, pod: Object) -> None:
        self._context.events.tell(pod, "Normal", "ResizeCompleted", f"Pod resize completed: {summary(pod)}")

    async def carry_out(self, pod: Object, state: PodState, verdicts: Verdicts) -> Object:
        """Changes the limits of those that need no restart; the pod with its new status."""
        in_place = [change for change in self._resize.changes if not change.needs_restart]
        if not in_place:
            return pod
        limits, before = pod_limits(pod), pod_limits(with_resources(pod, self._resize.before))
        cgroup = cgroup_parent(self._context.config.cgroup_root, pod)
        await asyncio.to_thread(set_limits, cgroup, wider(limits, before))
        try:
            for change in in_place:
                spec = podspec.container(pod, change.container.name)
                assert spec is not None
                wanted = container_resources(pod, spec, self._context.memory_capacity)
                await self._context.cri.update_container(change.container.id, wanted)
        except RuntimeFailure as failure:
            self._tell_failed(pod, failure)
            return pod
        await asyncio.to_thread(set_limits, cgroup, limits)
        self._error = ""
        self._forget(change.container.name for change in in_place)
        if not self._writer.resizing.before:
            self._tell_completed(pod)
            left = tuple(each for each in self._writer.resizing.conditions if each["type"] != "PodResizeInProgress")
            self._writer.resizing = replace(self._writer.resizing, conditions=left)
        return await self._writer.tell(pod, state, verdicts)

    def _tell_failed(self, pod: Object, failure: RuntimeFailure) -> None:
        self.look_again = self._context.clock.now() + _RETRY
        if str(failure) != self._error:
            self._error = str(failure)
            said = f"Pod resize error: {summary(pod, self._error)}"
            self._context.events.tell(pod, "Warning", "ResizeError", said)

    def have_restarted(self, names: Iterable[str]) -> None:
        """These containers run with what their spec says."""
        self._forget(names)

    def _forget(self, names: Iterable[str]) -> None:
        gone = set(names)
        before = {name: had for name, had in self._writer.resizing.before.items() if name not in gone}
        self._writer.resizing = replace(self._writer.resizing, before=before)


def _told_conditions(pod: Object) -> dict[str, Object]:
    return {each["type"]: each for each in (pod.get("status") or {}).get("conditions") or ()}
