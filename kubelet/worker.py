"""One pod's worker: a pass looks at pod and runtime, decides (`compute_pod_actions`), acts, and tells the status.

Passes never overlap for a pod, and whatever wakes the worker (a change of the pod, of a container, a moment that was
waited for) only makes it look again.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from kubelet import podspec
from kubelet.actions import PodActions, Start, Verdicts, compute_pod_actions
from kubelet.backoff import Backoff, duration
from kubelet.context import Context
from kubelet.cri import RuntimeFailure
from kubelet.environment import Surroundings, environment
from kubelet.podfiles import hosts_file, with_messages
from kubelet.podstate import ContainerState, PodState
from kubelet.podstatus import StatusInput, Trouble, pod_status
from kubelet.sandboxconfig import pod_dns, sandbox_config
from kubelet.start import Failed, Room, pull_image, start_container
from kubelet.volumecontent import Sources
from kubelet.volumes import MountFailed, set_up, take_down
from machinery.api.errors import Conflict, NotFound
from machinery.api.resource import Object
from machinery.api.resources import PODS
from machinery.contain import contain

LOG = logging.getLogger("kubelet")
RETRY = 0.5
LONGEST_RETRY = 120.0


@dataclass
class _Memory:
    """What one pass tells the next: why containers wait, and what failed how often."""

    troubles: dict[str, Trouble] = field(default_factory=dict)
    failures: int = 0
    volumes: dict[str, Path] | None = None


class PodWorker:
    """`run` works until the pod is gone for good; `wake` makes it look, with a newer pod where there is one."""

    def __init__(self, context: Context, pod: Object) -> None:
        self.pod = pod
        self._context = context
        self._woken = asyncio.Event()
        self._woken.set()
        self._memory = _Memory()
        self._crashes = Backoff()
        self._look_again: datetime | None = None
        self.is_over = False

    @property
    def uid(self) -> str:
        return podspec.uid(self.pod)

    @property
    def _dir(self) -> Path:
        return self._context.config.pods_dir / self.uid

    def wake(self, pod: Object | None = None) -> None:
        if pod is not None:
            self.pod = pod
        self._woken.set()

    async def run(self) -> None:
        while not self.is_over:
            await self._wait()
            self._woken.clear()
            self._look_again = None
            succeeded = False
            with contain("pod worker", about=podspec.key(self.pod)):
                await self._pass()
                succeeded = True
            if not succeeded:
                self._retry()

    async def _wait(self) -> None:
        if self._look_again is None:
            await self._woken.wait()
            return
        seconds = max((self._look_again - self._context.clock.now()).total_seconds(), 0.0)
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    def _retry(self) -> None:
        """Looks again after a while that doubles with each failure in a row."""
        self._memory.failures += 1
        seconds = min(RETRY * 2.0 ** (self._memory.failures - 1), LONGEST_RETRY)
        self._wake_at(self._context.clock.now() + timedelta(seconds=seconds))

    def _wake_at(self, moment: datetime | None) -> None:
        if moment is not None and (self._look_again is None or moment < self._look_again):
            self._look_again = moment

    async def _pass(self) -> None:
        pod, state = self.pod, await self._observe()
        if podspec.is_deleted(pod):
            await self._terminate(pod, state)
            return
        if podspec.is_terminal(pod):
            await self._end(pod, state)
            return
        actions = compute_pod_actions(pod, state, self._context.clock.now(), Verdicts())
        self._wake_at(actions.look_again)
        if actions.finished:
            await self._end(pod, state)
            return
        await self._tell_status(pod, state)
        if await self._carry_out(pod, state, actions):
            self._memory.failures = 0
        await self._tell_status(self.pod, await self._observe())

    async def _observe(self) -> PodState:
        state = await self._context.cri.pod(self.uid)
        if any(container.has_ended for container in state.containers):
            return await asyncio.to_thread(with_messages, state, self._dir)
        return state

    async def _carry_out(self, pod: Object, state: PodState, actions: PodActions) -> bool:
        """Whether all that was decided was done; what was not is tried again."""
        cri = self._context.cri
        async with asyncio.TaskGroup() as group:
            for kill in actions.kill:
                group.create_task(self._kill(pod, kill.container, kill.message))
        for sandbox_id in actions.stop_sandboxes:
            await cri.stop_sandbox(sandbox_id)
        for container_id in actions.remove:
            await cri.remove_container(container_id)
        sandbox = state.sandbox
        if not actions.start and actions.new_sandbox is None:
            return True
        volumes = await self._volumes(pod)
        if volumes is None:
            return False
        attempt = actions.new_sandbox if actions.new_sandbox is not None else sandbox.attempt if sandbox else 0
        config = self._sandbox_config(pod, attempt)
        ips: tuple[str, ...]
        if actions.new_sandbox is not None:
            sandbox_id = await self._new_sandbox(pod, config)
            if not sandbox_id:
                return False
            fresh = await self._observe()
            sandbox = fresh.sandbox
            await self._tell_status(self.pod, fresh)
        if sandbox is None:
            return False
        ips = sandbox.ips or (self._context.config.node_ip,)
        room = await self._room(pod, sandbox.id, config, volumes, ips)
        return await self._start_all(pod, actions.start, room)

    def _sandbox_config(self, pod: Object, attempt: int) -> dict[str, object]:
        config = self._context.config
        return sandbox_config(pod, attempt, pod_dns(pod, self._context.resolver, config), config)

    async def _new_sandbox(self, pod: Object, config: dict[str, object]) -> str:
        try:
            return await self._context.cri.run_sandbox(config, "")
        except RuntimeFailure as failure:
            message = f"Failed to create pod sandbox: {failure.rpc_text}"
            await self._context.recorder.record(pod, "Warning", "FailedCreatePodSandBox", message)
            self._retry()
            return ""

    async def _volumes(self, pod: Object) -> dict[str, Path] | None:
        if self._memory.volumes is not None:
            return self._memory.volumes
        try:
            tokens = await self._tokens(pod)
            sources = Sources(self._context.cache, lambda audience, seconds: tokens[audience, seconds])
            self._memory.volumes = await asyncio.to_thread(set_up, pod, self._dir, sources)
        except MountFailed as error:
            await self._context.recorder.record(pod, "Warning", "FailedMount", str(error))
            self._retry()
            return None
        return self._memory.volumes

    async def _tokens(self, pod: Object) -> dict[tuple[str, int], str]:
        """The ServiceAccount tokens that the pod's volumes want, by audience and seconds."""
        wanted = [
            source["serviceAccountToken"]
            for volume in pod["spec"].get("volumes") or []
            for source in (volume.get("projected") or {}).get("sources") or []
            if source.get("serviceAccountToken") is not None
        ]
        keys = [(each.get("audience", ""), each.get("expirationSeconds", 3600)) for each in wanted]
        return {key: await self._context.tokens.get(pod, *key) for key in keys}

    async def _room(
        self, pod: Object, sandbox_id: str, config: dict[str, object], volumes: dict[str, Path], ips: tuple[str, ...]
    ) -> Room:
        context = self._context
        await asyncio.to_thread(self._write_hosts, pod, ips)
        around = Surroundings(pod_ips=ips, host_ip=context.config.node_ip)

        def resolve(spec: Object) -> dict[str, str]:
            return environment(pod, spec, context.cache, around)

        return Room(sandbox_id, config, volumes, self._dir, resolve, context.memory_capacity)

    def _write_hosts(self, pod: Object, ips: tuple[str, ...]) -> None:
        path = self._dir / "etc-hosts"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(hosts_file(pod, ips, self._context.config.cluster_domain, Path("/etc/hosts").read_text()))
        path.chmod(0o644)

    async def _start_all(self, pod: Object, starts: tuple[Start, ...], room: Room) -> bool:
        results = await asyncio.gather(*(self._start(pod, start, room) for start in starts))
        return all(results)

    async def _start(self, pod: Object, start: Start, room: Room) -> bool:
        spec = podspec.container(pod, start.name)
        if spec is None:
            return True
        now = self._context.clock.now()
        if self._is_crashing(pod, start, now):
            await self._tell(
                pod,
                start.name,
                "Warning",
                "BackOff",
                f"Back-off restarting failed container {start.name} in pod {podspec.full_name(pod)}",
            )
            return True

        async def tell(type_: str, reason: str, message: str) -> None:
            await self._tell(pod, start.name, type_, reason, message)

        try:
            pulled = await pull_image(self._context.puller, pod, spec, room, tell)
            if start.ended is not None:
                self._crashes.advance(start.name, now)
            await start_container(self._context.cri, pod, spec, start.attempt, room, pulled, tell)
        except Failed as failure:
            self._memory.troubles[start.name] = Trouble(failure.reason, str(failure))
            if failure.retry_at is not None:
                self._wake_at(failure.retry_at)
            else:
                self._retry()
            return False
        self._memory.troubles.pop(start.name, None)
        return True

    def _is_crashing(self, pod: Object, start: Start, now: datetime) -> bool:
        """Whether the container has to wait before its next start; notes why and when to look again."""
        if start.ended is None or start.ended.finished_at is None:
            return False
        until = self._crashes.until(start.name, start.ended.finished_at)
        if until is None or until <= now:
            return False
        delay = duration(self._crashes.delay(start.name))
        message = f"back-off {delay} restarting failed container={start.name} pod={podspec.full_name(pod)}"
        self._memory.troubles[start.name] = Trouble("CrashLoopBackOff", message)
        self._wake_at(until)
        return True

    async def _kill(self, pod: Object, container: ContainerState, message: str) -> None:
        await self._tell(pod, container.name, "Normal", "Killing", message)
        await self._context.cri.stop_container(container.id, podspec.grace_period(pod))

    async def _tell(self, pod: Object, name: str, type_: str, reason: str, message: str) -> None:
        path = podspec.field_path(pod, name)
        await self._context.recorder.record(pod, type_, reason, message, field_path=path)

    async def _stop_all(self, pod: Object, state: PodState) -> PodState:
        """Stops what runs, by its grace, then the sandboxes; the state after that."""
        async with asyncio.TaskGroup() as group:
            for container in state.running:
                group.create_task(self._kill(pod, container, f"Stopping container {container.name}"))
        for sandbox in state.sandboxes:
            if sandbox.is_ready:
                await self._context.cri.stop_sandbox(sandbox.id)
        return await self._observe()

    async def _end(self, pod: Object, state: PodState) -> None:
        """A pod that has succeeded or failed keeps its dead containers for their logs, and nothing else."""
        state = await self._stop_all(pod, state)
        await self._tell_status(pod, state, has_ended=True)
        await asyncio.to_thread(take_down, self._dir)
        self._memory.volumes = None

    async def _terminate(self, pod: Object, state: PodState) -> None:
        """A deleted pod: ended by its grace, told, cleaned up, and only then gone from the API."""
        state = await self._stop_all(pod, state)
        await self._tell_status(pod, state, has_ended=True)
        await self.clean_up(state)
        self.is_over = True
        try:
            await self._context.client.delete(
                PODS, podspec.name(pod), podspec.namespace(pod), uid=self.uid, grace_period_seconds=0
            )
        except (NotFound, Conflict):
            LOG.debug("%s was gone already", podspec.key(pod))

    async def clean_up(self, state: PodState) -> None:
        """Removes the pod's containers, sandboxes, volumes and folders from this machine."""
        for container in state.containers:
            await self._context.cri.remove_container(container.id)
        for sandbox in state.sandboxes:
            await self._context.cri.remove_sandbox(sandbox.id)
        await asyncio.to_thread(take_down, self._dir)
        self._context.tokens.forget(self.uid)
        await asyncio.to_thread(self._context.remove_folders, self.pod)
        self._context.puller.forget(self.uid)

    async def _tell_status(self, pod: Object, state: PodState, *, has_ended: bool = False) -> None:
        for name in [name for name in self._memory.troubles if _runs(state, name)]:
            del self._memory.troubles[name]
        given = StatusInput(
            now=self._context.clock.now(),
            host_ip=self._context.config.node_ip,
            runtime=self._context.runtime_name,
            troubles=dict(self._memory.troubles),
            has_ended=has_ended,
        )
        status = pod_status(pod, state, given)
        if status == pod.get("status"):
            return
        try:
            self.pod = await self._context.client.update(PODS, {**pod, "status": status}, subresource="status")
        except NotFound:
            LOG.debug("%s is gone from the API", podspec.key(pod))
        except Conflict:
            newest = self._context.cache.get(PODS, podspec.namespace(pod), podspec.name(pod))
            if newest is not None and podspec.uid(newest) == self.uid:
                self.wake(newest)


def _runs(state: PodState, name: str) -> bool:
    newest = state.newest(name)
    return newest is not None and newest.is_running
