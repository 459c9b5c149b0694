"""What a delete does to an object: remove it now, or mark it and wait for its grace or its finalizers. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from apiserver.registry.call import DeleteOptions
from machinery.api.errors import Conflict
from machinery.api.resource import Object, Resource
from machinery.api.resources import EVENTS, JOBS, NAMESPACES, PODS, REPLICATION_CONTROLLERS
from machinery.api.timestamps import parse_time, rfc3339
from machinery.structs import Struct

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_DEFAULT_GRACE = 30
_ORPHANING_BY_DEFAULT = (JOBS, REPLICATION_CONTROLLERS)
JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them "
    "or set propagationPolicy=Orphan to suppress this warning"
)

# A delete of these answers with the object as it was, that of all others with a Status.
_ANSWERED_BY_OBJECT = {
    "pods", "podtemplates", "persistentvolumes", "persistentvolumeclaims", "resourcequotas", "serviceaccounts",
    "services", "storageclasses", "csinodes", "csidrivers", "csistoragecapacities", "volumeattachments",
    "volumeattributesclasses", "resourceclaims", "resourceclaimtemplates", "resourceslices", "deviceclasses",
}  # fmt: skip


class Deletion(Struct, frozen=True):
    """`marked` is the object to write first, or to answer; `is_removed` says that it goes from the store now.

    `is_marked_first`: whoever watches is to see the mark before it goes, as upstream has it of pods without any grace.
    """

    marked: Object
    is_removed: bool
    is_marked_first: bool = False


def is_answered_by_object(resource: Resource) -> bool:
    return resource.plural in _ANSWERED_BY_OBJECT


def check_preconditions(obj: Object, options: DeleteOptions, resource: Resource) -> None:
    """Raises Conflict where the caller meant another object or another state of it."""
    metadata = obj["metadata"]
    why = ""
    if options.uid and options.uid != metadata.get("uid"):
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({metadata.get('uid')}). "
            "The object might have been deleted and then recreated"
        )
    elif options.resource_version and options.resource_version != metadata.get("resourceVersion"):
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
            f"ResourceVersion in record ({metadata.get('resourceVersion')}). The object might have been modified"
        )
    if why:
        kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
        message = f'Operation cannot be fulfilled on {kind} "{metadata["name"]}": {why}'
        raise Conflict(message, kind=resource.kind, group=resource.group, name=metadata["name"])


def plan(obj: Object, options: DeleteOptions, resource: Resource, now: datetime) -> Deletion | None:
    """What the delete does; None where nothing changes any more."""
    finalizers = _finalizers(obj, options, resource)
    if resource == NAMESPACES:
        return _plan_namespace(obj, finalizers, now)
    grace = _grace(obj, options, resource)
    metadata = obj["metadata"]
    if metadata.get("deletionTimestamp"):
        return _plan_again(obj, finalizers, grace, is_asked=options.grace_period_seconds is not None, now=now)
    if resource != PODS and not finalizers:
        return Deletion(obj, is_removed=True)
    is_removed = grace == 0 and not finalizers
    return Deletion(_marked(obj, finalizers, grace, now), is_removed, is_marked_first=is_removed)


def _plan_namespace(obj: Object, finalizers: list[str], now: datetime) -> Deletion | None:
    spec_finalizers = (obj.get("spec") or {}).get("finalizers") or []
    is_removed = not finalizers and not spec_finalizers
    if obj["metadata"].get("deletionTimestamp"):
        return Deletion(obj, is_removed=True) if is_removed else None
    metadata = {**obj["metadata"], "deletionTimestamp": rfc3339(now)}
    _set_finalizers(metadata, finalizers)
    status = {**(obj.get("status") or {}), "phase": "Terminating"}
    return Deletion({**obj, "metadata": metadata, "status": status}, is_removed=is_removed)


def _plan_again(obj: Object, finalizers: list[str], grace: int, *, is_asked: bool, now: datetime) -> Deletion | None:
    """An object that is being deleted already: its grace may only become shorter."""
    metadata = obj["metadata"]
    left: int = metadata.get("deletionGracePeriodSeconds") or 0
    if left == 0:
        if not finalizers:
            return Deletion(obj, is_removed=True)
        if finalizers == (metadata.get("finalizers") or []):
            return None
        return Deletion({**obj, "metadata": {**metadata, "finalizers": finalizers}}, is_removed=False)
    if not is_asked or grace >= left:
        return None
    began = parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=left)
    ends = began + timedelta(seconds=grace)
    if ends < now:
        # It can't have ended already: whoever wanted it gently gets the shortest grace there is.
        ends, grace = now, min(grace, 1)
    shorter = {**metadata, "deletionTimestamp": rfc3339(ends), "deletionGracePeriodSeconds": grace}
    _set_finalizers(shorter, finalizers)
    is_removed = grace == 0 and not finalizers
    return Deletion({**obj, "metadata": shorter}, is_removed, is_marked_first=is_removed)


def _marked(obj: Object, finalizers: list[str], grace: int, now: datetime) -> Object:
    metadata = {
        **obj["metadata"],
        "deletionTimestamp": rfc3339(now + timedelta(seconds=grace)),
        "deletionGracePeriodSeconds": grace,
    }
    if metadata.get("generation"):
        metadata["generation"] += 1
    _set_finalizers(metadata, finalizers)
    return {**obj, "metadata": metadata}


def _set_finalizers(metadata: Object, finalizers: list[str]) -> None:
    metadata.pop("finalizers", None)
    if finalizers:
        metadata["finalizers"] = finalizers


def _grace(obj: Object, options: DeleteOptions, resource: Resource) -> int:
    """Seconds between the mark and the end; only pods have any."""
    if resource != PODS:
        return 0
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    asked = options.grace_period_seconds
    if asked is None:
        asked = spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE)
    if not spec.get("nodeName") or status.get("phase") in ("Failed", "Succeeded"):
        return 0
    # Upstream counts any negative grace as the shortest there is.
    return int(asked) if asked >= 0 else 1


def _finalizers(obj: Object, options: DeleteOptions, resource: Resource) -> list[str]:
    """The object's finalizers with those that the propagation policy adds or takes away."""
    there: list[str] = list(obj["metadata"].get("finalizers") or [])
    if resource == EVENTS:
        # Nobody looks for what Events own.
        return [each for each in there if each not in (ORPHAN, FOREGROUND)]
    policy = options.propagation_policy
    if options.orphan_dependents is not None:
        policy = "Orphan" if options.orphan_dependents else "Background"
    if not policy:
        if FOREGROUND in there or ORPHAN in there:
            return there
        policy = "Orphan" if resource in _ORPHANING_BY_DEFAULT else "Background"
    wanted = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(policy)
    kept = [each for each in there if each not in (ORPHAN, FOREGROUND) or each == wanted]
    return kept if wanted is None or wanted in kept else [*kept, wanted]


def ends_with_update(new: Object, old: Object, resource: Resource) -> bool:
    """Whether an update took the last thing away that a deleted object waited for."""
    if not old["metadata"].get("deletionTimestamp") or new["metadata"].get("finalizers"):
        return False
    if resource == NAMESPACES and (new.get("spec") or {}).get("finalizers"):
        return False
    return not old["metadata"].get("deletionGracePeriodSeconds")
