"""What upstream refuses in disks and file systems that lie elsewhere: NFS, iSCSI, CSI and those of clouds (core/v1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from apiserver.rules.field_errors import all_of, in_range, invalid_value, not_supported, required, too_long
from apiserver.rules.pods.path_rules import relative_path_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_QUALIFIED_NAMES = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)$"),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$"),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$"),
}
"""Forms of iSCSI's names by what they begin with."""
_LONGEST_PORTAL = 64
_LONGEST_DRIVER = 63
_PAIRS = "must be a host:port pair or multiple pairs separated by commas"


class Source(NamedTuple):
    """One that a volume can have: its rule, and how upstream's errors call it."""

    errors: Callable[[Object, str], Iterator[Cause]]
    shown_as: str = ""
    """The path's last part, where upstream names it otherwise than the field."""
    refused_as: str = ""
    """The same for a second source."""


def needs(*fields: str) -> Callable[[Object, str], Iterator[Cause]]:
    """The rule that all these fields are there."""

    def errors(source: Object, path: str) -> Iterator[Cause]:
        return (required(f"{path}.{field}") for field in fields if not source.get(field))

    return errors


def git_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from needs("repository")(source, path)
    yield from relative_path_errors(source.get("directory") or "", f"{path}.directory")


def gce_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from needs("pdName")(source, path)
    yield from _partition_errors(source, path)


def aws_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from needs("volumeID")(source, path)
    yield from _partition_errors(source, path)


def _partition_errors(source: Object, path: str) -> Iterator[Cause]:
    partition = source.get("partition") or 0
    if not 0 <= partition <= 255:
        # Zero is allowed and means none, whatever the words say.
        yield invalid_value(f"{path}.partition", partition, "must be between 1 and 255, inclusive")


def nfs_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from needs("server", "path")(source, path)
    if not (source.get("path") or "").startswith("/"):
        yield invalid_value(f"{path}.path", source.get("path") or "", "must be an absolute path")


def iscsi_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from needs("targetPortal", "iqn")(source, path)
    if source.get("iqn"):
        yield from _qualified_errors(source["iqn"], f"{path}.iqn")
    yield from in_range(f"{path}.lun", source.get("lun") or 0, 0, 255)
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        yield required(f"{path}.secretRef")
    if source.get("initiatorName") is not None:
        yield from _qualified_errors(source["initiatorName"], f"{path}.initiatorname")


def _qualified_errors(name: str, path: str) -> Iterator[Cause]:
    form = _QUALIFIED_NAMES.get(name[:3])
    if form is None:
        yield invalid_value(path, name, "must be valid format starting with iqn, eui, or naa")
    elif not form.search(name):
        yield invalid_value(path, name, "must be valid format")


def iscsi_length_errors(volume: Object, path: str) -> Iterator[Cause]:
    source, name = volume["iscsi"], volume.get("name") or ""
    portal = f"{name}:{source.get('targetPortal') or ''}"
    if source.get("initiatorName") is not None and len(portal) > _LONGEST_PORTAL:
        detail = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters"
            " if iscsi.initiatorName is specified."
        )
        yield invalid_value(f"{path}.name", name, detail)


def flocker_errors(source: Object, path: str) -> Iterator[Cause]:
    name, identity = source.get("datasetName") or "", source.get("datasetUUID")
    if not name and not identity:
        yield required(path, "one of datasetName and datasetUUID is required")
    if name and identity:
        detail = "datasetName and datasetUUID can not be specified simultaneously"
        yield invalid_value(path, "resource", detail)
    if "/" in name:
        yield invalid_value(f"{path}.datasetName", name, "must not contain '/'")


def cinder_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from needs("volumeID")(source, path)
    yield from _secret_errors(source, path)


def _secret_errors(source: Object, path: str) -> Iterator[Cause]:
    secret = source.get("secretRef")
    if secret is not None and not secret.get("name"):
        yield required(f"{path}.secretRef.name")


def quobyte_errors(source: Object, path: str) -> Iterator[Cause]:
    registry = source.get("registry") or ""
    if not registry:
        yield required(f"{path}.registry", _PAIRS)
    elif len(source.get("tenant") or "") > 64:
        yield required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in registry.split(","):
            if pair.count(":") != 1:
                yield invalid_value(f"{path}.registry", registry, _PAIRS)
    yield from needs("volume")(source, path)


def fc_errors(source: Object, path: str) -> Iterator[Cause]:
    names_of_ports, ids, lun = source.get("targetWWNs") or [], source.get("wwids") or [], source.get("lun")
    if not names_of_ports and not ids:
        yield required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if names_of_ports and ids:
        detail = "targetWWNs and wwids can not be specified simultaneously"
        yield invalid_value(f"{path}.targetWWNs", names_of_ports, detail)
    if names_of_ports:
        if lun is None:
            yield required(f"{path}.lun", "lun is required if targetWWNs is specified")
        else:
            yield from in_range(f"{path}.lun", lun, 0, 255)


def flex_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from needs("driver")(source, path)
    for key in source.get("options") or ():
        domain = f".{key.partition('/')[0].lower()}"
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            detail = "kubernetes.io and k8s.io namespaces are reserved"
            yield invalid_value(f"{path}.options[{key}]", key, detail)


_CACHING = ("None", "ReadOnly", "ReadWrite")
_DISK_KINDS = ("Dedicated", "Managed", "Shared")
_MANAGED_URI = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB_URI = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"


def azure_disk_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from needs("diskName", "diskURI")(source, path)
    uri, kind = source.get("diskURI") or "", source.get("kind")
    for field, supported in (("cachingMode", _CACHING), ("kind", _DISK_KINDS)):
        if source.get(field) is not None and source[field] not in supported:
            yield not_supported(f"{path}.{field}", source[field], supported)
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        yield not_supported(f"{path}.diskURI", uri, (_MANAGED_URI,))
    if kind not in (None, "Managed") and not uri.startswith("https://"):
        yield not_supported(f"{path}.diskURI", uri, (_BLOB_URI,))


def storage_os_errors(source: Object, path: str) -> Iterator[Cause]:
    yield from needs("volumeName")(source, path)
    for field in ("volumeName", "volumeNamespace"):
        if source.get(field):
            yield from all_of(f"{path}.{field}", source[field], names.dns_label(source[field]))
    yield from _secret_errors(source, path)


def csi_driver_errors(driver: str, path: str) -> Iterator[Cause]:
    if not driver:
        yield required(path)
        return
    if len(driver) > _LONGEST_DRIVER:
        yield too_long(path, _LONGEST_DRIVER)
    yield from all_of(path, driver, names.dns_subdomain(driver.lower()))
