"""One pod's life on the node. Each pass: observe the runtime, tell the status, decide, act; then wait to be woken.

A pass that changed something wakes itself, so that the next status shows what came of it. Nothing is remembered that
the runtime or the API does not know too, but for troubles and back-off, whose loss costs one early retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from kubelet import podcgroup, podspec
from kubelet.actions import PodActions, Start, compute_pod_actions, deadline_passed, has_finished
from kubelet.admission import admission
from kubelet.config import KubeletConfig
from kubelet.containerstart import NotStarted, Place, start_container
from kubelet.context import PodContext
from kubelet.cri import RuntimeFailure
from kubelet.dnslimits import within_limits
from kubelet.ending import remove_containers, stop_container
from kubelet.fieldrefs import ConfigurationError
from kubelet.observing import PodObserver
from kubelet.podconditions import is_to_be_judged
from kubelet.podending import PodEnding
from kubelet.podfiles import write_hosts
from kubelet.podresize import PodResize
from kubelet.podstate import ContainerPhase, PodState
from kubelet.podvolumes import PodVolumes
from kubelet.probes import Probes
from kubelet.pull_secrets import missing_secrets
from kubelet.sandboxconfig import log_directory, pod_dns, runtime_handler, sandbox_config
from kubelet.statusinput import Trouble
from kubelet.statuswriter import StatusWriter
from machinery.api.resource import Object
from machinery.contain import contain
from machinery.linux.nft import NftError
from machinery.structs import replace

_DEADLINE = Trouble("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
_PREEMPTED = Trouble("Preempting", "Preempted in order to admit critical pod")
_LEAST_RESTART_GRACE = 2


class PodWorker:
    def __init__(self, context: PodContext, pod: Object) -> None:
        self._context = context
        self.pod = pod
        self.is_done = False
        self._is_gone = False
        self._is_taken = False
        self._failure: Trouble | None = None
        self._failure_grace: int | None = None
        self._has_ended = asyncio.Event()
        self._wake = asyncio.Event()
        self._next: datetime | None = None
        self._failed_passes = 0
        self._directory = context.config.pods_dir / podspec.uid(pod)
        self._observer = PodObserver(context.cri, podspec.uid(pod), self._directory)
        self._probes = Probes(context, self.wake)
        self._writer = StatusWriter(context)
        self._volumes = PodVolumes(context, self._directory)
        self._resize = PodResize(context, self._writer)
        self._ending = PodEnding(context, self._writer, self._probes, self._observer, self._directory)

    def wake(self) -> None:
        self._wake.set()

    def update(self, pod: Object) -> None:
        """The pod as the API now has it."""
        before, self.pod = self.pod, pod
        is_ours = {**before, "status": 0, "metadata": 0} == {**pod, "status": 0, "metadata": 0}
        if not is_ours or _told_facts(before) != _told_facts(pod):
            self.refresh_volumes()
        elif is_to_be_judged(pod):
            self.wake()

    def refresh_volumes(self) -> None:
        self._volumes.refresh()
        self.wake()

    def vanish(self) -> None:
        """The API no longer has the pod: whatever runs of it ends."""
        self._is_gone = True
        self.wake()

    def evict(self, why: Trouble, *, grace: int | None = 1) -> None:
        """The node gives the pod up: it fails, within `grace` seconds, its own where that is None."""
        self._failure, self._failure_grace = why, grace
        self.wake()

    async def preempt(self) -> None:
        """Ends the pod for one that is critical; returns when nothing of it runs."""
        self.evict(_PREEMPTED, grace=None)
        await self._has_ended.wait()

    @property
    def takes_room(self) -> bool:
        """Whether the node has taken the pod, and it is still there."""
        has_room = self._is_taken or bool((self.pod.get("status") or {}).get("startTime"))
        return has_room and not self._is_gone and not podspec.is_terminal(self.pod)

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
            if self.is_done or podspec.is_terminal(self.pod):
                self._has_ended.set()
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

    def _look_at(self, moment: datetime | None) -> None:
        if moment is not None:
            self._next = moment if self._next is None else min(self._next, moment)

    def _now(self) -> datetime:
        return self._context.clock.now()

    async def _pass(self) -> None:
        pod = self.pod
        if self._is_gone or podspec.is_deleted(pod):
            await self._ending.end(pod, self._grace, self._wake, is_gone=self._is_gone)
            self.is_done = True
        elif podspec.is_terminal(pod):
            await self._ending.rest(pod)
        else:
            await self._live(pod)

    def _grace(self) -> int:
        return 1 if self._is_gone and not podspec.is_static(self.pod) else podspec.grace_period(self.pod)

    async def _live(self, pod: Object) -> None:
        state = await self._observer.observe()
        if self._failure is not None:
            self._context.events.tell(pod, "Warning", self._failure.reason, self._failure.message)
            self._note(pod, await self._ending.finish(pod, state, self._failure, grace=self._failure_grace))
            return
        self._is_taken = self._is_taken or not state.is_empty
        if not self._is_taken and not await self._is_admitted(pod):
            return
        self._probes.follow(pod, state)
        pod, must_restart = self._resize.plan(pod, state)
        verdicts = replace(self._probes.verdicts, resized=must_restart)
        actions = compute_pod_actions(pod, state, self._now(), verdicts)
        if actions.finished:
            await self._finish(await self._tell(pod, state), state)
            return
        self._look_at(actions.look_again)
        pod, is_mounted = await self._tell_and_mount(pod, state)
        pod = await self._resize.carry_out(pod, state, self._probes.verdicts)
        self._look_at(self._resize.look_again)
        self._look_at(self._volumes.look_again)
        if is_mounted and await self._perform(pod, state, actions):
            self.wake()

    async def _tell_and_mount(self, pod: Object, state: PodState) -> tuple[Object, bool]:
        """The pod with its status told, and whether its volumes are there: neither needs the other."""
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(self._tell(pod, state))
            mounting = group.create_task(self._volumes.mount(pod, state))
        return telling.result(), mounting.result()

    async def _is_admitted(self, pod: Object) -> bool:
        """Whether the node takes a pod that it sees for the first time; one that it doesn't has failed."""
        if (pod.get("status") or {}).get("startTime"):
            return True
        context = self._context
        verdict = admission(pod, context.neighbours(), context.host())
        if verdict.refused is not None and verdict.refused.reason == "NodeAffinity":
            host = await context.host_anew()
            verdict = admission(pod, context.neighbours(), host)
        # Nothing is awaited in between: of two pods that want the same, the first has it.
        self._is_taken = verdict.refused is None
        if verdict.refused is not None:
            why = verdict.refused
            context.events.tell(pod, "Warning", why.reason, why.message)
            self._note(pod, await self._writer.refuse(pod, why))
        elif verdict.preempted:
            await context.preempt(verdict.preempted)
        return self._is_taken

    async def _tell(self, pod: Object, state: PodState) -> Object:
        new = await self._writer.tell(pod, state, self._probes.verdicts)
        self._note(pod, new)
        return new

    def _note(self, pod: Object, told: Object) -> None:
        """The status that was told counts at once, before the watch brings it, unless it has brought news meanwhile."""
        if told is not pod and self.pod["metadata"] == pod["metadata"]:
            self.pod = {**self.pod, "status": told["status"]}

    async def _finish(self, pod: Object, state: PodState) -> None:
        failure = None
        if deadline_passed(pod, self._now()) and not has_finished(pod, state):
            failure = _DEADLINE
            self._context.events.tell(pod, "Normal", failure.reason, failure.message)
            pod = await self._writer.tell(pod, state, self._probes.verdicts, failure=failure)
        self._note(pod, await self._ending.finish(pod, state, failure))

    async def _perform(self, pod: Object, state: PodState, actions: PodActions) -> bool:
        """Whether anything has changed."""
        if actions.new_sandbox is not None and state.sandboxes:
            said = "Pod sandbox changed, it will be killed and re-created."
            self._context.events.tell(pod, "Normal", "SandboxChanged", said)
        await self._kill(pod, state, actions)
        attempt = actions.new_sandbox
        if attempt is None:
            assert state.sandbox is not None
            attempt = state.sandbox.attempt
        dns, left_out = within_limits(pod_dns(pod, self._context.host_dns, self._context.config))
        for said in left_out if actions.start else ():
            self._context.events.tell(pod, "Warning", "DNSConfigForming", said)
        try:
            config = sandbox_config(pod, attempt, dns, self._context.config)
            if actions.new_sandbox is not None:
                await self._new_sandbox(pod, config)
        except (RuntimeFailure, ConfigurationError) as failure:
            said = failure.rpc_text if isinstance(failure, RuntimeFailure) else str(failure)
            self._context.events.tell(pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {said}")
            self._look_at(self._now() + timedelta(seconds=2))
            return False
        if actions.new_sandbox is not None:
            state = await self._observer.observe()
            pod = await self._tell(pod, state)
        assert state.sandbox is not None
        place = Place(state, state.sandbox.id, config, self._volumes.paths, self._directory)
        self._tell_missing_secrets(pod, actions.start)
        touched = await self._start_all(pod, actions.start, place)
        await remove_containers(self._context, state, actions.remove)
        return touched or bool(actions.kill or actions.remove or actions.new_sandbox is not None)

    def _tell_missing_secrets(self, pod: Object, starts: tuple[Start, ...]) -> None:
        """Before images are pulled, as that may fail for want of them."""
        missing = missing_secrets(pod, self._context.cache) if starts else []
        if missing:
            named = ", ".join(missing)
            said = (
                f"Unable to retrieve some image pull secrets ({named}); attempting to pull the image may not succeed."
            )
            self._context.events.tell(pod, "Warning", "FailedToRetrieveImagePullSecret", said)

    async def _kill(self, pod: Object, state: PodState, actions: PodActions) -> None:
        context = self._context
        async with asyncio.TaskGroup() as group:
            for kill in actions.kill:
                context.events.tell(pod, "Normal", "Killing", kill.message, container=kill.container.name)
                grace = podspec.grace_period(pod) if kill.grace is None else kill.grace
                seconds = max(grace, _LEAST_RESTART_GRACE)
                group.create_task(stop_container(context, pod, state, kill.container, seconds))
        for sandbox_id in actions.stop_sandboxes:
            await context.cri.stop_sandbox(sandbox_id)

    async def _start_all(self, pod: Object, starts: tuple[Start, ...], place: Place) -> bool:
        """Whether any start has left something at the runtime; what has begun is told at once."""
        if not starts:
            return False
        ips = place.state.sandbox.ips if place.state.sandbox else ()
        if not await self._is_guarded(pod, ips):
            return False
        await asyncio.to_thread(write_hosts, self._directory, pod, ips, self._context.config.cluster_domain)
        touched = {start.name for start in starts if await self._start(pod, start, place)}
        if touched:
            state = await self._observer.observe()
            self._probes.follow(pod, state)
            self._resize.have_restarted(touched)
            await self._tell(pod, _as_begun(state, touched - self._writer.troubles.keys()))
        return bool(touched)

    async def _is_guarded(self, pod: Object, ips: Sequence[str]) -> bool:
        """Whether the network policies hold for the pod: before that nothing of it begins."""
        if self._context.policy is None:
            return True
        try:
            await self._context.policy.hold(pod, ips)
        except NftError as error:
            said = f"Failed to create pod sandbox: failed to apply network policies: {error}"
            self._context.events.tell(pod, "Warning", "FailedCreatePodSandBox", said)
            self._look_at(self._now() + timedelta(seconds=2))
            return False
        return True

    async def _start(self, pod: Object, start: Start, place: Place) -> bool:
        troubles = self._writer.troubles
        try:
            await start_container(self._context, pod, start, place)
        except NotStarted as error:
            is_news = start.name not in troubles
            self._writer.troubles = {**troubles, start.name: error.trouble}
            self._look_at(error.retry_at)
            if error.trouble.reason == "CrashLoopBackOff" and is_news:
                # The status is told at a pass's begin, so that a crash is seen as itself before it is seen as a loop.
                self._look_at(self._now() + timedelta(seconds=1))
            return error.has_touched
        self._writer.troubles = {name: trouble for name, trouble in troubles.items() if name != start.name}
        return True

    async def _new_sandbox(self, pod: Object, config: dict[str, Any]) -> None:
        context = self._context
        handler = runtime_handler(pod, context.cache)
        await asyncio.to_thread(_prepare, context.config, pod, context.pods_here())
        try:
            self._observer.expect(await context.cri.run_sandbox(config, handler))
        except RuntimeFailure:
            self._observer.forget()
            raise


def _prepare(config: KubeletConfig, pod: Object, pods: Sequence[Object]) -> None:
    """What a sandbox needs of the node: folders for its logs, a cgroup with its limits. Blocks."""
    podcgroup.prepare(config.cgroup_root, pod, pods)
    logs = log_directory(pod, config)
    for spec in podspec.all_containers(pod):
        (logs / spec["name"]).mkdir(parents=True, exist_ok=True)


def _as_begun(state: PodState, names: set[str]) -> PodState:
    """The state in which what was just started runs, even if it has ended since: its end is told by the next pass."""
    newest = {state.newest(name) for name in names}
    containers = tuple(
        replace(each, phase=ContainerPhase.RUNNING) if each in newest and each.has_ended else each
        for each in state.containers
    )
    return replace(state, containers=containers)


def _told_facts(pod: Object) -> tuple[object, ...]:
    """What of a pod's metadata a worker acts on."""
    metadata = pod["metadata"]
    kept = ("labels", "annotations", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
    return tuple(metadata.get(key) for key in kept)
