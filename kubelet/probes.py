"""Asks running containers how they are; the worker reads the verdicts and is woken when one changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import repeat
from typing import Any

from kubelet import podspec
from kubelet.actions import Verdicts
from kubelet.context import PodContext
from kubelet.cri import Cri, RuntimeFailure, rpc_failure
from kubelet.environment import expand
from kubelet.httpget import NoAnswer, NoSuchPort, ask, port_number, unreached
from kubelet.podstate import ContainerState, PodState
from machinery.api.resource import Object
from machinery.contain import contain
from machinery.ip_families import host_port
from machinery.structs import Struct

_KINDS = {"startupProbe": "Startup", "readinessProbe": "Readiness", "livenessProbe": "Liveness"}
_FIRST_PAUSE = 0.1
_TRIES = 3
_BODY_LIMIT = 10 * 1024
_HEALTH = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


class ProbeErrored(Exception):
    """It could not be asked, so nothing is known; the message is the event's last part."""


class _Result(Struct, frozen=True):
    """`warns`: it was well, but not as it was meant."""

    is_success: bool
    output: str = ""
    warns: bool = False


class Probes:
    """The probes of one pod: one task for each probe of each running container."""

    def __init__(self, context: PodContext, wake: Callable[[], None]) -> None:
        self._context, self._wake = context, wake
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._started: dict[str, bool] = {}
        self._ready: dict[str, bool] = {}
        self._unhealthy: dict[str, str] = {}
        self._grace: dict[str, int] = {}
        self._has_started: dict[str, asyncio.Event] = {}

    @property
    def verdicts(self) -> Verdicts:
        return Verdicts(dict(self._started), dict(self._ready), dict(self._unhealthy), dict(self._grace))

    def follow(self, pod: Object, state: PodState) -> None:
        """Probes exactly the containers that run now."""
        running = {container.id for container in state.running}
        for key in [key for key in self._tasks if key[0] not in running]:
            self._forget(key)
        for container in state.running:
            spec = podspec.container(pod, container.name)
            if spec is not None:
                self._begin(pod, spec, container, state.sandbox.ips if state.sandbox else ())

    def _forget(self, key: tuple[str, str]) -> None:
        self._tasks.pop(key).cancel()
        for known in (self._started, self._ready, self._unhealthy, self._grace, self._has_started):
            known.pop(key[0], None)

    def stop(self) -> None:
        for key in list(self._tasks):
            self._forget(key)

    def stop_killing(self) -> None:
        """The pod is ending: what remains of its life is not judged by liveness any more."""
        for key in [key for key in self._tasks if key[1] != "readinessProbe"]:
            self._tasks.pop(key).cancel()
        self._unhealthy.clear()

    def _begin(self, pod: Object, spec: Object, container: ContainerState, ips: tuple[str, ...]) -> None:
        for kind in _KINDS:
            key = (container.id, kind)
            if kind not in spec or key in self._tasks:
                continue
            told = _told(pod, container.id)
            if kind == "startupProbe":
                self._started[container.id] = bool(told.get("started"))
                self._has_started[container.id] = asyncio.Event()
                if told.get("started"):
                    self._has_started[container.id].set()
                    continue
            if kind == "readinessProbe":
                # A kubelet that comes back finds containers as they were, until a probe says otherwise.
                self._ready[container.id] = bool(told.get("ready"))
            self._tasks[key] = self._context.group.create_task(self._watch(pod, spec, container, kind, ips))

    async def _watch(
        self, pod: Object, spec: Object, container: ContainerState, kind: str, ips: tuple[str, ...]
    ) -> None:
        probe, clock = spec[kind], self._context.clock
        if kind != "startupProbe" and container.id in self._has_started:
            await self._has_started[container.id].wait()
        await clock.sleep(delay_left(probe, container.started_at, clock.now()))
        period = probe.get("periodSeconds", 10)
        rounds = rounds_of(period, is_awaited=kind != "livenessProbe", counts_at_once=kind == "readinessProbe")
        successes = failures = 0
        while True:
            wait, counts = next(rounds)
            await clock.sleep(wait)
            result = None
            with contain("probe", about=f"{podspec.key(pod)} {container.name} {kind}"):
                result = await self._asked(pod, spec, container, kind, ips)
            if isinstance(result, _Result) and result.is_success:
                successes, failures, rounds = successes + 1, 0, repeat((period, True))
            elif isinstance(result, _Result) and counts:
                successes, failures = 0, failures + 1
            if counts and result is not None:
                self._tell(pod, container, _KINDS[kind], result)
            if successes >= probe.get("successThreshold", 1) and self._passed(container, kind):
                return
            if failures >= probe.get("failureThreshold", 3) and self._failed(container, kind, probe):
                return

    async def _asked(
        self, pod: Object, spec: Object, container: ContainerState, kind: str, ips: tuple[str, ...]
    ) -> _Result | ProbeErrored:
        """What it says, or why it could not be asked, also not the third time."""
        for _ in range(_TRIES):
            try:
                return await _ask(self._context.cri, pod, spec, spec[kind], container, self._address(pod, ips))
            except ProbeErrored as error:
                errored = error
        return errored

    def _tell(self, pod: Object, container: ContainerState, kind: str, result: _Result | ProbeErrored) -> None:
        tell = partial(self._context.events.tell, pod, "Warning", container=container.name)
        if isinstance(result, ProbeErrored):
            tell("Unhealthy", f"{kind} probe errored and resulted in unknown state: {result}")
        elif result.warns:
            tell("ProbeWarning", f"{kind} probe warning: {result.output}")
        elif not result.is_success:
            tell("Unhealthy", f"{kind} probe failed: {result.output}")

    def _address(self, pod: Object, ips: tuple[str, ...]) -> str:
        """Where the pod is asked now: that of the machine may be another one since the container has started."""
        return self._context.config.node_ip if podspec.is_host_network(pod) else (ips[0] if ips else "")

    def _passed(self, container: ContainerState, kind: str) -> bool:
        """Whether the probe's work is done."""
        if kind == "startupProbe":
            self._started[container.id] = True
            self._has_started[container.id].set()
            self._wake()
            return True
        if kind == "readinessProbe" and not self._ready.get(container.id):
            self._ready[container.id] = True
            self._wake()
        return False

    def _failed(self, container: ContainerState, kind: str, probe: Object) -> bool:
        if kind == "readinessProbe":
            if self._ready.get(container.id):
                self._ready[container.id] = False
                self._wake()
            return False
        word, seconds = _KINDS[kind].lower(), probe.get("terminationGracePeriodSeconds")
        if seconds is not None:
            self._grace[container.id] = int(seconds)
        self._unhealthy[container.id] = word
        self._wake()
        return True


