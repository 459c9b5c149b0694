"""What the CRI server asks about images and root filesystems: one object over registry, stores and snapshots."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from runtime.errors import Unimplemented
from runtime.images.credentials import AuthConfig
from runtime.images.record import ImageRecord
from runtime.snapshots.snapshot import Snapshotter

Progress = Callable[[str, int, int], None]
"""Told digest, bytes so far and size as layers arrive."""


class ImageService:
    def __init__(self, root: Path, snapshotter: Snapshotter, mirrors: Mapping[str, Sequence[str]]) -> None:
        self.root, self.snapshotter, self.mirrors = root, snapshotter, mirrors

    async def pull(
        self, reference: str, auth: AuthConfig | None = None, on_progress: Progress | None = None
    ) -> ImageRecord:
        """The image, downloaded, verified and unpacked; raises in containerd's words."""
        raise Unimplemented("pull")

    def list(self) -> Sequence[ImageRecord]:
        raise Unimplemented("list")

    def get(self, ref_or_id: str) -> ImageRecord | None:
        raise Unimplemented("get")

    async def remove(self, ref_or_id: str) -> None:
        raise Unimplemented("remove")

    async def usage(self) -> tuple[int, int]:
        """Bytes and inodes of all unpacked images and writable layers."""
        raise Unimplemented("usage")

    async def prepare_rootfs(self, container_id: str, image_id: str) -> Path:
        """The container's own root filesystem, mounted."""
        raise Unimplemented("prepare_rootfs")

    async def remove_rootfs(self, container_id: str) -> None:
        raise Unimplemented("remove_rootfs")

    async def rootfs_usage(self, container_id: str) -> tuple[int, int]:
        """Bytes and inodes that the container wrote; raises NotFound."""
        raise Unimplemented("rootfs_usage")

    async def recover(self, known_container_ids: Collection[str]) -> None:
        """At start: removes the root filesystems of other containers and what a kill left half done."""
        raise Unimplemented("recover")
