"""Small admission functions of nodes and volumes: what must not be used yet, and what must not vanish while used."""

from __future__ import annotations

from apiserver.admission.chain import Admit, Review
from machinery.api.errors import forbidden
from machinery.api.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from machinery.api.volumes import PersistentVolumeClaim, default_class
from machinery.client.cache import Cache

_NOT_READY = "node.kubernetes.io/not-ready"
_PROTECTION = {
    PERSISTENT_VOLUME_CLAIMS: "kubernetes.io/pvc-protection",
    PERSISTENT_VOLUMES: "kubernetes.io/pv-protection",
}


async def taint_new_nodes(review: Review) -> None:
    """TaintNodesByCondition: nothing is scheduled to a node that has not yet said that it is ready."""
    if review.operation != "CREATE" or review.resource != NODES or review.obj is None:
        return
    spec = review.obj.setdefault("spec", {})
    taints = spec.get("taints") or []
    if all(taint.get("key") != _NOT_READY for taint in taints):
        spec["taints"] = [*taints, {"key": _NOT_READY, "effect": "NoSchedule"}]


async def protect_volumes(review: Review) -> None:
    """StorageObjectInUseProtection: a finalizer holds claims and volumes as long as they are used."""
    finalizer = _PROTECTION.get(review.resource)
    if review.operation != "CREATE" or finalizer is None or review.obj is None:
        return
    metadata = review.obj["metadata"]
    there = metadata.get("finalizers") or []
    if finalizer not in there:
        metadata["finalizers"] = [*there, finalizer]


def default_storage_class(cache: Cache) -> Admit:
    """DefaultStorageClass: a claim that names no class gets the newest default one."""

    async def admit(review: Review) -> None:
        claim = review.obj
        if review.operation != "CREATE" or review.resource != PERSISTENT_VOLUME_CLAIMS or claim is None:
            return
        if PersistentVolumeClaim(claim).named_class is not None:
            return
        default = default_class(cache.list(STORAGE_CLASSES))
        if default is not None:
            claim["spec"]["storageClassName"] = default["metadata"]["name"]

    return admit


def claim_resize(cache: Cache) -> Admit:
    """PersistentVolumeClaimResize: a claim grows only where its class says that its volumes can."""

    async def admit(review: Review) -> None:
        is_change = review.operation == "UPDATE" and not review.subresource
        if not is_change or review.resource != PERSISTENT_VOLUME_CLAIMS or not review.obj or not review.old:
            return
        new, old = PersistentVolumeClaim(review.obj), PersistentVolumeClaim(review.old)
        if new.requested == old.requested:
            return
        plural = review.resource.plural
        if old.phase != "Bound":
            raise forbidden(plural, review.name, "Only bound persistent volume claims can be expanded")
        storage_class = cache.get(STORAGE_CLASSES, "", new.storage_class) if new.storage_class else None
        if not (storage_class or {}).get("allowVolumeExpansion"):
            why = (
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
                "support resize"
            )
            raise forbidden(plural, review.name, why)

    return admit
