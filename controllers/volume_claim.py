"""What the binder does about a claim: gives it a volume, asks for one to be made, or says what it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from controllers.plan import Action, Plan, Record, Update, UpdateStatus, status_update, with_status
from controllers.volume_phase import in_phase
from machinery.api.resource import Object
from machinery.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from machinery.api.volumes import (
    BETA_STORAGE_PROVISIONER,
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    PersistentVolume,
    PersistentVolumeClaim,
    annotated,
    best,
    bound_to,
    is_bound_to,
    misfit,
)
from machinery.structs import Struct

_TOLD_EVERY = 15.0
"""Seconds: upstream looks at all claims anew so often, and tells again what one waits for."""
_NO_CLASS = "no persistent volumes available for this claim and no storage class is set"
_EXTERNAL = (
    "Waiting for a volume to be created either by the external provisioner '{0}' or manually by the system "
    "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
    "registered."
)
_NO_REFERENCE = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
_NO_VOLUME = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
_MISBOUND = "Two claims are bound to the same volume, this one is bound incorrectly"


class State(Struct, frozen=True):
    """`named` is the volume of `spec.volumeName`; `volumes` are those that an unbound claim may choose from."""

    claim: PersistentVolumeClaim
    named: PersistentVolume | None = None
    volumes: Sequence[PersistentVolume] = ()
    storage_class: Object | None = None
    default_class: str = ""
    unscheduled: Sequence[str] = ()
    """Pods that use the claim and have no node yet."""

    @property
    def waits_for_consumer(self) -> bool:
        return (self.storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"


def plan(state: State, now: datetime) -> Plan:
    if state.claim.is_bind_completed:
        return Plan(_bound(state))
    actions = _asking(state) if state.claim.volume_name else _unbound(state)
    still_waits = any(isinstance(action, Record) for action in actions)
    return Plan(actions, requeue_after=_TOLD_EVERY if still_waits else None)


def _unbound(state: State) -> Sequence[Action]:
    claim = state.claim
    # Where the pod goes decides, so the scheduler chooses, but for what is kept for this claim already.
    volumes = [v for v in state.volumes if v.is_kept_for(claim)] if state.waits_for_consumer else state.volumes
    found = best(volumes, claim)
    if found is not None:
        return bind(found, claim)
    if claim.named_class is None and state.default_class:
        spec = {**claim.obj["spec"], "storageClassName": state.default_class}
        return [Update(PERSISTENT_VOLUME_CLAIMS, {**claim.obj, "spec": spec})]
    if state.waits_for_consumer and SELECTED_NODE not in claim.annotations:
        return [_waiting(state), *_pending(claim)]
    if claim.storage_class:
        return _provisioning(state)
    return [Record(claim.obj, "Normal", "FailedBinding", _NO_CLASS), *_pending(claim)]


def _waiting(state: State) -> Record:
    names = state.unscheduled
    if not names:
        text = "waiting for first consumer to be created before binding"
        return Record(state.claim.obj, "Normal", "WaitForFirstConsumer", text)
    pods = f"pods {','.join(names)}" if len(names) > 1 else f"pod {names[0]}"
    return Record(state.claim.obj, "Normal", "WaitForPodScheduled", f"waiting for {pods} to be scheduled")


def _provisioning(state: State) -> Sequence[Action]:
    """Provisioners are others, who know by an annotation that the claim is theirs."""
    claim, storage_class = state.claim, state.storage_class
    if storage_class is None:
        said = f'storageclass.storage.k8s.io "{claim.storage_class}" not found'
        return [Record(claim.obj, "Warning", "ProvisioningFailed", said)]
    provisioner = storage_class["provisioner"]
    if provisioner.startswith("kubernetes.io/"):
        said = f"no volume plugin matched name: {provisioner}"
        return [Record(claim.obj, "Warning", "ProvisioningFailed", said)]
    wanted = {BETA_STORAGE_PROVISIONER: provisioner, STORAGE_PROVISIONER: provisioner}
    if not wanted.items() <= claim.annotations.items():
        return [Update(PERSISTENT_VOLUME_CLAIMS, annotated(claim.obj, wanted))]
    return [Record(claim.obj, "Normal", "ExternalProvisioning", _EXTERNAL.format(provisioner))]


def _asking(state: State) -> Sequence[Action]:
    """The claim wants one special volume, or its binding has been interrupted."""
    claim, volume = state.claim, state.named
    if volume is None:
        return _pending(claim)
    if volume.is_kept_for(claim):
        return bind(volume, claim)
    if volume.claim is not None:
        said = f'volume "{volume.name}" already bound to a different claim.'
        return [Record(claim.obj, "Warning", "FailedBinding", said), *_pending(claim)]
    if why := misfit(volume, claim):
        said = f'Cannot bind to requested volume "{volume.name}": {why}'
        return [Record(claim.obj, "Warning", "VolumeMismatch", said), *_pending(claim)]
    return bind(volume, claim)


def _bound(state: State) -> Sequence[Action]:
    claim, volume = state.claim, state.named
    if not claim.volume_name:
        return _lost(claim, "ClaimLost", _NO_REFERENCE)
    if volume is None:
        return _lost(claim, "ClaimLost", _NO_VOLUME)
    if volume.claim is None or volume.claim.get("uid") == claim.uid:
        return bind(volume, claim)
    return _lost(claim, "ClaimMisbound", _MISBOUND)


def _lost(claim: PersistentVolumeClaim, reason: str, message: str) -> Sequence[Action]:
    if claim.phase == "Lost":
        return ()
    update = UpdateStatus(PERSISTENT_VOLUME_CLAIMS, with_status(claim.obj, {"phase": "Lost"}))
    return [update, Record(claim.obj, "Warning", reason, message)]


def _pending(claim: PersistentVolumeClaim) -> Sequence[Action]:
    status = claim.obj.get("status") or {}
    if claim.phase == "Pending" and not status.get("accessModes") and not status.get("capacity"):
        return ()
    return [UpdateStatus(PERSISTENT_VOLUME_CLAIMS, with_status(claim.obj, {"phase": "Pending"}))]


def bind(volume: PersistentVolume, claim: PersistentVolumeClaim) -> Sequence[Action]:
    """The next step of a binding: the volume says whose it is, and is held by that, before the claim says so.

    Each step is seen before the next is decided, so the two agree whatever a crash leaves undone.
    """
    if not is_bound_to(volume, claim):
        return [Update(PERSISTENT_VOLUMES, bound_to(volume, claim))]
    if volume.phase != "Bound":
        return [in_phase(volume, "Bound")]
    if claim.volume_name != volume.name or not claim.is_bind_completed:
        return [Update(PERSISTENT_VOLUME_CLAIMS, _with_volume(claim, volume))]
    status = _bound_status(claim, volume)
    return status_update(PERSISTENT_VOLUME_CLAIMS, claim.obj, status)


def _with_volume(claim: PersistentVolumeClaim, volume: PersistentVolume) -> Object:
    said = {BIND_COMPLETED: "yes"}
    if claim.volume_name != volume.name:
        said[BOUND_BY_CONTROLLER] = "yes"
    changed = annotated(claim.obj, said)
    return {**changed, "spec": {**changed["spec"], "volumeName": volume.name}}


def _bound_status(claim: PersistentVolumeClaim, volume: PersistentVolume) -> Object:
    """The capacity is the volume's as it was bound: what grows later is told by who lets it grow."""
    status = {**(claim.obj.get("status") or {}), "phase": "Bound", "accessModes": volume.access_modes}
    if claim.phase != "Bound":
        status["capacity"] = volume.capacity
    if volume.attributes_class:
        status["currentVolumeAttributesClassName"] = volume.attributes_class
    return status
