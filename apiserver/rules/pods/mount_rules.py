"""What upstream refuses in a container's mounts and block devices (core/v1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from apiserver.rules.field_errors import forbidden, invalid_value, missing, not_supported, required
from apiserver.rules.pods.path_rules import relative_path_errors
from machinery.api.errors import Cause
from machinery.api.resource import Object

_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")


def mount_errors(container: Object, path: str, volumes: Mapping[str, Object]) -> Iterator[Cause]:
    """Of `volumeMounts` and `volumeDevices`, which may not overlap; `volumes` are the sound ones by name."""
    mounts, devices = container.get("volumeMounts") or [], container.get("volumeDevices") or []
    if mounts:
        privileged = bool((container.get("securityContext") or {}).get("privileged"))
        taken = {device.get("name") or "": device.get("devicePath") or "" for device in devices}
        yield from _mounts_errors(mounts, f"{path}.volumeMounts", volumes, taken, is_privileged=privileged)
    if devices:
        taken = {mount.get("name") or "": mount.get("mountPath") or "" for mount in mounts}
        yield from _devices_errors(devices, f"{path}.volumeDevices", volumes, taken)


def _mounts_errors(
    mounts: list[Object], path: str, volumes: Mapping[str, Object], devices: Mapping[str, str], *, is_privileged: bool
) -> Iterator[Cause]:
    points: set[str] = set()
    for index, mount in enumerate(mounts):
        where, name, point = f"{path}[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            yield required(f"{where}.name")
        if name not in volumes:
            yield missing(f"{where}.name", name)
        if not point:
            yield required(f"{where}.mountPath")
        if point in points:
            yield invalid_value(f"{where}.mountPath", point, "must be unique")
        points.add(point)
        if name in devices:
            yield invalid_value(f"{where}.name", name, "must not already exist in volumeDevices")
        if point in devices.values():
            yield invalid_value(f"{where}.mountPath", point, "must not already exist as a path in volumeDevices")
        if len(mount) > 2:
            yield from _mount_option_errors(mount, where, path, is_privileged=is_privileged)


def _mount_option_errors(mount: Object, where: str, path: str, *, is_privileged: bool) -> Iterator[Cause]:
    """Upstream names the list and not the mount where an option of one is wrong."""
    if sub := mount.get("subPath"):
        yield from relative_path_errors(sub, f"{path}.subPath")
    if expression := mount.get("subPathExpr"):
        if sub:
            detail = "subPathExpr and subPath are mutually exclusive"
            yield invalid_value(f"{where}.subPathExpr", expression, detail)
        yield from relative_path_errors(expression, f"{path}.subPathExpr")
    propagation = mount.get("mountPropagation")
    if propagation is not None:
        if propagation not in _PROPAGATIONS:
            yield not_supported(f"{path}.mountPropagation", propagation, _PROPAGATIONS)
        if propagation == "Bidirectional" and not is_privileged:
            detail = "Bidirectional mount propagation is available only to privileged containers"
            yield forbidden(f"{path}.mountPropagation", detail)
    yield from _recursive_errors(mount, f"{path}.recursiveReadOnly")


def _recursive_errors(mount: Object, path: str) -> Iterator[Cause]:
    recursive = mount.get("recursiveReadOnly")
    if recursive is None or recursive == "Disabled":
        return
    if recursive not in _RECURSIVE:
        yield not_supported(path, recursive, _RECURSIVE)
        return
    if not mount.get("readOnly"):
        yield forbidden(path, "may only be specified when readOnly is true")
    if mount.get("mountPropagation") not in (None, "None"):
        yield forbidden(path, "may only be specified when mountPropagation is None or not specified")


def _devices_errors(
    devices: list[Object], path: str, volumes: Mapping[str, Object], mounts: Mapping[str, str]
) -> Iterator[Cause]:
    paths: set[str] = set()
    seen: set[str] = set()
    for index, device in enumerate(devices):
        where, name, at = f"{path}[{index}]", device.get("name") or "", device.get("devicePath") or ""
        yield from _device_name_errors(name, f"{where}.name", volumes, seen)
        yield from _device_path_errors(at, f"{where}.devicePath", paths)
        if name in mounts:
            yield invalid_value(f"{where}.name", name, "must not already exist in volumeMounts")
        if at in mounts.values():
            yield invalid_value(f"{where}.devicePath", at, "must not already exist as a path in volumeMounts")


def _device_name_errors(name: str, path: str, volumes: Mapping[str, Object], seen: set[str]) -> Iterator[Cause]:
    if not name:
        yield required(path)
    if name in seen:
        yield invalid_value(path, name, "must be unique")
    if name not in volumes:
        yield missing(path, name)
    elif not _is_claimed(volumes[name]):
        detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
        yield invalid_value(path, name, detail)
    if name:
        seen.add(name)


def _device_path_errors(at: str, path: str, seen: set[str]) -> Iterator[Cause]:
    if not at:
        yield required(path)
    if at in seen:
        yield invalid_value(path, at, "must be unique")
    if ".." in at.split("/"):
        yield invalid_value(path, at, "can not contain backsteps ('..')")
    else:
        seen.add(at)


def _is_claimed(volume: Object) -> bool:
    return volume.get("persistentVolumeClaim") is not None or volume.get("ephemeral") is not None
