"""What the CRI server asks about images and root filesystems: one object over registry, stores and snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from machinery.linux.mount import mount, unmount
from runtime.errors import FailedPrecondition, InvalidArgument, NotFound
from runtime.images.archive import read_archive
from runtime.images.content import ContentStore
from runtime.images.credentials import AuthConfig
from runtime.images.download import Downloads, Progress
from runtime.images.media import host_platform
from runtime.images.pull import Puller
from runtime.images.queue_by_key import QueueByKey
from runtime.images.record import ImageRecord
from runtime.images.reference import parse_reference
from runtime.images.store import ImageStore
from runtime.snapshots.snapshot import Kind, Snapshotter, Usage, chain_ids

ROOTFS = "container "
"""What the snapshot keys of containers' writable layers begin with."""


class ImageService:
    def __init__(self, root: Path, snapshotter: Snapshotter, mirrors: Mapping[str, Sequence[str]]) -> None:
        self._rootfs = root / "rootfs"
        self._rootfs.mkdir(parents=True, exist_ok=True)
        self._content = ContentStore(root / "content")
        self._store = ImageStore(root / "images.json")
        self._snapshotter = snapshotter
        self._puller = Puller(
            self._content, snapshotter, mirrors, host_platform(), Downloads(self._content), QueueByKey()
        )
        self._pulls = QueueByKey()
        self._collecting = asyncio.Lock()
        self._busy = 0
        self._garbage = False

    async def pull(
        self, reference: str, auth: AuthConfig | None = None, on_progress: Progress | None = None
    ) -> ImageRecord:
        """The image, downloaded, verified and unpacked; raises in containerd's words."""
        try:
            parsed = parse_reference(reference)
        except InvalidArgument as error:
            raise error.within(f'failed to parse image reference "{reference}"') from error
        async with self._holding(), self._pulls.turn(str(parsed)):
            image = await self._puller.pull(parsed, auth, on_progress)
            image = await asyncio.to_thread(self._store.put, image)
        await self._collect_garbage()
        return image

    async def import_archive(self, path: Path) -> Sequence[ImageRecord]:
        """The images of a `docker save` or OCI layout tar, unpacked and named as it names them."""
        async with self._holding():
            images = []
            for found in await asyncio.to_thread(read_archive, path, self._content):
                parent = ""
                for chain_id, diff_id, layer in zip(
                    chain_ids(found.diff_ids), found.diff_ids, found.layers, strict=True
                ):
                    await self._puller.unpack(chain_id, parent, layer, diff_id)
                    parent = chain_id
                images.append(await asyncio.to_thread(self._store.put, found))
            return images

    def list(self) -> Sequence[ImageRecord]:
        """Every image; doesn't block."""
        return self._store.list()

    def get(self, ref_or_id: str) -> ImageRecord | None:
        """The image with this id or name; doesn't block."""
        return self._store.get(ref_or_id)

    async def remove(self, ref_or_id: str) -> None:
        """The image has no name any more, and what only it used is removed; an absent one is none of an error."""
        if await asyncio.to_thread(self._store.remove, ref_or_id) is not None:
            self._garbage = True
            await self._collect_garbage()

    async def usage(self) -> tuple[int, int]:
        """Bytes and inodes of all unpacked layers and containers' writes."""

        def total() -> Usage:
            return sum((self._snapshotter.usage(snapshot.name) for snapshot in self._snapshotter.walk()), Usage())

        found = await asyncio.to_thread(total)
        return found.bytes, found.inodes

    async def prepare_rootfs(self, container_id: str, image_id: str) -> Path:
        """The container's own root filesystem, mounted; raises NotFound without the image, AlreadyExists."""
        image = self.get(image_id)
        if image is None:
            raise NotFound(f"image {image_id!r}: not found")
        async with self._holding():
            return await asyncio.to_thread(self._mount_rootfs, container_id, image)

    def _mount_rootfs(self, container_id: str, image: ImageRecord) -> Path:
        key, target = ROOTFS + container_id, self._rootfs / container_id
        self._snapshotter.prepare(key, (chain_ids(image.diff_ids) or ("",))[-1])
        target.mkdir(exist_ok=True)
        try:
            for value in self._snapshotter.mounts(key, target):
                mount(value)
        except OSError as error:
            self._unmount_rootfs(container_id)
            raise FailedPrecondition(f"failed to mount rootfs {target}: {error.strerror}") from error
        return target

    async def remove_rootfs(self, container_id: str) -> None:
        """Unmounts and removes what the container wrote; an absent one is none of an error."""
        await asyncio.to_thread(self._unmount_rootfs, container_id)
        await self._collect_garbage()

    def _unmount_rootfs(self, container_id: str) -> None:
        target = self._rootfs / container_id
        unmount(target, lazily=True)
        target.rmdir() if target.exists() else None
        try:
            self._snapshotter.remove(ROOTFS + container_id)
        except NotFound:
            return

    async def rootfs_usage(self, container_id: str) -> tuple[int, int]:
        """Bytes and inodes that the container wrote; raises NotFound."""
        found = await asyncio.to_thread(self._snapshotter.usage, ROOTFS + container_id)
        return found.bytes, found.inodes

    async def recover(self, known_container_ids: Collection[str]) -> None:
        """At start: removes the root filesystems of other containers and what a kill left half done."""
        await asyncio.to_thread(self._recover, frozenset(known_container_ids))
        self._garbage = True
        await self._collect_garbage()

    def _recover(self, known: frozenset[str]) -> None:
        mounted = {path.name for path in self._rootfs.iterdir()}
        active = {s.name for s in self._snapshotter.walk() if s.kind is Kind.ACTIVE}
        containers = {key.removeprefix(ROOTFS) for key in active if key.startswith(ROOTFS)}
        for container_id in (mounted | containers) - known:
            self._unmount_rootfs(container_id)
        for key in active:
            if not key.startswith(ROOTFS):
                self._snapshotter.remove(key)
        # An image whose layers are gone (damage, another snapshotter) must look absent, or nothing pulls it again.
        layers = {s.name for s in self._snapshotter.walk()}
        for image in self._store.list():
            if not layers.issuperset(chain_ids(image.diff_ids)):
                self._store.remove(image.id)
        self._content.remove_stale_ingests()

    @asynccontextmanager
    async def _holding(self) -> AsyncIterator[None]:
        # What a pull has fetched and not yet named would be garbage to a collection, so neither overlaps the other.
        async with self._collecting:
            self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    async def _collect_garbage(self) -> None:
        if self._garbage and not self._busy:
            self._garbage = False
            async with self._collecting:
                self._garbage = await asyncio.to_thread(self._remove_unused)

    def _remove_unused(self) -> bool:
        """Removes what no image needs; says whether containers still stand on some of it."""
        images = self._store.list()
        blobs = {digest for image in images for digest in (image.manifest, image.id, *image.layers)}
        blobs |= {name.partition("@")[2] for image in images for name in image.repo_digests}
        for digest in self._content.digests():
            if digest not in blobs:
                self._content.remove(digest)
        needed = {chain_id for image in images for chain_id in chain_ids(image.diff_ids)}
        while leaves := self._unused_leaves(needed):
            for name in leaves:
                self._snapshotter.remove(name)
        return any(s.kind is Kind.COMMITTED and s.name not in needed for s in self._snapshotter.walk())

    def _unused_leaves(self, needed: set[str]) -> Sequence[str]:
        snapshots = [*self._snapshotter.walk()]
        parents = {snapshot.parent for snapshot in snapshots}
        return [
            snapshot.name
            for snapshot in snapshots
            if snapshot.kind is Kind.COMMITTED and snapshot.name not in needed and snapshot.name not in parents
        ]
