"""Sets a pod's volumes up below its directory, updates what may change, and takes all of it down again.

Everything here is blocking file work: the worker runs it in a thread.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
from pathlib import Path

from kubelet import podspec
from kubelet.atomicfiles import write_atomically
from kubelet.claimed_volumes import claimed, is_claimed
from kubelet.podcgroup import pod_limits
from kubelet.resources import quantity, whole
from kubelet.volumecontent import CONTENT_KINDS, MountFailed, Sources, VolumeFailure, volume_files
from machinery.api.resource import Object
from machinery.linux.mount import Mount, mount, mount_points, unmount

LOG = logging.getLogger("kubelet")
_PLUGINS = {
    "emptyDir": "kubernetes.io~empty-dir",
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "downwardAPI": "kubernetes.io~downward-api",
    "projected": "kubernetes.io~projected",
}
_HOST_PATH_TESTS = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def set_up(pod: Object, pod_dir: Path, sources: Sources) -> tuple[dict[str, Path], list[str]]:
    """Volume name -> host path, but for images; and what is to be told of those that can't be had (yet).

    Volumes that no container uses are left alone, whatever they name.
    """
    paths: dict[str, Path] = {}
    failed: list[str] = []
    used = podspec.mounted(pod, "volumeMounts") | podspec.mounted(pod, "volumeDevices")
    for volume in pod["spec"].get("volumes") or ():
        if "image" in volume or volume["name"] not in used:
            # Images are mounted by the runtime, into each container that asks for them.
            continue
        try:
            paths[volume["name"]] = _set_up(pod, volume, pod_dir, sources)
        except MountFailed as error:
            failed.append(str(error))
        except (VolumeFailure, OSError) as error:
            failed.append(str(MountFailed.of(volume["name"], str(error))))
    return paths, failed


def _set_up(pod: Object, volume: Object, pod_dir: Path, sources: Sources) -> Path:
    gid = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    if "hostPath" in volume:
        return _host_path(volume["hostPath"])
    if is_claimed(volume):
        return claimed(pod, volume, pod_dir, sources, _host_path)
    kind = next((kind for kind in _PLUGINS if kind in volume), None)
    if kind is None:
        raise VolumeFailure(f"no volume plugin matched: {', '.join(set(volume) - {'name'})}")
    directory = pod_dir / "volumes" / _PLUGINS[kind] / str(volume["name"])
    if kind in CONTENT_KINDS:
        files = volume_files(pod, volume, sources)
        if kind != "configMap":
            _in_memory(directory, sources)
        write_atomically(directory, files, gid)
    else:
        spec = volume[kind] or {}
        size = memory_volume_size(pod, spec, whole((sources.allocatable or {}).get("memory", "0")))
        _empty_dir(directory, spec, gid, size)
    return directory


def memory_volume_size(pod: Object, spec: Object, allocatable: int) -> int:
    """Bytes that an emptyDir in memory may hold: what the node gives to pods, the pod, and the volume; 0 is no limit.

    As upstream has it since KEP-1967; the kernel's own default would be half of the machine's memory.
    """
    limits = (allocatable, pod_limits(pod).memory, whole(spec.get("sizeLimit") or "0"))
    return min(filter(None, limits), default=0)


def _empty_dir(directory: Path, spec: Object, gid: int | None, size: int) -> None:
    if directory.is_dir() and (spec.get("medium") != "Memory" or os.path.ismount(directory)):
        return
    directory.mkdir(parents=True, exist_ok=True)
    if spec.get("medium") == "Memory":
        limit = (f"size={size}",) if size else ()
        mount(Mount("tmpfs", "tmpfs", str(directory), ("relatime", "mode=0777", *limit)))
    directory.chmod(0o777)
    if gid is not None:
        os.chown(directory, -1, gid)
        directory.chmod(0o2777)


def _in_memory(directory: Path, sources: Sources) -> None:
    """Secrets and tokens never reach the disk; a kubelet that may not mount keeps them on it."""
    directory.mkdir(parents=True, exist_ok=True)
    if os.path.ismount(directory):
        return
    size = quantity((sources.allocatable or {}).get("memory", "0"))
    limit = (f"size={int(size) // 1024}k",) if size else ()
    try:
        mount(Mount("tmpfs", "tmpfs", str(directory), ("relatime", *limit)))
    except PermissionError:
        LOG.debug("no tmpfs at %s: not permitted", directory)


def _host_path(spec: Object) -> Path:
    path, kind = Path(spec["path"]), spec.get("type") or ""
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(mode=0o755, parents=True)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    if kind in _HOST_PATH_TESTS:
        is_right, noun = _HOST_PATH_TESTS[kind]
        if not path.exists() or not is_right(path.stat().st_mode):
            raise VolumeFailure(f"hostPath type check failed: {path} is not {noun}")
    elif not kind and not path.exists():
        # Without a type the runtime of old made the directory, and manifests rely on it.
        path.mkdir(mode=0o755, parents=True)
    return path


def take_down(pod_dir: Path) -> None:
    """Unmounts and removes all that the pod had below its directory."""
    if not pod_dir.exists():
        return
    for point in reversed(mount_points(pod_dir)):
        unmount(point)
    shutil.rmtree(pod_dir)
