"""What upstream refuses in PersistentVolumes, on their own and inline in attachments (core/v1), and warns of."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator

from apiserver.rules.field_errors import all_of, forbidden, invalid_value, not_supported, one_of, required
from apiserver.rules.immutability import IMMUTABLE
from apiserver.rules.pods.deprecated_labels import term_warnings
from apiserver.rules.pods.internal_types import internal
from apiserver.rules.pods.path_rules import backstep_errors
from apiserver.rules.pods.placement_rules import node_selector_errors
from apiserver.rules.pods.volume_rules import host_path_errors
from apiserver.rules.spec_diff import unified
from apiserver.rules.storage import storage_source_rules as storage
from apiserver.rules.storage.claim_rules import OLD_CLASS_WARNING, VOLUME_MODES, access_mode_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.quantity import ZERO, of
from machinery.api.resource import Object
from machinery.api.volumes import BETA_CLASS

_RECLAIM = ("Delete", "Recycle", "Retain")
_TWO = "may not specify more than 1 volume type"
_SECRETS = (
    "controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef",
)  # fmt: skip
_MOUNT_OPTIONS = "volume.beta.kubernetes.io/mount-options"


def volume_errors(volume: Object) -> list[Cause]:
    return list(volume_spec_errors(volume.get("spec") or {}, "spec", volume["metadata"].get("name") or ""))


def volume_spec_errors(spec: Object, path: str, name: str) -> Iterator[Cause]:
    if not spec.get("accessModes"):
        yield required(f"{path}.accessModes")
    yield from access_mode_errors(spec.get("accessModes") or [], f"{path}.accessModes")
    yield from _capacity_errors(spec.get("capacity") or {}, f"{path}.capacity")
    yield from one_of(
        f"{path}.persistentVolumeReclaimPolicy", spec.get("persistentVolumeReclaimPolicy") or "", _RECLAIM
    )
    if (affinity := spec.get("nodeAffinity")) is not None:
        yield from _affinity_errors(affinity, f"{path}.nodeAffinity")
    yield from source_errors(spec, path, name)
    if spec.get("storageClassName"):
        complaints = names.dns_subdomain(spec["storageClassName"])
        yield from all_of(f"{path}.storageClassName", spec["storageClassName"], complaints)
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in VOLUME_MODES:
        yield not_supported(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    if (attributes := spec.get("volumeAttributesClassName")) is not None:
        where = f"{path}.volumeAttributesClassName"
        if attributes:
            yield from all_of(where, attributes, names.dns_subdomain(attributes))
        else:
            yield required(where, "an empty string is disallowed")
        if spec.get("csi") is None:
            yield required(f"{path}.csi", "has to be specified when using volumeAttributesClassName")


def _capacity_errors(capacity: Object, path: str) -> Iterator[Cause]:
    if not capacity:
        yield required(path)
    if "storage" not in capacity or len(capacity) > 1:
        yield not_supported(path, capacity or None, ("storage",))
    for name, text in capacity.items():
        amount = of(text)
        if amount < ZERO:
            yield invalid_value(f"{path}[{name}]", amount.integer, "must be a valid resource quantity")
        if amount <= ZERO:
            yield invalid_value(f"{path}[{name}]", str(amount), "must be greater than zero")


def _affinity_errors(affinity: Object, path: str) -> Iterator[Cause]:
    if affinity.get("required") is None:
        yield required(f"{path}.required", "must specify required node constraints")
    else:
        yield from node_selector_errors(affinity["required"], f"{path}.required")


def source_errors(spec: Object, path: str, name: str) -> Iterator[Cause]:
    """A volume is one thing; what each must say."""
    chosen = [field for field in _SOURCES if spec.get(field) is not None]
    for place, field in enumerate(chosen):
        source = _SOURCES[field]
        if place and field != "flexVolume":
            yield forbidden(f"{path}.{source.refused_as or field}", _TWO)
        else:
            yield from source.errors(spec[field], f"{path}.{source.shown_as or field}")
            if field == "iscsi":
                yield from _portal_errors(spec[field], f"{path}.iscsi.targetportal", name)
            if field == "local" and spec.get("nodeAffinity") is None:
                yield required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    if not chosen:
        yield required(path, "must specify a volume type")
    host = spec.get("hostPath") or {}
    is_root = posixpath.normpath(host.get("path") or ".").strip("/") == ""
    if is_root and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield forbidden(f"{path}.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'")


def _portal_errors(source: Object, path: str, name: str) -> Iterator[Cause]:
    portal = source.get("targetPortal") or ""
    if source.get("initiatorName") is not None and len(f"{name}:{portal}") > 64:
        detail = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is"
            " specified."
        )
        yield invalid_value(path, portal, detail)


def _local_errors(source: Object, path: str) -> Iterator[Cause]:
    if not source.get("path"):
        yield required(f"{path}.path")
    else:
        yield from backstep_errors(source["path"], f"{path}.path")


def _csi_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from storage.csi_driver_errors(source.get("driver") or "", f"{path}.driver")
    yield from storage.needs("volumeHandle")(source, path)
    for field in _SECRETS:
        if (secret := source.get(field)) is not None:
            for part, check in (("name", names.dns_subdomain), ("namespace", names.dns_label)):
                text, where = secret.get(part) or "", f"{path}.{field}.{part}"
                yield from all_of(where, text, check(text)) if text else [required(where)]


def _glusterfs_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from storage.needs("endpoints", "path")(source, path)
    namespace = source.get("endpointsNamespace")
    if namespace == "":
        detail = "if the endpointnamespace is set, it must be a valid namespace name"
        yield invalid_value(f"{path}.endpointsNamespace", namespace, detail)
    elif namespace is not None:
        yield from all_of(f"{path}.endpointsNamespace", namespace, names.dns_label(namespace))


def _azure_file_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from storage.needs("secretName", "shareName")(source, path)
    if source.get("secretNamespace") == "":
        yield required(f"{path}.secretNamespace")


def _with_whole_secret(
    errors: Callable[[Object, str], Iterator[Cause]],
) -> Callable[[Object, str], Iterator[Cause]]:
    """A volume's secret lies in a namespace that must be named."""

    def checked(source: Object, path: str) -> Iterator[Cause]:
        yield from errors(source, path)
        secret = source.get("secretRef")
        if secret is not None and not secret.get("namespace"):
            yield required(f"{path}.secretRef.namespace")

    return checked


