"""Decides what a pod's worker does next, from the pod, the runtime's view of it and the probes' verdicts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from kubelet import podspec
from kubelet.podstate import ContainerPhase, ContainerState, PodState
from machinery.api.resource import Object
from machinery.structs import Struct, field

_DEFINITION, _RESIZE = "definition changed", "resize requires restart"


class Verdicts(Struct, frozen=True):
    """What probes say of running containers, by container id; no entry: not asked yet, or there is no probe."""

    started: Mapping[str, bool] = field(default_factory=dict)
    ready: Mapping[str, bool] = field(default_factory=dict)
    unhealthy: Mapping[str, str] = field(default_factory=dict)
    """Container id -> which of its probes failed: `liveness` or `startup`."""
    grace: Mapping[str, int] = field(default_factory=dict)
    """Container id -> the seconds that the failed probe grants it, where it says so itself."""
    resized: Collection[str] = ()
    """Ids of containers that can't have their new resources without a restart."""

    def is_started(self, spec: Object, state: ContainerState) -> bool:
        return state.is_running and self.started.get(state.id, "startupProbe" not in spec)

    def is_ready(self, spec: Object, state: ContainerState) -> bool:
        return self.is_started(spec, state) and self.ready.get(state.id, "readinessProbe" not in spec)


class Kill(Struct, frozen=True):
    """`message` becomes the Killing event's."""

    container: ContainerState
    message: str
    grace: int | None = None
    """Where it is not the pod's own."""


class Start(Struct, frozen=True):
    name: str
    attempt: int
    ended: ContainerState | None = None
    """The container that it replaces; back-off counts from its end."""


class PodActions(Struct, frozen=True):
    """In this order: stop sandboxes, kill containers, create a sandbox, start containers."""

    stop_sandboxes: tuple[str, ...] = ()
    kill: tuple[Kill, ...] = ()
    new_sandbox: int | None = None
    start: tuple[Start, ...] = ()
    remove: tuple[str, ...] = ()
    finished: bool = False
    """Nothing will run again: the pod has succeeded or failed."""
    look_again: datetime | None = None


def compute_pod_actions(
    pod: Object,
    state: PodState,
    now: datetime,
    verdicts: Verdicts = Verdicts(),  # noqa: B008 - frozen
) -> PodActions:
    """What brings the containers to what the spec wants; an empty value where they are."""
    if has_finished(pod, state) or deadline_passed(pod, now):
        return PodActions(finished=True)
    again = _deadline(pod)
    sandbox = state.sandbox
    if sandbox is None:
        return _begin(pod, state, again)
    kill, start, is_initialized = _init_steps(pod, state, verdicts)
    if is_initialized:
        kill_main, start_main = _main_steps(pod, state, verdicts)
        kill, start = (*kill, *kill_main), (*start, *start_main)
    if _ends_all(pod, state, kill, start):
        # By its own grace, and for no reason that is told.
        kill, start = tuple(Kill(each, f"Stopping container {each.name}") for each in state.running), ()
    spare = tuple(box.id for box in state.sandboxes if box.is_ready and box.id != sandbox.id)
    return PodActions(stop_sandboxes=spare, kill=kill, start=start, remove=_superseded(pod, state), look_again=again)


def has_finished(pod: Object, state: PodState) -> bool:
    """Whether no container of the pod will run again under its restart policy."""
    for spec in podspec.init_containers(pod):
        if podspec.is_sidecar(spec):
            continue
        newest = state.newest(spec["name"])
        if newest is not None and newest.has_ended and not newest.has_succeeded and not restarts(pod, spec, newest):
            return True
    newest_of = [(spec, state.newest(spec["name"])) for spec in podspec.containers(pod)]
    return bool(newest_of) and all(
        newest is not None and newest.has_ended and not restarts(pod, spec, newest) for spec, newest in newest_of
    )


def restarts(pod: Object, spec: Object, ended: ContainerState) -> bool:
    """Whether the container, which has ended, runs again."""
    return restarts_after(pod, spec, ended.exit_code, has_succeeded=ended.has_succeeded)


def restarts_after(pod: Object, spec: Object, exit_code: int, *, has_succeeded: bool) -> bool:
    """By the container's own rules (KEP-5307), its own policy, or its pod's."""
    if any(_applies(rule, exit_code) for rule in spec.get("restartPolicyRules") or ()):
        return True
    policy = spec.get("restartPolicy") or podspec.restart_policy(pod)
    return policy == "Always" or (policy == "OnFailure" and not has_succeeded)


def _applies(rule: Object, exit_code: int) -> bool:
    codes = rule.get("exitCodes") or {}
    is_among = exit_code in (codes.get("values") or ())
    return rule.get("action") == "Restart" and is_among == (codes.get("operator") == "In")


def should_restart(pod: Object, spec: Object, state: PodState) -> bool:
    """Whether the container, by name, is to run (again): not running, and its policy asks for it."""
    newest = state.newest(spec["name"])
    if podspec.is_deleted(pod):
        return False
    if newest is None or newest.phase is ContainerPhase.CREATED:
        return True
    if newest.is_running:
        return False
    return restarts(pod, spec, newest)


def _deadline(pod: Object) -> datetime | None:
    seconds, started = pod["spec"].get("activeDeadlineSeconds"), pod.get("status", {}).get("startTime")
    if seconds is None or not started:
        return None
    return datetime.fromisoformat(started) + timedelta(seconds=int(seconds))


