"""The claims of a StatefulSet's pods, and who owns them: that decides which go with the set, and which with a pod.

`persistentVolumeClaimRetentionPolicy`: with whenDeleted Delete the set owns its pods' claims; with whenScaled Delete a
pod that is beyond the replicas owns its claims, so that they go once it is gone. The garbage collector does the rest.
"""

from __future__ import annotations

from controllers.plan import owner_reference
from controllers.statefulset_pods import claim_name, is_in_range
from machinery.api.resource import Object
from machinery.api.resources import PODS, STATEFUL_SETS
from machinery.api.views import Pod, StatefulSet, View

_DELETE = "Delete"


def new_claim(stateful_set: StatefulSet, template: Object, ordinal: int) -> Object:
    metadata = dict(template["metadata"])
    labels = {**(metadata.get("labels") or {}), **(stateful_set.selector.get("matchLabels") or {})}
    metadata |= {"name": claim_name(stateful_set, template, ordinal), "namespace": stateful_set.namespace}
    if labels:
        metadata["labels"] = labels
    if stateful_set.when_deleted == _DELETE:
        metadata["ownerReferences"] = [owner_reference(STATEFUL_SETS, stateful_set.obj)]
    return {**template, "metadata": metadata}


def is_stale(stateful_set: StatefulSet, claim: View, name: str) -> bool:
    """Whether it goes with an earlier pod of this name, so that a new one must wait until it is gone."""
    if stateful_set.when_scaled != _DELETE:
        return False
    return any(ref["kind"] == PODS.kind and ref["name"] == name for ref in claim.owner_references)


def kept_by(stateful_set: StatefulSet, pod: Pod, ordinal: int) -> Object | None:
    """The reference to who takes the pod's claims along when it goes; None where they stay."""
    if stateful_set.when_scaled == _DELETE and not is_in_range(stateful_set, ordinal):
        return owner_reference(PODS, pod.obj)
    return owner_reference(STATEFUL_SETS, stateful_set.obj) if stateful_set.when_deleted == _DELETE else None


def owned_anew(stateful_set: StatefulSet, pod: Pod, ordinal: int, claim: View) -> Object | None:
    """The claim with the owners that the policy asks for; None where it has them, or is another's business."""
    ours = [ref for ref in claim.owner_references if _concerns(ref, stateful_set, pod)]
    if any(ref["uid"] not in (stateful_set.uid, pod.uid) for ref in ours):
        # It belongs to an earlier set or pod of the same name and goes, or stays, with that.
        return None
    others = [ref for ref in claim.owner_references if ref not in ours]
    wanted = kept_by(stateful_set, pod, ordinal)
    if has_other_controller(stateful_set, pod, claim):
        wanted = None
    if ours == ([wanted] if wanted is not None else []):
        return None
    references = [*others, *([wanted] if wanted is not None else [])]
    metadata = {key: value for key, value in claim.obj["metadata"].items() if key != "ownerReferences"}
    if references:
        metadata["ownerReferences"] = references
    return {**claim.obj, "metadata": metadata}


def has_other_controller(stateful_set: StatefulSet, pod: Pod, claim: View) -> bool:
    """Whether somebody else takes the claim along, so that the policy, where it has a say, is ignored."""
    if _DELETE not in (stateful_set.when_deleted, stateful_set.when_scaled):
        return False
    controller = claim.controller
    return controller is not None and not _concerns(controller, stateful_set, pod)


def _concerns(ref: Object, stateful_set: StatefulSet, pod: Pod) -> bool:
    return (ref["kind"], ref["name"]) in ((STATEFUL_SETS.kind, stateful_set.name), (PODS.kind, pod.name))