_SOURCES = {
    "hostPath": storage.Source(host_path_errors),
    "gcePersistentDisk": storage.Source(storage.gce_errors, shown_as="persistentDisk"),
    "awsElasticBlockStore": storage.Source(storage.aws_errors),
    "glusterfs": storage.Source(_glusterfs_errors),
    "flocker": storage.Source(storage.flocker_errors),
    "nfs": storage.Source(storage.nfs_errors),
    "rbd": storage.Source(storage.needs("monitors", "image")),
    "quobyte": storage.Source(storage.quobyte_errors),
    "cephfs": storage.Source(storage.needs("monitors"), refused_as="cephFS"),
    "iscsi": storage.Source(storage.iscsi_errors),
    "cinder": storage.Source(_with_whole_secret(storage.cinder_errors)),
    "fc": storage.Source(storage.fc_errors),
    "flexVolume": storage.Source(storage.flex_errors),
    "azureFile": storage.Source(_azure_file_errors),
    "vsphereVolume": storage.Source(storage.needs("volumePath")),
    "photonPersistentDisk": storage.Source(storage.needs("pdID")),
    "portworxVolume": storage.Source(storage.needs("volumeID")),
    "azureDisk": storage.Source(storage.azure_disk_errors),
    "scaleIO": storage.Source(storage.needs("gateway", "system", "volumeName")),
    "local": storage.Source(_local_errors),
    "storageos": storage.Source(_with_whole_secret(storage.storage_os_errors)),
    "csi": storage.Source(_csi_errors),
}
"""In the order that upstream looks at them: the first that is there is the one that is meant."""


