"""PersistentVolumes: reclaim policy, mode and phase."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values, keep_status
from apiserver.rules.storage.persistent_volume_rules import volume_errors, volume_update_errors, volume_warnings
from machinery.api.resource import Object

_SINCE = "lastPhaseTransitionTime"


def default(volume: Object) -> None:
    spec = volume.setdefault("spec", {})
    default_values(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    if spec.get("hostPath") is not None:
        spec["hostPath"].setdefault("type", "")
    volume.setdefault("status", {}).setdefault("phase", "Pending")


def prepare_create(volume: Object) -> None:
    # The strategy has the clock.
    volume["status"] = {"phase": "Pending", _SINCE: None}


def prepare_status(new: Object, old: Object) -> None:
    """The time of a new phase is set, but where who wrote the phase has set it."""
    status, before = new["status"], old.get("status") or {}
    since = before.get(_SINCE)
    if status.get("phase") != before.get("phase"):
        if status.get(_SINCE) in (None, since):
            new["status"] = {**status, _SINCE: None}
    elif _SINCE not in status and since is not None:
        new["status"] = {**status, _SINCE: since}


RULES = Rules(
    default=default,
    prepare_create=prepare_create,
    prepare_update=keep_status,
    prepare_status=prepare_status,
    validate=volume_errors,
    validate_update=volume_update_errors,
    warnings=volume_warnings,
    update_warnings=lambda new, old: volume_warnings(new),
)