def delay_left(probe: Object, began: datetime | None, now: datetime) -> float:
    """Seconds until it may be asked first: the delay counts from the container's start, whatever came between."""
    since = 0.0 if began is None else max((now - began).total_seconds(), 0.0)
    return max(float(probe.get("initialDelaySeconds", 0)) - since, 0.0)


def rounds_of(period: float, *, is_awaited: bool, counts_at_once: bool) -> Iterator[tuple[float, bool]]:
    """Until the first success: how long to wait before each asking, in seconds, and whether its failure counts.

    Upstream asks for readiness when a container has started, and otherwise at ticks that don't know of its start.
    Most servers listen a moment after they have started, and with upstream's rounds they are found out a period later.
    What is awaited is asked in between, too, ever less often; who isn't there yet is not blamed for that.
    """
    if is_awaited:
        yield 0.0, counts_at_once
    left, pause = float(period), _FIRST_PAUSE if is_awaited else float(period)
    while pause < left:
        yield pause, False
        left, pause = left - pause, 2 * pause
    yield left, True
    yield from repeat((float(period), True))


def _told(pod: Object, container_id: str) -> Object:
    """What the API was told last of this container; empty where it was another one, or none."""
    status = pod.get("status") or {}
    for part in ("containerStatuses", "initContainerStatuses"):
        for each in status.get(part) or ():
            if str(each.get("containerID", "")).endswith(f"://{container_id}"):
                return dict(each)
    return {}


