"""Volumes that pods have by a claim: which directory of the host it is, or what is still in the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kubelet import podspec
from kubelet.ownership import give_to_group
from kubelet.volumecontent import MountFailed, Sources, VolumeFailure
from machinery.api.node_affinity import matches_any
from machinery.api.resource import Object
from machinery.api.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from machinery.api.views import Node, Pod
from machinery.api.volumes import PersistentVolume, PersistentVolumeClaim, ephemeral_claim, not_owned

_PLUGIN = "kubernetes.io~local-volume"


def is_claimed(volume: Object) -> bool:
    return "persistentVolumeClaim" in volume or "ephemeral" in volume


def claimed(pod: Object, volume: Object, pod_dir: Path, sources: Sources, host_path: Callable[[Object], Path]) -> Path:
    """The host's directory or file; raises MountFailed as long as it can't be had. Blocks.

    `host_path` looks at (and makes, where its type says so) a hostPath.
    """
    bound = _volume_of(pod, volume, sources)
    used_as = {"volumeMounts": "Filesystem", "volumeDevices": "Block"}
    for field, mode in used_as.items():
        if bound.volume_mode != mode and volume["name"] in podspec.mounted(pod, field):
            said = f"volume {volume['name']} has volumeMode {bound.volume_mode}, but is specified in {field}"
            raise _unattached(volume, said)
    terms = bound.node_terms
    if terms is not None:
        name = pod["spec"].get("nodeName", "")
        node = Node(sources.cache.get(NODES, "", name) or {"metadata": {"name": name}})
        if not matches_any(terms, node.labels, node.name):
            raise MountFailed(
                f'MountVolume.NodeAffinity check failed for volume "{bound.name}" : no matching NodeSelectorTerms'
            )
    spec = bound.obj["spec"]
    if bound.volume_mode == "Block":
        raise MountFailed.of(bound.name, "volumes of mode Block are not supported")
    try:
        if "hostPath" in spec:
            return host_path(spec["hostPath"])
    except (VolumeFailure, OSError) as error:
        raise MountFailed.of(bound.name, str(error)) from error
    if "local" not in spec:
        raise MountFailed.of(bound.name, "no volume plugin matched")
    return _local(pod, bound, pod_dir, is_read_only=_is_read_only(volume))


def _local(pod: Object, bound: PersistentVolume, pod_dir: Path, *, is_read_only: bool) -> Path:
    path = Path(bound.obj["spec"]["local"]["path"])
    if not path.exists():
        said = f'MountVolume.NewMounter initialization failed for volume "{bound.name}" : path "{path}" does not exist'
        raise MountFailed(said)
    security = pod["spec"].get("securityContext") or {}
    mark = pod_dir / "volumes" / _PLUGIN / bound.name
    if mark.exists():
        return path
    if security.get("fsGroup") is not None and not is_read_only:
        only_if_needed = security.get("fsGroupChangePolicy") == "OnRootMismatch"
        try:
            give_to_group(path, security["fsGroup"], only_if_needed=only_if_needed)
        except OSError as error:
            why = f"applyFSGroup failed for vol {bound.name}: {error}"
            raise MountFailed.of(bound.name, why) from error
    # Once a pod: what its containers make afterwards is theirs to own.
    mark.mkdir(parents=True, exist_ok=True)
    return path


def _volume_of(pod: Object, volume: Object, sources: Sources) -> PersistentVolume:
    """The volume that the claim is bound to; raises MountFailed in the words of upstream's volume manager."""
    namespace = podspec.namespace(pod)
    name = claim_of(pod, volume)
    found = sources.cache.get(PERSISTENT_VOLUME_CLAIMS, namespace, name)
    if found is None:
        why = f'failed to fetch PVC from API server: persistentvolumeclaims "{name}" not found'
        raise _unprocessed(volume, namespace, name, why)
    claim = PersistentVolumeClaim(found)
    if "ephemeral" in volume and (claim.controller or {}).get("uid") != podspec.uid(pod):
        raise _unprocessed(volume, namespace, name, not_owned(name, namespace, podspec.name(pod)))
    if claim.deleted and (pod.get("status") or {}).get("phase", "Pending") == "Pending":
        raise _unprocessed(volume, namespace, name, "PVC is being deleted")
    if claim.phase != "Bound" or not claim.volume_name:
        raise _unprocessed(volume, namespace, name, "PVC is not bound")
    bound = sources.cache.get(PERSISTENT_VOLUMES, "", claim.volume_name)
    if bound is None:
        why = f'failed to get PV: persistentvolumes "{claim.volume_name}" not found'
        raise _unprocessed(volume, namespace, name, why)
    if ((bound["spec"].get("claimRef")) or {}).get("uid") != claim.uid:
        why = f'PV "{claim.volume_name}" is bound to another claim'
        raise _unprocessed(volume, namespace, name, why)
    return PersistentVolume(bound)


def _unprocessed(volume: Object, namespace: str, claim: str, why: str) -> MountFailed:
    return _unattached(volume, f"error processing PVC {namespace}/{claim}: {why}")


def _unattached(volume: Object, why: str) -> MountFailed:
    name = volume["name"]
    return MountFailed(
        f"Unable to attach or mount volumes: unmounted volumes=[{name}], unattached volumes=[], failed to process "
        f"volumes=[{name}]: {why}"
    )


def claim_of(pod: Object, volume: Object) -> str:
    """The name of the claim that the volume is had by."""
    claim = volume.get("persistentVolumeClaim")
    return str(claim["claimName"]) if claim else ephemeral_claim(Pod(pod), volume)


def _is_read_only(volume: Object) -> bool:
    return bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))


def as_mounted(pod: Object, container: Object) -> Object:
    """The container with its mounts of read-only claims read-only, whatever they say themselves."""
    only_read = {volume["name"] for volume in pod["spec"].get("volumes") or () if _is_read_only(volume)}
    mounts = container.get("volumeMounts") or ()
    if not any(mount["name"] in only_read for mount in mounts):
        return container
    return {
        **container,
        "volumeMounts": [{**mount, "readOnly": True} if mount["name"] in only_read else mount for mount in mounts],
    }
