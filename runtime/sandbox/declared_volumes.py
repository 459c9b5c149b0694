"""What an image declares as its volumes (`VOLUME` in a Dockerfile) can be written though the root is read-only.

The data stay in the container's writable layer and end with it, as containerd's copies do: each folder is mounted on
itself, and the root's being read-only is of the root's mount alone. Without that nothing has to be done.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from machinery.linux.rooted import path_within


def declared_volumes(config: Any, settings: Mapping[str, Any], rootfs: Path) -> dict[str, Path]:
    """Path in the container -> folder of the host, made where the image lacks it; CRI's own mounts go first. Blocks.

    `config` is CRI's ContainerConfig, `settings` the `config` object of the image's configuration.
    """
    if not config.linux.security_context.readonly_rootfs:
        return {}
    asked = {_normal(entry.container_path) for entry in config.mounts}
    wanted = sorted({_normal(path) for path in settings.get("Volumes") or ()} - asked)
    return {path: _folder(rootfs, path) for path in wanted}


def _normal(path: str) -> str:
    return posixpath.normpath(posixpath.join("/", path))


def _folder(rootfs: Path, path: str) -> Path:
    """Where the path is; nothing runs there yet, so what is resolved stays so."""
    try:
        return path_within(rootfs, path)
    except FileNotFoundError:
        made = _folder(rootfs, posixpath.dirname(path)) / posixpath.basename(path)
        made.mkdir()
        return made
