"""What the binder does about a volume: its phase, and what becomes of it when its claim is gone.

What is to be deleted is left to whoever made it: no controller touches a disk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from controllers.plan import Action, Plan, Record, Update, UpdateStatus, with_status
from machinery.api.resource import Object
from machinery.api.resources import PERSISTENT_VOLUMES
from machinery.api.volumes import (
    BOUND_BY_CONTROLLER,
    PROVISIONED_BY,
    PersistentVolume,
    PersistentVolumeClaim,
    annotated,
)
from machinery.structs import Struct

_UNKNOWN = "Volume has unrecognized PersistentVolumeReclaimPolicy"
_OF_THE_NODE = re.compile(r"/tmp/.+")
"""The hostPaths that upstream deletes with their volume, and no others."""


class State(Struct, frozen=True):
    """`claim` is the one of the name in the volume's claimRef."""

    volume: PersistentVolume
    claim: PersistentVolumeClaim | None = None


def plan(state: State, now: datetime) -> Plan:
    volume, claim = state.volume, state.claim
    kept = volume.claim
    if not kept or not kept.get("uid"):
        # Even one that is kept for a claim of some name: that claim's turn binds it.
        return Plan(_to(volume, "Available"))
    if claim is None or claim.uid != kept["uid"]:
        return Plan(_release(volume))
    if not claim.volume_name:
        return Plan(_never_bound(volume, claim))
    if claim.volume_name == volume.name:
        return Plan(_to(volume, "Bound"))
    if PROVISIONED_BY in volume.annotations and volume.reclaim_policy == "Delete":
        # It was made for the claim, which has got another.
        return Plan(_release(volume))
    return Plan([Update(PERSISTENT_VOLUMES, _unbound(volume))])


def in_phase(volume: PersistentVolume, phase: str, message: str = "") -> UpdateStatus:
    """The write of another phase; the API server notes the time."""
    told = {key: value for key, value in (volume.obj.get("status") or {}).items() if key != "message"}
    status = {**told, "phase": phase, **({"message": message} if message else {})}
    return UpdateStatus(PERSISTENT_VOLUMES, with_status(volume.obj, status))


def _to(volume: PersistentVolume, phase: str) -> Sequence[Action]:
    return () if volume.phase == phase else [in_phase(volume, phase)]


def _never_bound(volume: PersistentVolume, claim: PersistentVolumeClaim) -> Sequence[Action]:
    """The claim's own turn binds them, unless it can't."""
    if claim.volume_mode == volume.volume_mode:
        return ()
    why = "due to incompatible volumeMode."
    to_claim = f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{claim.name}" {why}'
    to_volume = f'Cannot bind PersistentVolume "{volume.name}" to requested PersistentVolumeClaim {why}'
    return [
        Record(volume.obj, "Warning", "VolumeMismatch", to_claim),
        Record(claim.obj, "Warning", "VolumeMismatch", to_volume),
    ]


def _release(volume: PersistentVolume) -> Sequence[Action]:
    if volume.phase == "Failed":
        return ()
    if volume.phase != "Released":
        return [in_phase(volume, "Released")]
    match volume.reclaim_policy:
        case "Retain":
            return ()
        case "Recycle":
            return _fail(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
        case "Delete":
            why = _undeletable(volume)
            return _fail(volume, "VolumeFailedDelete", why) if why else ()
        case _:
            return _fail(volume, "VolumeUnknownReclaimPolicy", _UNKNOWN)


def _undeletable(volume: PersistentVolume) -> str:
    """Why nobody will delete it; "" where somebody does."""
    spec = volume.obj["spec"]
    if PROVISIONED_BY in volume.annotations or "csi" in spec:
        return ""
    if "hostPath" in spec:
        path = spec["hostPath"]["path"]
        is_allowed = _OF_THE_NODE.fullmatch(path)
        return "" if is_allowed else f"host_path deleter only supports /tmp/.+ but received provided {path}"
    return f'error getting deleter volume plugin for volume "{volume.name}": no deletable volume plugin matched'


def _fail(volume: PersistentVolume, reason: str, message: str) -> Sequence[Action]:
    return [in_phase(volume, "Failed", message), Record(volume.obj, "Warning", reason, message)]


def _unbound(volume: PersistentVolume) -> Object:
    """The volume free again, or kept for the claim of that name as its user wished."""
    spec = dict(volume.obj["spec"])
    kept = spec.pop("claimRef")
    if BOUND_BY_CONTROLLER in volume.annotations:
        return {**annotated(volume.obj, {BOUND_BY_CONTROLLER: None}), "spec": spec}
    freed = {key: value for key, value in kept.items() if key not in ("uid", "resourceVersion")}
    return {**volume.obj, "spec": {**spec, "claimRef": freed}}
