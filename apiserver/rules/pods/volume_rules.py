"""What upstream refuses in a pod's volumes: their names, that each has one source, and what each source needs
(core/v1). Disks and file systems of clouds stand in `storage_source_rules`, what is put together in
`projection_rules`."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import (
    all_of,
    choice,
    duplicate,
    forbidden,
    invalid_value,
    not_supported,
    required,
)
from apiserver.rules.label_rules import label_errors
from apiserver.rules.pods.path_rules import backstep_errors, mode_errors
from apiserver.rules.pods.projection_rules import downward_file_errors, key_path_errors, projection_errors
from apiserver.rules.storage import storage_source_rules as storage
from apiserver.rules.storage.claim_rules import claim_spec_errors
from machinery.api import names, quantity
from machinery.api.errors import Cause
from machinery.api.quantity import ZERO
from machinery.api.resource import Object

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip


def volume_errors(volumes: list[Object], path: str, pod_name: str) -> tuple[dict[str, Object], list[Cause]]:
    """The sound volumes by name, which are those that mounts can name, and what is wrong with the others.

    `pod_name` is empty for templates: their pods' claims have no names yet.
    """
    sound: dict[str, Object] = {}
    errors: list[Cause] = []
    for index, volume in enumerate(volumes):
        where, name = f"{path}[{index}]", volume.get("name") or ""
        wrong = list(_source_errors(volume, where, pod_name))
        wrong += all_of(f"{where}.name", name, names.dns_label(name)) if name else [required(f"{where}.name")]
        if name in sound:
            wrong.append(duplicate(f"{where}.name", name))
        if wrong:
            errors += wrong
        else:
            sound[name] = volume
        if pod_name and (claim := volume.get("persistentVolumeClaim")) is not None:
            errors += _made_claim_errors(claim.get("claimName") or "", volumes, where, pod_name)
    return sound, errors


def _made_claim_errors(claim: str, volumes: list[Object], path: str, pod_name: str) -> list[Cause]:
    made = {f"{pod_name}-{each.get('name') or ''}" for each in volumes if each.get("ephemeral") is not None}
    if claim not in made:
        return []
    detail = "must not reference a PVC that gets created for an ephemeral volume"
    return [invalid_value(f"{path}.persistentVolumeClaim.claimName", claim, detail)]


def _source_errors(volume: Object, path: str, pod_name: str) -> Iterator[Cause]:
    chosen = [kind for kind in volume if kind != "name" and volume[kind] is not None]
    if len(chosen) > 1:
        chosen = [kind for kind in _SOURCES if kind in chosen]
    if not chosen:
        yield required(path, "must specify a volume type")
    for place, kind in enumerate(chosen):
        source = _SOURCES.get(kind)
        if source is None:
            continue
        if place:
            yield forbidden(f"{path}.{source.refused_as or kind}", "may not specify more than 1 volume type")
        else:
            yield from source.errors(volume[kind], f"{path}.{source.shown_as or kind}")
        if kind == "ephemeral" and not place and pod_name and volume.get("name"):
            yield from _claim_name_errors(f"{pod_name}-{volume['name']}", volume["name"], path)
        if kind == "iscsi":
            yield from storage.iscsi_length_errors(volume, path)


def _claim_name_errors(claim: str, name: str, path: str) -> Iterator[Cause]:
    yield from all_of(f"{path}.name", name, (f'PVC name "{claim}": {said}' for said in names.dns_subdomain(claim)))


def _empty_dir_errors(source: Object, path: str) -> Iterator[Cause]:
    limit = source.get("sizeLimit")
    if limit is not None and quantity.of(limit) < ZERO:
        yield forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def host_path_errors(source: Object, path: str) -> Iterator[Cause]:
    if not source.get("path"):
        yield required(f"{path}.path")
        return
    yield from backstep_errors(source["path"], f"{path}.path")
    kind = source.get("type")
    if kind is not None and kind not in _HOST_PATH_TYPES:
        yield not_supported(f"{path}.type", kind, _HOST_PATH_TYPES)


def _secret_errors(source: Object, path: str) -> Iterator[Cause]:
    return _keyed_errors(source, path, "secretName")


def _config_map_errors(source: Object, path: str) -> Iterator[Cause]:
    return _keyed_errors(source, path, "name")


def _keyed_errors(source: Object, path: str, name: str) -> Iterator[Cause]:
    if not source.get(name):
        yield required(f"{path}.{name}")
    yield from mode_errors(source.get("defaultMode"), f"{path}.defaultMode")
    for index, item in enumerate(source.get("items") or ()):
        yield from key_path_errors(item, f"{path}.items[{index}]")


def _claim_errors(source: Object, path: str) -> Iterator[Cause]:
    if not source.get("claimName"):
        yield required(f"{path}.claimName")


def _downward_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from mode_errors(source.get("defaultMode"), f"{path}.defaultMode")
    for item in source.get("items") or ():
        yield from downward_file_errors(item, path)


def _projected_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from mode_errors(source.get("defaultMode"), f"{path}.defaultMode")
    yield from projection_errors(source.get("sources") or [], path)


def _csi_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from storage.csi_driver_errors(source.get("driver") or "", f"{path}.driver")
    if (secret := source.get("nodePublishSecretRef")) is not None:
        if name := secret.get("name"):
            yield from all_of(f"{path}.name", name, names.dns_subdomain(name))
        else:
            yield required(f"{path}.nodePublishSecretRef.name")


_NOT_OF_TEMPLATES = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "finalizers", "managedFields",
)  # fmt: skip


def _ephemeral_errors(source: Object, path: str) -> Iterator[Cause]:
    template, where = source.get("volumeClaimTemplate"), f"{path}.volumeClaimTemplate"
    if template is None:
        yield required(where)
        return
    metadata = template.get("metadata") or {}
    for key in metadata.get("annotations") or ():
        yield from all_of(f"{where}.metadata.annotations", key, names.qualified_name(key.lower()))
    yield from label_errors(metadata.get("labels"), f"{where}.metadata.labels")
    for field in _NOT_OF_TEMPLATES:
        if metadata.get(field):
            yield forbidden(f"{where}.metadata.{'uID' if field == 'uid' else field}", "cannot be set")
    yield from claim_spec_errors(template.get("spec") or {}, f"{where}.spec")


def _image_errors(source: Object, path: str) -> Iterator[Cause]:
    if not source.get("reference"):
        yield required(f"{path}.reference")
    yield from choice(f"{path}.pullPolicy", source.get("pullPolicy"), PULL_POLICIES)


_SOURCES = {
    "emptyDir": storage.Source(_empty_dir_errors),
    "hostPath": storage.Source(host_path_errors),
    "gitRepo": storage.Source(storage.git_errors),
    "gcePersistentDisk": storage.Source(storage.gce_errors, shown_as="persistentDisk"),
    "awsElasticBlockStore": storage.Source(storage.aws_errors),
    "secret": storage.Source(_secret_errors),
    "nfs": storage.Source(storage.nfs_errors),
    "iscsi": storage.Source(storage.iscsi_errors),
    "glusterfs": storage.Source(storage.needs("endpoints", "path")),
    "flocker": storage.Source(storage.flocker_errors),
    "persistentVolumeClaim": storage.Source(_claim_errors),
    "rbd": storage.Source(storage.needs("monitors", "image")),
    "cinder": storage.Source(storage.cinder_errors),
    "cephfs": storage.Source(storage.needs("monitors"), refused_as="cephFS"),
    "quobyte": storage.Source(storage.quobyte_errors),
    "downwardAPI": storage.Source(_downward_errors, refused_as="downwarAPI"),
    "fc": storage.Source(storage.fc_errors),
    "flexVolume": storage.Source(storage.flex_errors),
    "configMap": storage.Source(_config_map_errors),
    "azureFile": storage.Source(storage.needs("secretName", "shareName")),
    "vsphereVolume": storage.Source(storage.needs("volumePath")),
    "photonPersistentDisk": storage.Source(storage.needs("pdID")),
    "portworxVolume": storage.Source(storage.needs("volumeID")),
    "azureDisk": storage.Source(storage.azure_disk_errors),
    "storageos": storage.Source(storage.storage_os_errors),
    "projected": storage.Source(_projected_errors),
    "scaleIO": storage.Source(storage.needs("gateway", "system", "volumeName")),
    "csi": storage.Source(_csi_errors),
    "ephemeral": storage.Source(_ephemeral_errors),
    "image": storage.Source(_image_errors),
}
"""In the order in which upstream looks: of two sources the later one is too many."""
