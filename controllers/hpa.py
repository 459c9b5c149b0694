"""HorizontalPodAutoscalers: every quarter of a minute as many replicas as the metric that asks for most.

What was recommended and changed of late lives in memory, as upstream's does: after a restart the present size counts as
recommended, so that nothing shrinks before a window has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from controllers.hpa_limits import Memory, limit
from controllers.hpa_metrics import Scene, Verdict, judge
from controllers.hpa_readings import Answers, nobody
from controllers.hpa_target import Target, rivals, target_of
from controllers.plan import Action, Controller, Key, Plan, Record, Update, itself, key_of, status_update
from controllers.selection import selected
from machinery.api.errors import StatusError
from machinery.api.resource import Object
from machinery.api.resources import HORIZONTAL_POD_AUTOSCALERS
from machinery.api.selectors import parse_labels
from machinery.api.timestamps import rfc3339
from machinery.api.views import HorizontalPodAutoscaler, Pod
from machinery.client.cache import Cache
from machinery.structs import Struct, field
from machinery.usage import PodUsage, Usages

PERIOD = timedelta(seconds=15)
FIRST = timedelta(seconds=3)
"""So long a new autoscaler waits, that there are two looks at what its pods use."""
_NO_SELECTOR = "the HPA target's scale is missing a selector"
_GOT_SCALE = ("True", "SucceededGetScale", "the HPA controller was able to get the target's current scale")


class State(Struct, frozen=True):
    """`missing` is why there is no target; `rivals` are all autoscalers that control the pods, itself among them."""

    autoscaler: HorizontalPodAutoscaler
    target: Target | None = None
    missing: str = ""
    pods: tuple[Pod, ...] = ()
    usages: Mapping[str, PodUsage] = field(default_factory=dict)
    answers: Answers = nobody
    rivals: tuple[str, ...] = ()


class Draft(Struct):
    """The status as it becomes, and what is told of it."""

    autoscaler: HorizontalPodAutoscaler
    now: str
    conditions: list[Object]
    told: list[Action]

    def set(self, kind: str, told: tuple[str, str, str]) -> None:
        """(status, reason, message); the time of the last change is kept while the status is."""
        status, reason, message = told
        before = next((each for each in self.conditions if each["type"] == kind), None)
        since = before["lastTransitionTime"] if before and before["status"] == status else self.now
        new = {"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
        self.conditions = [new if each is before else each for each in self.conditions]
        if before is None:
            self.conditions.append(new)

    def warn(self, reason: str, message: str) -> None:
        self.told.append(Record(self.autoscaler.obj, "Warning", reason, message))

    def status(self, current: int, desired: int, metrics: Sequence[Object] | None, *, scaled: bool) -> Object:
        scale_time = self.now if scaled else self.autoscaler.last_scale_time
        return {
            "currentReplicas": current,
            "desiredReplicas": desired,
            "currentMetrics": list(metrics) if metrics else None,
            "conditions": self.conditions,
            **({"lastScaleTime": scale_time} if scale_time else {}),
        }


class Decision(Struct, frozen=True):
    """`memory` is what is remembered, `unscaled` what is where the change of size fails."""

    plan: Plan
    memory: Memory
    unscaled: Memory


def decide(state: State, memory: Memory, now: datetime) -> Decision:
    autoscaler = state.autoscaler
    draft = Draft(autoscaler, rfc3339(now), list(autoscaler.conditions), [])
    target = state.target
    if target is None:
        draft.warn("FailedGetScale", state.missing)
        said = f"the HPA controller was unable to get the target's current scale: {state.missing}"
        draft.set("AbleToScale", ("False", "FailedGetScale", said))
        status = {**autoscaler.status, "conditions": draft.conditions}
        return _kept(_plan(draft, status), memory)
    draft.set("AbleToScale", _GOT_SCALE)
    current = target.view.replicas
    if not memory.recommendations:
        memory = memory.recommended(now, current)
    least, most = autoscaler.min_replicas, autoscaler.max_replicas
    if current == 0 and least:
        said = "scaling is disabled since the replica count of the target is zero"
        draft.set("ScalingActive", ("False", "ScalingDisabled", said))
        return _kept(_plan(draft, draft.status(0, 0, None, scaled=False)), memory)
    if current > most:
        return _scaled(draft, target, most, "Current number of replicas above Spec.MaxReplicas", None, memory, now)
    if current < least:
        return _scaled(draft, target, least, "Current number of replicas below Spec.MinReplicas", None, memory, now)
    return _measured(state, target, draft, memory, now)


def _measured(state: State, target: Target, draft: Draft, memory: Memory, now: datetime) -> Decision:
    """As the metrics say, within the limits."""
    autoscaler, current = state.autoscaler, target.view.replicas
    failed = _selector_complaint(state, target, draft)
    verdicts: list[Verdict] = []
    if not failed:
        there, selector = target.view.current_replicas, target.selector
        scene = Scene(autoscaler, state.pods, state.usages, current, now, there, selector, state.answers)
        verdicts = [judge(scene, metric) for metric in autoscaler.metrics]
        failed = _failure(verdicts, current, draft)
    if failed:
        draft.warn("FailedComputeMetricsReplicas", failed)
        shown = [each.status or {} for each in verdicts]
        kept = draft.status(current, autoscaler.desired_replicas, shown, scaled=False)
        return _kept(_plan(draft, kept), memory)
    best = max((each for each in verdicts if not each.error), key=lambda each: each.replicas)
    said = f"the HPA was able to successfully calculate a replica count from {best.name}"
    draft.set("ScalingActive", ("True", "ValidMetricFound", said))
    limited = limit(autoscaler, memory, current, best.replicas, now)
    draft.set("AbleToScale", limited.able)
    draft.set("ScalingLimited", limited.limited)
    memory = memory.recommended(now, best.replicas)
    metrics = [each.status or {} for each in verdicts]
    if limited.replicas == current:
        return _kept(_plan(draft, draft.status(current, current, metrics, scaled=False)), memory)
    reason = f"{best.name} above target" if best.replicas > current else "All metrics below target"
    return _scaled(draft, target, limited.replicas, reason, metrics, memory, now)


def _selector_complaint(state: State, target: Target, draft: Draft) -> str:
    """Why the pods can't be told; empty where they can."""
    if not target.selector:
        draft.warn("SelectorRequired", "selector is required")
        draft.set("ScalingActive", ("False", "InvalidSelector", _NO_SELECTOR))
        return "selector is required"
    if len(state.rivals) > 1:
        said = f"pods by selector {target.selector} are controlled by multiple HPAs: [{' '.join(state.rivals)}]"
        draft.warn("AmbiguousSelector", said)
        draft.set("ScalingActive", ("False", "AmbiguousSelector", said))
        return said
    return ""


