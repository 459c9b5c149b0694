"""Room made for a pod by evicting less important ones: on which node, and whom (DefaultPreemption). Pure."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence

from machinery.api.resource import Object
from machinery.api.selectors import stored_selector
from machinery.structs import Struct
from scheduler.diagnosis import NO_VICTIMS, after_preemption, preemption_message
from scheduler.filtering import Check, refuse_beside_nominated
from scheduler.framework import Candidate, Decision, Outcome, Plugin, Profile, Refusal
from scheduler.node_info import NodeInfo
from scheduler.pod_info import PodInfo
from scheduler.snapshot import Snapshot

_FEWEST, _PERCENT = 100, 10
_LATEST = "~"
"""After every time: a pod that has not started yet."""


def make_room(pod: PodInfo, snapshot: Snapshot, decision: Decision, profile: Profile) -> Generator[None, None, Outcome]:
    """The least harm that lets the pod fit somewhere, or the whole of what is told where nothing does."""
    if decision.pod_refused is not None and snapshot.nodes:
        # DynamicResources, which upstream asks first, finds nothing of its own: the pod was refused before its turn.
        return Outcome(f"{decision.message} not found", None)
    if why := ineligible(pod, snapshot, decision):
        return refrain(decision, why)
    found = {}
    for name, outcome in look(pod, snapshot, decision, profile):
        found[name] = outcome
        yield
    return conclude(snapshot, decision, found)


def ineligible(pod: PodInfo, snapshot: Snapshot, decision: Decision) -> str:
    """Why the pod must not evict others (now); "" where it may."""
    if not snapshot.nodes:
        return ""
    if pod.shape.example.obj["spec"].get("preemptionPolicy") == "Never":
        return "not eligible due to preemptionPolicy=Never."
    refusal = decision.refused.get(snapshot.nomination)
    info = snapshot.nodes.get(snapshot.nomination)
    if info is None or (refusal is not None and refusal.is_final):
        return ""
    if any(other.is_preempted and other.priority < pod.priority for other in info.pods.values()):
        return "not eligible due to a terminating pod on the nominated node."
    return ""


def look(
    pod: PodInfo, snapshot: Snapshot, decision: Decision, profile: Profile
) -> Iterator[tuple[str, Candidate | Refusal]]:
    """Node by node, as many as suffice, what evictions there would do. A step may take long where pods are many."""
    if decision.pod_refused is not None:
        return
    names = [name for name, refusal in decision.refused.items() if not refusal.is_final]
    enough = max(len(names) * _PERCENT // 100, _FEWEST)
    at = snapshot.turn % len(names) if names else 0
    check = Check.of(pod, snapshot, profile)
    found = 0
    for name in (*names[at:], *names[:at]):
        if found >= enough or isinstance(check, Refusal):
            return
        outcome = _victims(pod, snapshot.nodes[name], _Trial(check, snapshot, profile))
        found += isinstance(outcome, Candidate)
        yield name, outcome


def refrain(decision: Decision, why: str) -> Outcome:
    """The pod must not evict others: it goes on waiting as it did."""
    return Outcome(after_preemption(decision.message, why), None)


def conclude(snapshot: Snapshot, decision: Decision, found: Mapping[str, Candidate | Refusal]) -> Outcome:
    """The choice among what `look` found, and the whole of what is told."""
    candidates = [outcome for outcome in found.values() if isinstance(outcome, Candidate)]
    if candidates:
        chosen = choose(candidates)
        return Outcome(decision.message, chosen.node, chosen)
    if not snapshot.nodes:
        return Outcome(decision.message, "")
    refusals = {name: outcome for name, outcome in found.items() if isinstance(outcome, Refusal)}
    return Outcome(after_preemption(decision.message, preemption_message(len(snapshot.nodes), refusals)), "")


class _Trial(Struct, frozen=True):
    check: Check
    snapshot: Snapshot
    profile: Profile

    def refusal(self, info: NodeInfo) -> Refusal | None:
        """What stands against the pod if the node were so."""
        check, pod = self.check, self.check.pod
        if check.others:
            anew = Check.of(pod, self.snapshot.having(info), self.profile)
            if isinstance(anew, Refusal):
                return anew
            check = anew
        refusal = check.alone(info) or check.among(info)
        if refusal is None and info.node.name in self.snapshot.nominated:
            refusal = refuse_beside_nominated(pod, info, self.snapshot, self.profile)
        return refusal


def _victims(pod: PodInfo, info: NodeInfo, trial: _Trial) -> Candidate | Refusal:
    """Without all less important pods the pod fits; then those that leave it room may stay, the important ones first.

    Those that a budget protects are spared before others.
    """
    lower = sorted((other for other in info.pods.values() if other.priority < pod.priority), key=_importance)
    if not lower:
        return Refusal((NO_VICTIMS,), is_final=True)
    for other in lower:
        info = info.minus(other, info.generation)
    if refusal := trial.refusal(info):
        return refusal
    guarded, free = split_by_budgets(lower, trial.snapshot.budgets)
    victims: list[PodInfo] = []
    violations = 0
    for other in (*guarded, *free):
        beside = info.plus(other, info.generation)
        if trial.refusal(beside) is None:
            info = beside
        else:
            victims.append(other)
            violations += other in guarded
    return Candidate(info.node.name, tuple(sorted(victims, key=_importance)), violations)


def _importance(pod: PodInfo) -> tuple[int, str]:
    """Sorts the most important pod first; of equals the one that runs longest."""
    return -pod.priority, pod.started or _LATEST


def split_by_budgets(pods: Sequence[PodInfo], budgets: Sequence[Object]) -> tuple[list[PodInfo], list[PodInfo]]:
    """Those whose eviction, in this order, a PodDisruptionBudget would not allow, and the rest."""
    left = [int((budget.get("status") or {}).get("disruptionsAllowed") or 0) for budget in budgets]
    guarded: list[PodInfo] = []
    free: list[PodInfo] = []
    for pod in pods:
        is_guarded = False
        for at, budget in enumerate(budgets):
            if _covers(budget, pod):
                left[at] -= 1
                is_guarded = is_guarded or left[at] < 0
        (guarded if is_guarded else free).append(pod)
    return guarded, free


def _covers(budget: Object, pod: PodInfo) -> bool:
    if budget["metadata"].get("namespace", "") != pod.key.namespace or not pod.shape.labels:
        return False
    selector = stored_selector(budget["spec"].get("selector"))
    # One that the API server has counted already is not counted again.
    counted: Mapping[str, str] = (budget.get("status") or {}).get("disruptedPods") or {}
    return not selector.empty and selector.matches(pod.shape.labels) and pod.key.name not in counted


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """The least harm: few violated budgets, victims of low priority, low in sum, few, and started lately."""
    return min(candidates, key=_harm)


def _harm(candidate: Candidate) -> tuple[int, int, int, int, _Reversed]:
    priorities = [victim.priority for victim in candidate.victims]
    highest = max(priorities, default=-(1 << 31))
    # Priorities may be negative: lifted, so that more victims always weigh more.
    total = sum(priority + (1 << 31) for priority in priorities)
    earliest = min((v.started or _LATEST for v in candidate.victims if v.priority == highest), default=_LATEST)
    return candidate.violations, highest, total, len(priorities), _Reversed(earliest)


class _Reversed(Struct, frozen=True):
    text: str

    def __lt__(self, other: _Reversed) -> bool:
        return self.text > other.text


DEFAULT_PREEMPTION = Plugin("DefaultPreemption", post_filter=make_room)
