"""Claims of a pod (VolumeBinding): it waits until all of them are there and bound."""

from __future__ import annotations

from machinery.api.resource import Object
from machinery.api.views import Pod
from scheduler.snapshot import NodeInfo, Snapshot

UNBOUND = "node(s) didn't find available persistent volumes to bind"


def claim_names(pod: Pod) -> dict[str, bool]:
    """The names of the claims that the pod mounts, and whether each is made for it alone (an ephemeral volume)."""
    names = {}
    for volume in pod.volumes:
        if claim := volume.get("persistentVolumeClaim"):
            names[str(claim["claimName"])] = False
        elif volume.get("ephemeral"):
            names[f"{pod.name}-{volume['name']}"] = True
    return names


def refuse_claims(pod: Pod, snapshot: Snapshot) -> str:
    """Why no node whatever could take the pod; "" where its claims are no hindrance."""
    for name, is_ephemeral in claim_names(pod).items():
        claim = snapshot.claims.get(name)
        if claim is None and is_ephemeral:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if reason := _refuse(name, claim.obj):
            return reason
        if not claim.is_bound and not claim.waits_for_consumer:
            return "pod has unbound immediate PersistentVolumeClaims"
    return ""


def _refuse(name: str, claim: Object) -> str:
    if claim.get("status", {}).get("phase") == "Lost":
        volume = claim["spec"].get("volumeName", "")
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
    if claim["metadata"].get("deletionTimestamp"):
        return f'persistentvolumeclaim "{name}" is being deleted'
    return ""


def filter_claims(pod: Pod, info: NodeInfo, snapshot: Snapshot) -> list[str]:
    """A claim that waits for its first consumer needs a volume that the node can reach."""
    claims = (snapshot.claims.get(name) for name in claim_names(pod))
    return [UNBOUND] if any(claim is not None and not claim.is_bound for claim in claims) else []