def _failure(verdicts: Sequence[Verdict], current: int, draft: Draft) -> str:
    """Why nothing is to be done: all metrics fail, or one does and the others would shrink what it may need."""
    failed = [each for each in verdicts if each.error]
    for each in failed:
        draft.warn(each.reason, each.said)
    most = max((each.replicas for each in verdicts if not each.error), default=0)
    if not failed or (len(failed) < len(verdicts) and most >= current):
        return ""
    first = failed[0]
    said = f"the HPA was unable to compute the replica count: {first.said}"
    draft.set("ScalingActive", ("False", first.reason, said))
    return f"invalid metrics ({len(failed)} invalid out of {len(verdicts)}), first error is: {first.error}"


def _scaled(
    draft: Draft,
    target: Target,
    replicas: int,
    reason: str,
    metrics: Sequence[Object] | None,
    memory: Memory,
    now: datetime,
) -> Decision:
    autoscaler, current = draft.autoscaler, target.view.replicas
    conditions = list(draft.conditions)
    said = f"the HPA controller was able to update the target scale to {replicas}"
    draft.set("AbleToScale", ("True", "SucceededRescale", said))
    told = Record(autoscaler.obj, "Normal", "SuccessfulRescale", f"New size: {replicas}; reason: {reason}")
    metadata = {"name": target.view.name, "namespace": target.view.namespace}
    scale = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": {"replicas": replicas}}
    update = Update(target.resource, scale, subresource="scale")
    status = draft.status(current, replicas, metrics, scaled=True)
    actions = [*draft.told, update, told, *status_update(HORIZONTAL_POD_AUTOSCALERS, autoscaler.obj, status)]

    def on_failure(action: Action, error: StatusError) -> Sequence[Action]:
        if action is not update:
            return ()
        failed = Draft(autoscaler, draft.now, conditions, [])
        failed.warn("FailedRescale", f"New size: {replicas}; reason: {reason}; error: {error.message}")
        why = f"the HPA controller was unable to update the target scale: {error.message}"
        failed.set("AbleToScale", ("False", "FailedUpdateScale", why))
        kept = failed.status(current, autoscaler.desired_replicas, metrics, scaled=False)
        return [*failed.told, *status_update(HORIZONTAL_POD_AUTOSCALERS, autoscaler.obj, kept)]

    plan = Plan(actions, PERIOD / timedelta(seconds=1), on_failure)
    return Decision(plan, memory.changed(now, replicas - current), memory)


