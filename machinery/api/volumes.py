"""PersistentVolumes and their claims as deciding code reads them, and which volume serves which claim. Pure.

The binder and the scheduler decide on this alike, else one would undo what the other has done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from machinery.api import quantity
from machinery.api.class_defaults import marked_default
from machinery.api.resource import Object
from machinery.api.selectors import stored_selector
from machinery.api.views import Pod, View, field

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
"""On a claim: it has been bound, so that a volume that is gone is a loss."""
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
"""On both: the user asked for no special one, so the binding may be undone."""
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_BETA_DEFAULT_CLASS = "storageclass.beta.kubernetes.io/is-default-class"


class PersistentVolumeClaim(View):
    volume_name = field("spec.volumeName", "")
    volume_mode = field("spec.volumeMode", "Filesystem")
    access_modes: field[list[str]] = field("spec.accessModes", [])
    attributes_class = field("spec.volumeAttributesClassName", "")
    selector: field[Object | None] = field("spec.selector", None)
    phase = field("status.phase", "Pending")

    @property
    def storage_class(self) -> str:
        """The name of its class; "" where it wants a volume without any, or has not got one yet."""
        return self.named_class or ""

    @property
    def named_class(self) -> str | None:
        """As `storage_class`, but None where none is named, so that a default one may be given to it."""
        name: str | None = self.annotations.get(BETA_CLASS)
        return name if name is not None else self.obj["spec"].get("storageClassName")

    @property
    def requested(self) -> int:
        """Bytes."""
        requests = (self.obj["spec"].get("resources") or {}).get("requests") or {}
        return quantity.integer(str(requests.get("storage", "0")))

    @property
    def is_bind_completed(self) -> bool:
        return BIND_COMPLETED in self.annotations


class PersistentVolume(View):
    storage_class = field("spec.storageClassName", "")
    volume_mode = field("spec.volumeMode", "Filesystem")
    access_modes: field[list[str]] = field("spec.accessModes", [])
    attributes_class = field("spec.volumeAttributesClassName", "")
    reclaim_policy = field("spec.persistentVolumeReclaimPolicy", "Retain")
    claim: field[Object | None] = field("spec.claimRef", None)
    capacity: field[dict[str, str]] = field("spec.capacity", {})
    phase = field("status.phase", "")

    @property
    def size(self) -> int:
        """Bytes."""
        return quantity.integer(str(self.capacity.get("storage", "0")))

    @property
    def node_terms(self) -> Sequence[Object] | None:
        """The NodeSelectorTerms of which a node must meet one, None where every node reaches it."""
        required = (self.obj["spec"].get("nodeAffinity") or {}).get("required")
        return None if required is None else required.get("nodeSelectorTerms") or []

    def is_kept_for(self, claim: PersistentVolumeClaim) -> bool:
        """Whether it is bound to the claim, or by its user's wish to be bound to one of that name."""
        kept = self.claim
        if not kept or (kept.get("namespace"), kept.get("name")) != (claim.namespace, claim.name):
            return False
        return kept.get("uid") in (None, "", claim.uid)


def misfit(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Why a claim can't have the volume that it names, in upstream's words; "" where it can."""
    if volume.size < claim.requested:
        return "requested PV is too small"
    if volume.storage_class != claim.storage_class:
        return "storageClassName does not match"
    if volume.attributes_class != claim.attributes_class:
        return "volumeAttributesClassName does not match"
    if volume.volume_mode != claim.volume_mode:
        return "incompatible volumeMode"
    if not set(claim.access_modes) <= set(volume.access_modes):
        return "incompatible accessMode"
    return ""


def serves(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether the volume is free, or kept for the claim, and is what the claim asks for."""
    if volume.deleted or volume.size < claim.requested or volume.volume_mode != claim.volume_mode:
        return False
    if volume.attributes_class != claim.attributes_class:
        return False
    if volume.is_kept_for(claim):
        return True
    if volume.claim is not None or volume.phase != "Available" or misfit(volume, claim):
        return False
    return claim.selector is None or stored_selector(claim.selector).matches(volume.labels)


def best(
    volumes: Iterable[PersistentVolume],
    claim: PersistentVolumeClaim,
    *,
    reaches: Callable[[PersistentVolume], bool] = lambda volume: True,
) -> PersistentVolume | None:
    """Of those that serve the claim: the one kept for it, else with the fewest modes too many, else the smallest."""
    fitting = [volume for volume in volumes if serves(volume, claim) and reaches(volume)]
    return min(fitting, key=lambda volume: _rank(volume, claim), default=None)


def _rank(volume: PersistentVolume, claim: PersistentVolumeClaim) -> tuple[bool, int, int, str]:
    return not volume.is_kept_for(claim), len(volume.access_modes), volume.size, volume.name


def bound_to(volume: PersistentVolume, claim: PersistentVolumeClaim) -> Object:
    """The volume with its claimRef set; the controller's mark says that nobody had asked for it."""
    changed = {**volume.obj, "spec": {**volume.obj["spec"], "claimRef": reference(claim)}}
    if volume.is_kept_for(claim):
        return changed
    return annotated(changed, {BOUND_BY_CONTROLLER: "yes"})


def is_bound_to(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return volume.is_kept_for(claim) and bool((volume.claim or {}).get("uid"))


def reference(claim: PersistentVolumeClaim) -> Object:
    """The ObjectReference by which a volume names its claim."""
    return {
        "kind": "PersistentVolumeClaim",
        "namespace": claim.namespace,
        "name": claim.name,
        "uid": claim.uid,
        "apiVersion": "v1",
        "resourceVersion": claim.resource_version,
    }


def annotated(obj: Object, annotations: Mapping[str, str | None]) -> Object:
    """The object with these annotations; None takes one away."""
    merged = {**(obj["metadata"].get("annotations") or {}), **annotations}
    metadata = {**obj["metadata"], "annotations": {key: value for key, value in merged.items() if value is not None}}
    return {**obj, "metadata": metadata}


def default_class(classes: Iterable[Object]) -> Object | None:
    """The StorageClass that a claim without one gets: of the defaults the newest, of those the first by name."""
    return marked_default(classes, DEFAULT_CLASS, _BETA_DEFAULT_CLASS)


def claim_names(pod: Pod) -> dict[str, bool]:
    """The names of the claims that the pod mounts, and whether each is made for it alone (an ephemeral volume)."""
    names = {}
    for volume in pod.volumes:
        if claim := volume.get("persistentVolumeClaim"):
            names[str(claim["claimName"])] = False
        elif volume.get("ephemeral"):
            names[ephemeral_claim(pod, volume)] = True
    return names


def ephemeral_claim(pod: Pod, volume: Object) -> str:
    """The name of the claim that is made for a generic ephemeral volume."""
    return f"{pod.name}-{volume['name']}"


def not_owned(claim: str, namespace: str, pod: str) -> str:
    """Why a pod can't have a claim of the name that its ephemeral volume's has, in upstream's words."""
    return f"PVC {namespace}/{claim} was not created for pod {namespace}/{pod} (pod is not owner)"
