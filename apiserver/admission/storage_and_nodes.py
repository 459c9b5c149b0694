"""Small admission functions of nodes and volumes: what must not be used yet, and what must not vanish while used."""

from __future__ import annotations

from apiserver.admission.chain import Admit, Review
from machinery.api.resource import Object
from machinery.api.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from machinery.client.cache import Cache

_NOT_READY = "node.kubernetes.io/not-ready"
_PROTECTION = {
    PERSISTENT_VOLUME_CLAIMS: "kubernetes.io/pvc-protection",
    PERSISTENT_VOLUMES: "kubernetes.io/pv-protection",
}
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


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
        if claim.get("spec", {}).get("storageClassName") is not None:
            return
        defaults = [each for each in cache.list(STORAGE_CLASSES) if _is_default(each)]
        if defaults:
            newest = max(defaults, key=lambda each: str(each["metadata"]["creationTimestamp"]))
            claim["spec"]["storageClassName"] = newest["metadata"]["name"]

    return admit


def _is_default(storage_class: Object) -> bool:
    return (storage_class["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