def _kept(plan: Plan, memory: Memory) -> Decision:
    return Decision(plan, memory, memory)


def _plan(draft: Draft, status: Object) -> Plan:
    told = status_update(HORIZONTAL_POD_AUTOSCALERS, draft.autoscaler.obj, status)
    return Plan([*draft.told, *told], PERIOD / timedelta(seconds=1))


def observer(latest: Callable[[], Usages]) -> Callable[[Cache, Key], State | None]:
    def observe(cache: Cache, key: Key) -> State | None:
        found = cache.get(HORIZONTAL_POD_AUTOSCALERS, key.namespace, key.name)
        if found is None:
            return None
        autoscaler = HorizontalPodAutoscaler(found)
        target, missing = target_of(cache, autoscaler)
        if target is None or not target.selector:
            return State(autoscaler, target, missing)
        pods = tuple(sorted(selected(cache, key.namespace, parse_labels(target.selector)), key=lambda pod: pod.name))
        known = latest().pods
        usages = {pod.name: known[key.namespace, pod.name] for pod in pods if (key.namespace, pod.name) in known}
        return State(autoscaler, target, "", pods, usages, rivals=tuple(rivals(cache, key.namespace, pods)))

    return observe


class _Remembered(Struct):
    """What the autoscaler of a uid has done, and when it decides again; a change of its spec does not hurry it."""

    uid: str
    due: datetime
    memory: Memory = Memory()


def horizontal_pod_autoscaler(latest: Callable[[], Usages]) -> Controller:
    """`latest` gives what pods were last seen to use."""
    remembered: dict[Key, _Remembered] = {}
    observed = observer(latest)

    def observe(cache: Cache, key: Key) -> State | None:
        state = observed(cache, key)
        if key in remembered and (state is None or state.autoscaler.uid != remembered[key].uid):
            del remembered[key]
        return state

    def plan(state: State, now: datetime) -> Plan:
        autoscaler = state.autoscaler
        mine = remembered.setdefault(key_of(autoscaler.obj), _Remembered(autoscaler.uid, now + FIRST))
        if now < mine.due:
            return Plan(requeue_after=(mine.due - now) / timedelta(seconds=1))
        decision = decide(state, mine.memory, now)
        mine.memory, mine.due = decision.memory, now + PERIOD

        def on_failure(action: Action, error: StatusError) -> Sequence[Action]:
            mine.memory = decision.unscaled
            return decision.plan.on_failure(action, error)

        return Plan(decision.plan.actions, decision.plan.requeue_after, on_failure)

    return Controller(
        "horizontal-pod-autoscaler",
        wakes={HORIZONTAL_POD_AUTOSCALERS: itself},
        observe=observe,
        plan=plan,
        identity="horizontal-pod-autoscaler",
    )