def inline_errors(spec: Object, path: str) -> Iterator[Cause]:
    """Of a volume that an attachment brings along, which can be one of CSI alone."""
    for field in ("claimRef", "capacity"):
        if spec.get(field):
            yield forbidden(f"{path}.{field}", "may not be specified in the context of inline volumes")
    if spec.get("csi") is None:
        yield required(f"{path}.csi", "has to be specified in the context of inline volumes")
    if not spec.get("accessModes"):
        yield required(f"{path}.accessModes")
    yield from access_mode_errors(spec.get("accessModes") or [], f"{path}.accessModes")
    if spec.get("persistentVolumeReclaimPolicy") not in (None, "", "Retain"):
        where = f"{path}.persistentVolumeReclaimPolicy"
        yield forbidden(where, "may only be Retain in the context of inline volumes")
    if spec.get("nodeAffinity") is not None:
        yield forbidden(f"{path}.nodeAffinity", "may not be specified in the context of inline volumes")
    yield from source_errors(spec, path, "")
    if spec.get("storageClassName"):
        yield forbidden(f"{path}.storageClassName", "may not be specified in the context of inline volumes")
    if spec.get("volumeMode") not in (None, "Filesystem"):
        detail = "may not specify volumeMode other than Filesystem in the context of inline volumes"
        yield forbidden(f"{path}.volumeMode", detail)


def volume_update_errors(new: Object, old: Object) -> list[Cause]:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    errors: list[Cause] = []
    was, wanted = ({field: each[field] for field in _SOURCES if each.get(field) is not None} for each in (before, spec))
    if "csi" in was and "csi" in wanted and was["csi"].get("controllerExpandSecretRef") is None:
        wanted["csi"] = {key: value for key, value in wanted["csi"].items() if key != "controllerExpandSecretRef"}
    if wanted != was:
        shown = unified(internal("PersistentVolumeSource", was), internal("PersistentVolumeSource", wanted))
        detail = f"spec.persistentvolumesource is immutable after creation\n{shown}"
        errors.append(forbidden("spec.persistentvolumesource", detail))
    if spec.get("volumeMode") != before.get("volumeMode"):
        errors.append(invalid_value("volumeMode", spec.get("volumeMode"), IMMUTABLE))
    affinity = spec.get("nodeAffinity")
    if before.get("nodeAffinity") is not None and not _is_renamed(affinity, before["nodeAffinity"]):
        given = None if affinity is None else internal("VolumeNodeAffinity", affinity)
        errors.append(invalid_value("nodeAffinity", given, f"{IMMUTABLE}, except for updating from beta label to GA"))
    if before.get("volumeAttributesClassName") is not None and spec.get("volumeAttributesClassName") is None:
        detail = "update from non-nil value to nil is forbidden"
        errors.append(forbidden("spec.volumeAttributesClassName", detail))
    return errors


_RENAMED = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}


def _is_renamed(new: object, old: object) -> bool:
    """Whether the two are the same but for keys of nodes that got their lasting names."""
    if isinstance(new, dict) and isinstance(old, dict):
        return new.keys() == old.keys() and all(
            (key == "key" and _RENAMED.get(old[key]) == new[key]) or _is_renamed(new[key], old[key]) for key in new
        )
    if isinstance(new, list) and isinstance(old, list):
        return len(new) == len(old) and all(map(_is_renamed, new, old))
    return new == old


_GONE = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}


def volume_warnings(volume: Object) -> list[str]:
    spec, annotations = volume.get("spec") or {}, volume["metadata"].get("annotations") or {}
    warnings: list[str] = []
    if BETA_CLASS in annotations:
        warnings.append(OLD_CLASS_WARNING)
    if _MOUNT_OPTIONS in annotations:
        path = f"metadata.annotations[{_MOUNT_OPTIONS}]"
        warnings.append(f'{path}: deprecated since v1.31; use "mountOptions" attribute instead')
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        warnings.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended"
            " approach is to use dynamic provisioning."
        )
    terms = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    for index, term in enumerate(terms):
        warnings += term_warnings(term, f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]")
    return warnings + [
        f"spec.{_SOURCES[field].refused_as or field}: {said}"
        for field, said in _GONE.items()
        if spec.get(field) is not None
    ]
