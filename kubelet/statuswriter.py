"""Writes a pod's status to the API where it has changed, and knows what it is computed from beside the runtime."""

from __future__ import annotations

from collections.abc import Mapping

from kubelet import podspec
from kubelet.actions import Verdicts
from kubelet.context import PodContext
from kubelet.podstate import PodState
from kubelet.podstatus import pod_status
from kubelet.resources import cgroup_parent
from kubelet.staticpods import mirror_in
from kubelet.statusinput import Resizing, StatusInput, Trouble, timestamp
from machinery.api.errors import Conflict, NotFound
from machinery.api.resource import Object
from machinery.api.resources import PODS
from machinery.linux import cgroup
from machinery.structs import replace


class StatusWriter:
    """`troubles`, by container name, is why containers wait; the worker keeps it up to date."""

    def __init__(self, context: PodContext) -> None:
        self._context = context
        self.troubles: Mapping[str, Trouble] = {}
        self.resizing = Resizing()

    async def tell(
        self,
        pod: Object,
        state: PodState,
        verdicts: Verdicts,
        *,
        has_ended: bool = False,
        failure: Trouble | None = None,
    ) -> Object:
        """The pod with its new status; the same object where nothing had to be written."""
        given = StatusInput(
            now=self._context.clock.now(),
            host_ips=self._context.config.node_ips,
            runtime=self._context.runtime.name,
            troubles=self.troubles,
            verdicts=verdicts,
            has_ended=has_ended,
            unbounded_memory=self._unbounded_memory(pod),
            failure=failure,
            resizing=self.resizing,
        )
        status, shown = pod_status(pod, state, given), self._shown(pod)
        if status == shown or _without_cgroup(pod, state, given) == shown:
            return pod
        return await self._write(pod, status)

    async def restate(self, pod: Object) -> None:
        """Tells a static pod's last status again where its mirror is a new one."""
        shown, status = self._shown(pod), pod.get("status") or {}
        if podspec.is_static(pod) and shown is not None and shown.get("phase") != status.get("phase"):
            await self._write(pod, status)

    def _shown(self, pod: Object) -> Object | None:
        """The status that the API shows; None where it shows no such pod."""
        if not podspec.is_static(pod):
            return pod.get("status") or {}
        mirror = mirror_in(self._context.pods_here(), pod)
        return mirror.get("status") or {} if mirror is not None else None

    async def refuse(self, pod: Object, why: Trouble) -> Object:
        """The pod, failed before anything of it ran."""
        old = pod.get("status") or {}
        kept = {key: old[key] for key in ("qosClass", "conditions") if key in old}
        failed = {
            "phase": "Failed",
            "reason": why.reason,
            "message": f"Pod was rejected: {why.message}",
            "startTime": timestamp(self._context.clock.now()),
            "observedGeneration": podspec.generation(pod),
        }
        return await self._write(pod, {**kept, **failed})

    async def _write(self, pod: Object, status: Object) -> Object:
        target: Object | None = pod
        if podspec.is_static(pod):
            target = mirror_in(self._context.pods_here(), pod)
        if target is None:
            return {**pod, "status": status}
        old = target.get("status") or {}
        patch: Object = {"metadata": {"uid": podspec.uid(target)}, "status": replacing(old, status)}
        try:
            written = await self._context.client.patch(
                PODS, podspec.name(pod), patch, podspec.namespace(pod), subresource="status"
            )
        except (NotFound, Conflict):
            # Deleted by force, or another pod of that name: the watch tells which.
            return {**pod, "status": status}
        return {**pod, "status": written["status"]}

    def _unbounded_memory(self, pod: Object) -> str:
        """The pod's memory limit as the first cgroup version states it where there is none: a number all the same."""
        if podspec.phase(pod) != "Running" or cgroup.is_unified():
            return ""
        parent = cgroup_parent(self._context.config.cgroup_root, pod)
        path = cgroup.folder(parent, "memory") / "memory.limit_in_bytes"
        limit = cgroup.read_int(path)
        return f"{limit // 1024}Ki" if limit else ""


def replacing(old: Object, new: Object) -> Object:
    """The merge patch (RFC 7386) that leaves of `old` nothing but `new`: what it is to lose, it has to name."""
    kept = {
        key: replacing(old[key], value) if isinstance(value, dict) and isinstance(old.get(key), dict) else value
        for key, value in new.items()
    }
    return {**{key: None for key in old if key not in new}, **kept}


def _without_cgroup(pod: Object, state: PodState, given: StatusInput) -> Object:
    """What the cgroup states of a pod without limits is no news by itself: upstream tells it with the next change."""
    return pod_status(pod, state, replace(given, unbounded_memory="")) if given.unbounded_memory else {}
