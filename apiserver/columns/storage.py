"""Cells of volumes, claims and storage.k8s.io."""

from __future__ import annotations

from datetime import datetime

from apiserver.columns.cell import UNSET, Cell, at, count, joined
from machinery.api.resource import Object

_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _modes(*path: str) -> Cell:
    found = at(*path, default=())
    return lambda obj, now: joined((_MODES.get(mode, mode) for mode in found(obj, now)), empty="")


def _claim(volume: Object, now: datetime) -> str:
    claim = (volume.get("spec") or {}).get("claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


def _terminating(phase: Cell) -> Cell:
    return lambda obj, now: "Terminating" if obj["metadata"].get("deletionTimestamp") else phase(obj, now)


def _tokens(driver: Object, now: datetime) -> str:
    requests = (driver.get("spec") or {}).get("tokenRequests")
    return UNSET if not requests else joined(request.get("audience", "") for request in requests)


def _class_name(obj: Object, now: datetime) -> str:
    default = "storageclass.kubernetes.io/is-default-class"
    is_default = (obj["metadata"].get("annotations") or {}).get(default) == "true"
    return f"{obj['metadata']['name']} (default)" if is_default else str(obj["metadata"]["name"])


def _attached_volume(attachment: Object, now: datetime) -> str:
    source = (attachment.get("spec") or {}).get("source") or {}
    return str(source.get("persistentVolumeName") or "")


CELLS: dict[str, dict[str, Cell]] = {
    "persistentvolumes": {
        "Capacity": at("spec", "capacity", "storage"),
        "Access Modes": _modes("spec", "accessModes"),
        "Reclaim Policy": at("spec", "persistentVolumeReclaimPolicy"),
        "Status": _terminating(at("status", "phase")),
        "Claim": _claim,
        "StorageClass": at("spec", "storageClassName"),
        "VolumeAttributesClass": at("spec", "volumeAttributesClassName", default=UNSET),
        "Reason": at("status", "reason"),
        "VolumeMode": at("spec", "volumeMode", default=UNSET),
    },
    "persistentvolumeclaims": {
        "Status": _terminating(at("status", "phase")),
        "Volume": at("spec", "volumeName"),
        "Capacity": at("status", "capacity", "storage"),
        "Access Modes": _modes("status", "accessModes"),
        "StorageClass": at("spec", "storageClassName"),
        "VolumeAttributesClass": at("spec", "volumeAttributesClassName", default=UNSET),
        "VolumeMode": at("spec", "volumeMode", default=UNSET),
    },
    "storageclasses": {
        "Name": _class_name,
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
    "volumeattributesclasses": {"DriverName": at("driverName")},
}