def deadline_passed(pod: Object, now: datetime) -> bool:
    deadline = _deadline(pod)
    return deadline is not None and now >= deadline


def _begin(pod: Object, state: PodState, again: datetime | None) -> PodActions:
    """No ready sandbox: what still runs in an old one dies with it, and all begins with the first init container."""
    attempt = state.sandboxes[0].attempt + 1 if state.sandboxes else 0
    stale = tuple(box.id for box in state.sandboxes)
    specs = podspec.init_containers(pod)[:1] or [
        spec for spec in podspec.containers(pod) if should_restart_in_new_sandbox(pod, spec, state)
    ]
    start = tuple(_start(spec["name"], state) for spec in specs)
    kill = tuple(Kill(c, f"Stopping container {c.name}") for c in state.running)
    return PodActions(stop_sandboxes=stale, kill=kill, new_sandbox=attempt, start=start, look_again=again)


def should_restart_in_new_sandbox(pod: Object, spec: Object, state: PodState) -> bool:
    newest = state.newest(spec["name"])
    return newest is None or not newest.has_ended or restarts(pod, spec, newest)


def _start(name: str, state: PodState) -> Start:
    history = state.history(name)
    ended = next((c for c in history if c.has_ended), None)
    return Start(name, max((c.attempt for c in history), default=-1) + 1, ended)


def _init_steps(pod: Object, state: PodState, verdicts: Verdicts) -> tuple[tuple[Kill, ...], tuple[Start, ...], bool]:
    """Kills and starts among the init containers, and whether the main containers may run."""
    kill: list[Kill] = []
    sidecars: list[Start] = []
    is_past = any(state.in_sandbox(spec["name"]) for spec in podspec.containers(pod))
    for spec in podspec.init_containers(pod):
        current = state.in_sandbox(spec["name"])
        if podspec.is_sidecar(spec):
            if current is None or not current.is_running:
                # A dead sidecar comes back beside whatever runs; a new one is waited for, as the next may need it.
                sidecars.append(_start(spec["name"], state))
                if not is_past and current is None:
                    return tuple(kill), tuple(sidecars), False
                continue
            if why := _why_kill(spec, current, verdicts):
                kill.append(Kill(current, f"Init container {spec['name']} {why}", verdicts.grace.get(current.id)))
                sidecars.append(_start(spec["name"], state))
            if not is_past and not verdicts.is_started(spec, current):
                return tuple(kill), tuple(sidecars), False
            continue
        if is_past or (current is not None and current.has_succeeded):
            continue
        if current is None or not current.is_running:
            sidecars.append(_start(spec["name"], state))
        return tuple(kill), tuple(sidecars), False
    return tuple(kill), tuple(sidecars), is_past or not sidecars


def _ends_all(pod: Object, state: PodState, kill: tuple[Kill, ...], start: tuple[Start, ...]) -> bool:
    """Whether nothing is left of the main containers when these have been killed: then sidecars end with them."""
    main = {spec["name"] for spec in podspec.containers(pod)}
    running = {each.id for each in state.running if each.name in main}
    return bool(running) and running <= {each.container.id for each in kill} and not any(s.name in main for s in start)


def _main_steps(pod: Object, state: PodState, verdicts: Verdicts) -> tuple[tuple[Kill, ...], tuple[Start, ...]]:
    kill: list[Kill] = []
    start: list[Start] = []
    for spec in podspec.containers(pod):
        current = state.in_sandbox(spec["name"])
        if current is not None and current.is_running:
            if why := _why_kill(spec, current, verdicts):
                again = _must_change(why) or (spec.get("restartPolicy") or podspec.restart_policy(pod)) != "Never"
                said = f"Container {spec['name']} {why}"
                told = f"{said}, will be restarted" if again and why != _RESIZE else said
                kill.append(Kill(current, told, verdicts.grace.get(current.id)))
                if again:
                    start.append(_start(spec["name"], state))
            continue
        newest = state.newest(spec["name"])
        if newest is None or newest.phase is ContainerPhase.CREATED or restarts(pod, spec, newest):
            start.append(_start(spec["name"], state))
    for spec in podspec.ephemeral_containers(pod):
        if state.newest(spec["name"]) is None:
            start.append(_start(spec["name"], state))
    return tuple(kill), tuple(start)


def _why_kill(spec: Object, current: ContainerState, verdicts: Verdicts) -> str:
    """What is to be said of a running container that has to end; nothing of one that runs on."""
    if current.hash and current.hash != podspec.container_hash(spec):
        return _DEFINITION
    if current.id in verdicts.unhealthy:
        return f"failed {verdicts.unhealthy[current.id]} probe"
    return _RESIZE if current.id in verdicts.resized else ""


def _must_change(why: str) -> bool:
    return why in (_DEFINITION, _RESIZE)


def _superseded(pod: Object, state: PodState) -> tuple[str, ...]:
    """Dead containers that neither `logs --previous` nor `lastState` needs: all but the newest dead one of a name."""
    spare: list[str] = []
    for name in {c.name for c in state.containers}:
        dead = [c for c in state.history(name) if not c.is_running]
        newest = state.newest(name)
        keep = 2 if newest is not None and not newest.is_running else 1
        spare.extend(c.id for c in dead[keep:])
    return tuple(sorted(spare))
