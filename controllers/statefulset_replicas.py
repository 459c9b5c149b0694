"""What each ordinal of a StatefulSet needs, one after the other: its claims, its pod, its name; or that it goes.

With ordered management (OrderedReady) whatever is not up holds up all that comes after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from controllers.plan import Action, Create, Delete, Record, Update, key_of
from controllers.statefulset_claims import has_other_controller, is_stale, new_claim, owned_anew
from controllers.statefulset_pods import claim_name, new_pod, pod_name, repaired
from controllers.statefulset_rollout import Replica, is_running, next_victim, next_victims, serves
from machinery.api.resource import Object
from machinery.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from machinery.api.views import Pod, StatefulSet, View
from machinery.structs import Struct


class Look(Struct, frozen=True):
    """A StatefulSet sorted out: `replicas` by their ordinals, `condemned` (ordinal, pod) beyond them, highest first.

    `current` and `update` name the revisions that pods have and get; `templates` are theirs.
    """

    stateful_set: StatefulSet
    replicas: tuple[Replica, ...]
    condemned: tuple[tuple[int, Pod], ...]
    claims: Mapping[str, Object]
    current: str
    update: str
    templates: Mapping[str, Object]
    is_available: Callable[[Pod], bool]

    @property
    def is_ordered(self) -> bool:
        return self.stateful_set.pod_management != "Parallel"

    def told(self, verb: str, pod: str) -> Record:
        said = f"{verb} Pod {pod} in StatefulSet {self.stateful_set.name} successful"
        return Record(self.stateful_set.obj, "Normal", f"Successful{verb}", said)

    def deletes(self, pods: Iterable[Pod]) -> list[Action]:
        return [Delete(PODS, key_of(pod.obj), uid=pod.uid, success=self.told("Delete", pod.name)) for pod in pods]

    def is_up(self, pod: Pod) -> bool:
        """Running, Ready and available."""
        return is_running(pod) and self.is_available(pod)


def tend(look: Look) -> tuple[list[Action], bool]:
    """What the replicas need now, and whether what comes after them may go on."""
    actions: list[Action] = []
    for replica in look.replicas:
        needed, is_up = _tend(look, replica)
        actions += needed
        if look.is_ordered and not is_up:
            return actions, False
    return actions, True


def _tend(look: Look, replica: Replica) -> tuple[list[Action], bool]:
    pod = replica.pod
    if pod is None:
        return _made(look, replica.ordinal), False
    if pod.is_finished:
        # Its successor has its name, so it is made once this one is gone.
        return look.deletes([] if pod.deleted else [pod]), False
    actions: list[Action] = []
    if pod.phase == "Pending":
        actions += _missing_claims(look, replica.ordinal)
    is_up = look.is_up(pod) and not pod.deleted
    if is_up or not look.is_ordered or pod.phase == "Pending":
        actions += _claims_kept(look, replica.ordinal, pod)
    if is_up or not look.is_ordered:
        actions += _repaired(look, replica.ordinal, pod)
    return actions, is_up


def _made(look: Look, ordinal: int) -> list[Action]:
    """The pod of an ordinal, after its claims; nothing while claims of its predecessor are going."""
    owner = look.stateful_set
    name = pod_name(owner, ordinal)
    there = [View(claim) for claim in _claims_of(look, ordinal)]
    if any(is_stale(owner, claim, name) for claim in there):
        return []
    if going := next((claim.name for claim in there if claim.deleted), None):
        said = f"Create Pod {name} in StatefulSet {owner.name} failed error: pvc {going} is being deleted"
        return [Record(owner.obj, "Warning", "FailedCreate", said)]
    revision = _revision_for(look, ordinal)
    pod = new_pod(owner, look.templates[revision], revision, ordinal)
    made = Create(PODS, pod, is_exclusive=True, success=look.told("Create", name))
    return [*_missing_claims(look, ordinal), made]


def _revision_for(look: Look, ordinal: int) -> str:
    """Below the partition a pod comes back as it was."""
    owner = look.stateful_set
    is_behind = owner.strategy == "RollingUpdate" and ordinal < owner.start + owner.partition
    return look.current if is_behind else look.update


def _claims_of(look: Look, ordinal: int) -> list[Object]:
    names = (claim_name(look.stateful_set, template, ordinal) for template in look.stateful_set.claim_templates)
    return [look.claims[name] for name in names if name in look.claims]


def _missing_claims(look: Look, ordinal: int) -> list[Action]:
    owner, actions = look.stateful_set, list[Action]()
    for template in owner.claim_templates:
        name = claim_name(owner, template, ordinal)
        if name not in look.claims:
            said = f"Create Claim {name} Pod {pod_name(owner, ordinal)} in StatefulSet {owner.name} success"
            told = Record(owner.obj, "Normal", "SuccessfulCreate", said)
            claim = new_claim(owner, template, ordinal)
            actions.append(Create(PERSISTENT_VOLUME_CLAIMS, claim, is_exclusive=True, success=told))
    return actions


def _claims_kept(look: Look, ordinal: int, pod: Pod) -> list[Action]:
    """Whose the pod's claims are, as the retention policy says."""
    owner, actions = look.stateful_set, list[Action]()
    for claim in map(View, _claims_of(look, ordinal)):
        changed = owned_anew(owner, pod, ordinal, claim)
        if changed is None:
            continue
        if has_other_controller(owner, pod, claim):
            said = (
                f"PersistentVolumeClaim {claim.name} has a conflicting OwnerReference that acts as a manging "
                "controller, the retention policy is ignored for this claim"
            )
            actions.append(Record(owner.obj, "Warning", "ConflictingController", said))
        actions.append(Update(PERSISTENT_VOLUME_CLAIMS, changed))
    return actions


def _repaired(look: Look, ordinal: int, pod: Pod) -> list[Action]:
    changed = repaired(look.stateful_set, pod, ordinal)
    if changed is None:
        return []
    return [*_missing_claims(look, ordinal), Update(PODS, changed), look.told("Update", pod.name)]


def retire(look: Look) -> tuple[list[Action], bool]:
    """Takes pods beyond the replicas away, the highest first; whether none is left that holds up others.

    In order each goes once all below it are up; the lowest that is not may go itself.
    """
    actions = [action for ordinal, pod in look.condemned for action in _claims_kept(look, ordinal, pod)]
    lowest_ill = next((pod for _, pod in reversed(look.condemned) if not serves(pod, look.is_available)), None)
    for _, pod in look.condemned:
        if look.is_ordered and (pod.deleted or not look.is_up(pod) and pod is not lowest_ill):
            return actions, False
        if not pod.deleted:
            actions += look.deletes([pod])
            if look.is_ordered:
                return actions, False
    return actions, True


def roll(look: Look, *, several_unavailable: bool) -> list[Pod]:
    """The pods that go next for a new template; with the strategy OnDelete the user takes them away."""
    owner = look.stateful_set
    if owner.strategy == "OnDelete":
        return []
    if several_unavailable:
        return next_victims(owner, look.replicas, look.update, look.is_available)
    return next_victim(owner, look.replicas, look.update, look.is_available)