async def _ask(cri: Cri, pod: Object, spec: Object, probe: Object, container: ContainerState, ip: str) -> _Result:
    seconds = int(probe.get("timeoutSeconds", 1))
    try:
        if "exec" in probe:
            known = {each["name"]: each.get("value", "") for each in spec.get("env") or ()}
            command = [expand(word, known) for word in probe["exec"].get("command") or ()]
            return await _exec(cri, container, command, seconds)
        if "httpGet" in probe:
            return await _http(spec, probe["httpGet"], ip, seconds)
        if "tcpSocket" in probe:
            wanted = probe["tcpSocket"]
            return await _tcp(wanted.get("host") or ip, port_number(spec, wanted["port"]), seconds)
        if "grpc" in probe:
            return await _grpc(ip, probe["grpc"], seconds)
    except NoSuchPort as error:
        raise ProbeErrored(str(error)) from error
    raise ProbeErrored(f"missing probe handler for {podspec.full_name(pod)}:{container.name}")


async def _exec(cri: Cri, container: ContainerState, command: list[str], seconds: int) -> _Result:
    try:
        result = await cri.exec_sync(container.id, command, seconds)
    except RuntimeFailure as failure:
        if failure.code == "DeadlineExceeded":
            said = f'command timed out: "{" ".join(command)}" timed out after {seconds}s'
            return _Result(is_success=False, output=said)
        raise ProbeErrored(failure.rpc_text) from failure
    output = (result.stdout + result.stderr)[:_BODY_LIMIT].decode(errors="replace")
    return _Result(result.exit_code == 0, output)


async def _http(spec: Object, get: Object, ip: str, seconds: int) -> _Result:
    try:
        answer = await ask(spec, get, ip, purpose="probe", seconds=seconds)
    except NoAnswer as error:
        return _Result(is_success=False, output=str(error))
    if not 200 <= answer.status < 400:
        return _Result(is_success=False, output=f"HTTP probe failed with statuscode: {answer.status}")
    said = f"Probe terminated redirects, Response body: {answer.body}"
    return _Result(is_success=True, output=said, warns=answer.status >= 300)


async def _tcp(host: str, port: int, seconds: int) -> _Result:
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return _Result(is_success=False, output=f"dial tcp {host_port(host, port)}: i/o timeout")
    except OSError as error:
        return _Result(is_success=False, output=unreached(host_port(host, port), error))
    writer.close()
    return _Result(is_success=True)


async def _grpc(ip: str, probe: Object, seconds: int) -> _Result:
    """grpc.health.v1: a request holds the service's name as field 1, an answer the status; 1 is SERVING."""
    import grpc.aio

    service = str(probe.get("service") or "").encode()
    request = (b"\x0a" + bytes([len(service)]) + service) if service else b""
    where = host_port(ip, probe["port"])
    async with grpc.aio.insecure_channel(where) as channel:
        call = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            async with asyncio.timeout(seconds):
                await channel.channel_ready()
            answer: bytes = await call(request, timeout=seconds)
        except TimeoutError:
            late = f'timeout: failed to connect service "{where}" within {seconds}s: context deadline exceeded'
            return _Result(is_success=False, output=late)
        except grpc.aio.AioRpcError as error:
            return _Result(is_success=False, output=_rpc_failure(error, seconds))
    # One field, a varint, left out where it is zero.
    told = _HEALTH[answer[1]] if len(answer) == 2 and answer[1] < len(_HEALTH) else _HEALTH[0]
    return _Result(told == "SERVING", f'service unhealthy (responded with "{told}")')


def _rpc_failure(error: Any, seconds: int) -> str:
    code = error.code().name
    if code == "UNIMPLEMENTED":
        return (
            f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {error.details()}"
        )
    if code == "DEADLINE_EXCEEDED":
        return f"timeout: health rpc did not complete within {seconds}s"
    return f"error: health rpc probe failed: {rpc_failure(error).rpc_text}"
