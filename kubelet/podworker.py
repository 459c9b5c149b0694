"""One pod's life on the node. Each pass: observe the runtime, tell the status, decide, act; then wait to be woken.

A pass that changed something wakes itself, so that the next status shows what came of it. Nothing is remembered that
the runtime or the API does not know too, but for troubles and back-off, whose loss costs one early retry.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from kubelet import podspec
from kubelet.actions import PodActions, Start, compute_pod_actions, deadline_passed, has_finished
from kubelet.containerstart import NotStarted, Place, start_container
from kubelet.context import PodContext
from kubelet.cri import RuntimeFailure
from kubelet.ending import remove_traces, stop_container, stop_containers, stop_sandboxes
from kubelet.podfiles import hosts_file, with_messages
from kubelet.podstate import ContainerPhase, PodState
from kubelet.podstatus import StatusInput, Trouble, pod_status
from kubelet.probes import Probes
from kubelet.sandboxconfig import log_directory, pod_dns, sandbox_config
from kubelet.volumecontent import Sources, tokens_of
from kubelet.volumes import MountFailed, set_up, take_down
from machinery.api.errors import Conflict, NotFound
from machinery.api.resource import Object
from machinery.api.resources import PODS
from machinery.contain import contain
from machinery.linux import cgroup

_DEADLINE = Trouble("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
_FIRST_MOUNT_RETRY, _LAST_MOUNT_RETRY = timedelta(seconds=0.5), timedelta(seconds=122)


class PodWorker:
    def __init__(self, context: PodContext, pod: Object) -> None:
        self._context = context
        self.pod = pod
        self.is_done = False
        self._is_gone = False
        self._wake = asyncio.Event()
        self._next: datetime | None = None
        self._troubles: dict[str, Trouble] = {}
        self._volumes: dict[str, Path] | None = None
        self._mount_delay = _FIRST_MOUNT_RETRY
        self._failed_passes = 0
        self._told: set[str] = set()
        self._probes = Probes(context, self.wake)
        self._directory = context.config.pods_dir / podspec.uid(pod)

    def wake(self) -> None:
        self._wake.set()

    def update(self, pod: Object) -> None:
        """The pod as the API now has it."""
        before, self.pod = self.pod, pod
        is_ours = {**before, "status": 0, "metadata": 0} == {**pod, "status": 0, "metadata": 0}
        if not is_ours or _told_facts(before) != _told_facts(pod):
            self._volumes = None
            self.wake()

    def refresh_volumes(self) -> None:
        self._volumes = None
        self.wake()

    def vanish(self) -> None:
        """The API no longer has the pod: whatever runs of it ends."""
        self._is_gone = True
        self.wake()

    async def run(self) -> None:
        while not self.is_done:
            self._wake.clear()
            self._next = None
            has_passed = False
            with contain("pod worker", about=podspec.key(self.pod)):
                await self._pass()
                has_passed = True
            self._failed_passes = 0 if has_passed else self._failed_passes + 1
            if not has_passed:
                self._look_at(self._now() + timedelta(seconds=min(2**self._failed_passes, 60)))
            if not self.is_done:
                await self._wait()
        self._probes.stop()

    async def _wait(self) -> None:
        if self._next is None:
            await self._wake.wait()
            return
        try:
            async with asyncio.timeout(max((self._next - self._now()).total_seconds(), 0.001)):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _look_at(self, moment: datetime) -> None:
        self._next = moment if self._next is None else min(self._next, moment)

    def _now(self) -> datetime:
        return self._context.clock.now()

    async def _pass(self) -> None:
        pod = self.pod
        if self._is_gone or podspec.is_deleted(pod):
            await self._end(pod)
        elif podspec.is_terminal(pod):
            await self._rest()
        else:
            await self._live(pod)

    async def _observe(self) -> PodState:
        state = await self._context.cri.pod(podspec.uid(self.pod))
        if any(container.has_ended for container in state.containers):
            return await asyncio.to_thread(with_messages, state, self._directory)
        return state

    async def _live(self, pod: Object) -> None:
        state = await self._observe()
        self._probes.follow(pod, state)
        actions = compute_pod_actions(pod, state, self._now(), self._probes.verdicts)
        pod = await self._tell(pod, state)
        if actions.finished:
            await self._finish(pod, state)
            return
        if actions.look_again is not None:
            self._look_at(actions.look_again)
        if not await self._mount(pod, state):
            return
        if await self._perform(pod, state, actions):
            self.wake()

    async def _tell(
        self, pod: Object, state: PodState, *, has_ended: bool = False, failure: Trouble | None = None
    ) -> Object:
        """Writes the status where it has changed; the pod with its new status."""
        given = StatusInput(
            now=self._now(),
            host_ip=self._context.config.node_ip,
            runtime=self._context.runtime.name,
            troubles=self._troubles,
            verdicts=self._probes.verdicts,
            has_ended=has_ended,
            unbounded_memory=await asyncio.to_thread(_unbounded_memory, self._context.config.cgroup_root, pod),
            failure=failure,
        )
        status, old = pod_status(pod, state, given), pod.get("status") or {}
        if status == old or self._is_gone:
            return pod
        patch: Object = {
            "metadata": {"uid": podspec.uid(pod)},
            "status": {**{key: None for key in old if key not in status}, **status},
        }
        try:
            new = await self._context.client.patch(
                PODS, podspec.name(pod), patch, podspec.namespace(pod), subresource="status"
            )
        except (NotFound, Conflict):
            # Deleted by force, or another pod of that name: the watch tells which.
            return {**pod, "status": status}
        if self.pod is pod:
            self.pod = new
        return {**pod, "status": new["status"]}

    async def _mount(self, pod: Object, state: PodState) -> bool:
        """Whether the volumes are there; a FailedMount event and a later try where not."""
        renewal = self._context.tokens.next_renewal(podspec.uid(pod))
        if self._volumes is not None and (renewal is None or renewal > self._now()):
            if renewal is not None:
                self._look_at(renewal)
            return True
        tokens = {
            (audience, seconds): await self._context.tokens.get(pod, audience, seconds)
            for audience, seconds in tokens_of(pod)
        }
        sources = Sources(
            cache=self._context.cache,
            token=lambda audience, seconds: tokens[audience, seconds],
            pod_ips=state.sandbox.ips if state.sandbox else (),
            host_ip=self._context.config.node_ip,
            allocatable=self._context.allocatable,
        )
        try:
            self._volumes = await asyncio.to_thread(set_up, pod, self._directory, sources)
        except MountFailed as error:
            self._context.events.tell(pod, "Warning", "FailedMount", str(error))
            self._look_at(self._now() + self._mount_delay)
            self._mount_delay = min(self._mount_delay * 2, _LAST_MOUNT_RETRY)
            return False
        self._mount_delay = _FIRST_MOUNT_RETRY
        return True

    async def _perform(self, pod: Object, state: PodState, actions: PodActions) -> bool:
        """Whether anything has changed."""
        await self._kill(pod, state, actions)
        attempt = actions.new_sandbox
        if attempt is None:
            assert state.sandbox is not None
            attempt = state.sandbox.attempt
        dns = pod_dns(pod, self._context.host_dns, self._context.config)
        config = sandbox_config(pod, attempt, dns, self._context.config)
        if actions.new_sandbox is not None:
            if not await self._new_sandbox(pod, config):
                return False
            state = await self._observe()
            pod = await self._tell(pod, state)
        assert state.sandbox is not None and self._volumes is not None
        place = Place(state, state.sandbox.id, config, self._volumes, self._directory)
        touched = await self._start_all(pod, actions.start, place)
        for container_id in actions.remove:
            await self._context.cri.remove_container(container_id)
        return touched or bool(actions.kill or actions.remove or actions.new_sandbox is not None)

    async def _kill(self, pod: Object, state: PodState, actions: PodActions) -> None:
        context = self._context
        async with asyncio.TaskGroup() as group:
            for kill in actions.kill:
                context.events.tell(pod, "Normal", "Killing", kill.message, container=kill.container.name)
                group.create_task(stop_container(context, pod, state, kill.container, podspec.grace_period(pod)))
        for sandbox_id in actions.stop_sandboxes:
            await context.cri.stop_sandbox(sandbox_id)

    async def _start_all(self, pod: Object, starts: tuple[Start, ...], place: Place) -> bool:
        """Whether any start has left something at the runtime; what has begun is told at once."""
        if not starts:
            return False
        await asyncio.to_thread(self._write_hosts, pod, place.state)
        touched = {start.name for start in starts if await self._start(pod, start, place)}
        if touched:
            state = await self._observe()
            self._probes.follow(pod, state)
            await self._tell(pod, _as_begun(state, touched - self._troubles.keys()))
        return bool(touched)

    async def _start(self, pod: Object, start: Start, place: Place) -> bool:
        try:
            await start_container(self._context, pod, start, place)
        except NotStarted as error:
            is_news = start.name not in self._troubles
            self._troubles = {**self._troubles, start.name: error.trouble}
            self._look_at(error.retry_at)
            if error.trouble.reason == "CrashLoopBackOff" and is_news:
                # The status is told at a pass's begin, so that a crash is seen as itself before it is seen as a loop.
                self._look_at(self._now() + timedelta(seconds=1))
            return error.has_touched
        self._troubles = {name: trouble for name, trouble in self._troubles.items() if name != start.name}
        return True

    async def _new_sandbox(self, pod: Object, config: dict[str, Any]) -> bool:
        logs = log_directory(pod, self._context.config)
        await asyncio.to_thread(lambda: logs.mkdir(parents=True, exist_ok=True))
        for spec in podspec.all_containers(pod):
            (logs / spec["name"]).mkdir(exist_ok=True)
        try:
            await self._context.cri.run_sandbox(config)
        except RuntimeFailure as failure:
            said = f"Failed to create pod sandbox: {failure.rpc_text}"
            self._context.events.tell(pod, "Warning", "FailedCreatePodSandBox", said)
            self._look_at(self._now() + timedelta(seconds=2))
            return False
        return True

    def _write_hosts(self, pod: Object, state: PodState) -> None:
        host_text = Path("/etc/hosts").read_text() if podspec.is_host_network(pod) else ""
        ips = state.sandbox.ips if state.sandbox else ()
        text = hosts_file(pod, ips, self._context.config.cluster_domain, host_text)
        path = self._directory / "etc-hosts"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)

    async def _finish(self, pod: Object, state: PodState) -> None:
        """The pod has succeeded or failed: end what still runs, then say so; logs and exit codes stay."""
        failure = None
        if deadline_passed(pod, self._now()) and not has_finished(pod, state):
            failure = _DEADLINE
            self._context.events.tell(pod, "Normal", failure.reason, failure.message)
        self._probes.stop()
        await stop_containers(self._context, pod, state, podspec.grace_period(pod), self._told)
        await stop_sandboxes(self._context, state)
        state = await self._observe()
        await self._tell(pod, state, has_ended=True, failure=failure)
        await asyncio.to_thread(take_down, self._directory)

    async def _rest(self) -> None:
        """A pod that has ended keeps its containers for `logs`; after a restart something may still have to end."""
        self._probes.stop()
        state = await self._observe()
        if state.running or state.sandbox is not None:
            await stop_containers(self._context, self.pod, state, 1, self._told)
            await stop_sandboxes(self._context, state)

    async def _end(self, pod: Object) -> None:
        context, uid = self._context, podspec.uid(pod)
        state = await self._observe()
        self._probes.follow(pod, state)
        self._probes.stop_killing()
        if not podspec.is_terminal(pod):
            pod = await self._tell(pod, state)
        await self._stop_within_grace(pod, state)
        await stop_sandboxes(context, state)
        self._probes.stop()
        state = await self._observe()
        if not podspec.is_terminal(pod):
            await self._tell(pod, state, has_ended=True)
        await remove_traces(context, state, self._directory, log_directory(pod, context.config))
        if not self._is_gone:
            with contextlib.suppress(NotFound, Conflict):
                await context.client.delete(
                    PODS, podspec.name(pod), podspec.namespace(pod), uid=uid, grace_period_seconds=0
                )
        context.images.forget(uid)
        context.tokens.forget(uid)
        context.crashes.forget(f"{uid}/")
        self.is_done = True

    async def _stop_within_grace(self, pod: Object, state: PodState) -> None:
        """A second, shorter delete (or a forced one) cuts the first one's grace."""
        async with asyncio.TaskGroup() as group:
            grace = 1 if self._is_gone else podspec.grace_period(pod)
            stopping = {group.create_task(stop_containers(self._context, pod, state, grace, self._told))}
            while not any(task.done() for task in stopping):
                self._wake.clear()
                woken = group.create_task(self._wake.wait())
                await asyncio.wait({*stopping, woken}, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                new = 1 if self._is_gone else podspec.grace_period(self.pod)
                if new < grace:
                    grace = new
                    stopping.add(group.create_task(stop_containers(self._context, pod, state, grace, self._told)))


def _as_begun(state: PodState, names: set[str]) -> PodState:
    """The state in which what was just started runs, even if it has ended since: its end is told by the next pass."""
    newest = {state.newest(name) for name in names}
    containers = tuple(
        dataclasses.replace(each, phase=ContainerPhase.RUNNING) if each in newest and each.has_ended else each
        for each in state.containers
    )
    return dataclasses.replace(state, containers=containers)


def _told_facts(pod: Object) -> tuple[object, ...]:
    """What of a pod's metadata a worker acts on."""
    metadata = pod["metadata"]
    kept = ("labels", "annotations", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
    return tuple(metadata.get(key) for key in kept)


def _unbounded_memory(root: str, pod: Object) -> str:
    """The pod's memory limit as the first cgroup version states it where there is none: a number all the same."""
    if podspec.phase(pod) != "Running" or cgroup.is_unified():
        return ""
    from kubelet.resources import cgroup_parent

    path = cgroup.folder(cgroup_parent(root, pod), "memory") / "memory.limit_in_bytes"
    try:
        return f"{int(path.read_text()) // 1024}Ki"
    except (OSError, ValueError):
        return ""
