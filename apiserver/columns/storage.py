"""Cells of volumes, claims and storage.k8s.io."""

from __future__ import annotations

from datetime import datetime

from apiserver.columns.cell import UNSET, Cell, at, count, joined
from machinery.api.resource import Object
from machinery.api.volumes import BETA_CLASS

# In the order in which they are told.
_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _modes(*path: str) -> Cell:
    found = at(*path, default=())
    return lambda obj, now: joined((said for mode, said in _MODES.items() if mode in found(obj, now)), empty="")


def _claim(volume: Object, now: datetime) -> str:
    claim = (volume.get("spec") or {}).get("claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


def _terminating(phase: Cell) -> Cell:
    return lambda obj, now: "Terminating" if obj["metadata"].get("deletionTimestamp") else phase(obj, now)


def _tokens(driver: Object, now: datetime) -> str:
    requests = (driver.get("spec") or {}).get("tokenRequests")
    return UNSET if not requests else joined(request.get("audience", "") for request in requests)


def _if_bound(cell: Cell) -> Cell:
    """What a claim has of its volume, empty while it names none."""
    return lambda obj, now: cell(obj, now) if (obj.get("spec") or {}).get("volumeName") else ""


def _storage_class(obj: Object, now: datetime) -> str:
    """The class of a volume or claim, which an annotation told before there was the field."""
    annotations = obj["metadata"].get("annotations") or {}
    in_field = (obj.get("spec") or {}).get("storageClassName") or ""
    return str(annotations.get(BETA_CLASS, in_field))


def _class_name(*defaults: str) -> Cell:
    """The name, and whether one of the annotations makes it the default class."""

    def cell(obj: Object, now: datetime) -> str:
        annotations = obj["metadata"].get("annotations") or {}
        is_default = any(annotations.get(key) == "true" for key in defaults)
        return f"{obj['metadata']['name']} (default)" if is_default else str(obj["metadata"]["name"])

    return cell


def _attached_volume(attachment: Object, now: datetime) -> str:
    source = (attachment.get("spec") or {}).get("source") or {}
    return str(source.get("persistentVolumeName") or "")


CELLS: dict[str, dict[str, Cell]] = {
    "persistentvolumes": {
        "Capacity": at("spec", "capacity", "storage", default="0"),
        "Access Modes": _modes("spec", "accessModes"),
        "Reclaim Policy": at("spec", "persistentVolumeReclaimPolicy"),
        "Status": _terminating(at("status", "phase")),
        "Claim": _claim,
        "StorageClass": _storage_class,
        "VolumeAttributesClass": at("spec", "volumeAttributesClassName", default=UNSET),
        "Reason": at("status", "reason"),
        "VolumeMode": at("spec", "volumeMode", default=UNSET),
    },
    "persistentvolumeclaims": {
        "Status": _terminating(at("status", "phase")),
        "Volume": at("spec", "volumeName"),
        "Capacity": _if_bound(at("status", "capacity", "storage", default="0")),
        "Access Modes": _if_bound(_modes("status", "accessModes")),
        "StorageClass": _storage_class,
        "VolumeAttributesClass": at("spec", "volumeAttributesClassName", default=UNSET),
        "VolumeMode": at("spec", "volumeMode", default=UNSET),
    },
    "storageclasses": {
        "Name": _class_name(
            "storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"
        ),
        "Provisioner": at("provisioner"),
        "ReclaimPolicy": at("reclaimPolicy", default="Delete"),
        "VolumeBindingMode": at("volumeBindingMode", default="Immediate"),
        "AllowVolumeExpansion": at("allowVolumeExpansion", default=False),
    },
    "csidrivers": {
        "AttachRequired": at("spec", "attachRequired", default=True),
        "PodInfoOnMount": at("spec", "podInfoOnMount", default=False),
        "StorageCapacity": at("spec", "storageCapacity", default=False),
        "TokenRequests": _tokens,
        "RequiresRepublish": at("spec", "requiresRepublish", default=False),
        "Modes": lambda obj, now: joined((obj.get("spec") or {}).get("volumeLifecycleModes") or []),
    },
    "csinodes": {"Drivers": count("spec", "drivers")},
    "volumeattachments": {
        "Attacher": at("spec", "attacher"),
        "PV": _attached_volume,
        "Node": at("spec", "nodeName"),
        "Attached": at("status", "attached", default=False),
    },
    "volumeattributesclasses": {
        "Name": _class_name("volumeattributesclass.alpha.kubernetes.io/is-default-class"),
        "DriverName": at("driverName"),
    },
}
