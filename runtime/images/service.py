"""What the CRI server asks about images and root filesystems: one object over registry, stores and snapshots."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from machinery.linux.mount import mount, unmount
from machinery.structs import replace
from runtime.errors import FailedPrecondition, InvalidArgument, NotFound
from runtime.images.archive import Found, read_archive
from runtime.images.certs import CERTS_D
from runtime.images.content import ContentStore
from runtime.images.credentials import AuthConfig
from runtime.images.download import Downloads, Progress
from runtime.images.draft import Drafts
from runtime.images.garbage import remove_unused
from runtime.images.inventory import stored_image
from runtime.images.leases import Leases
from runtime.images.platform import host_platform
from runtime.images.pull import Puller
from runtime.images.queue_by_key import QueueByKey
from runtime.images.record import ImageRecord
from runtime.images.reference import is_digest, parse_reference
from runtime.images.store import ImageStore, spelling
from runtime.snapshots.snapshot import Kind, Snapshotter, Usage, chain_ids

MANAGED, PINNED = "io.cri-containerd.image", "io.cri-containerd.pinned"
OWN_LABELS = (MANAGED, PINNED)
"""Labels that tell what the record says; the others are the clients' own."""
ROOTFS = "container "
"""What the snapshot keys of containers' writable layers begin with."""


class ImageService:
    """`mirrors` are asked before what the folder `certs` says of a registry."""

    def __init__(
        self, root: Path, snapshotter: Snapshotter, mirrors: Mapping[str, Sequence[str]], certs: Path = CERTS_D
    ) -> None:
        self._rootfs = root / "rootfs"
        self._rootfs.mkdir(parents=True, exist_ok=True)
        self.content = ContentStore(root / "content")
        self._store = ImageStore(root / "images.json")
        self.snapshotter = snapshotter
        self.drafts, self.leases = Drafts(self.content), Leases()
        self._puller = Puller(
            self.content, snapshotter, mirrors, certs, host_platform(), Downloads(self.content), QueueByKey()
        )
        self._pulls = QueueByKey()
        self._collecting = asyncio.Lock()
        self._busy = 0
        self._garbage = False
        self._listeners: list[Callable[[str, str], None]] = []

    async def pull(
        self, reference: str, auth: AuthConfig | None = None, on_progress: Progress | None = None
    ) -> ImageRecord:
        """The image, downloaded, verified and unpacked; raises in containerd's words."""
        try:
            parsed = parse_reference(reference)
        except InvalidArgument as error:
            raise error.within(f'failed to parse image reference "{reference}"') from error
        async with self._holding(), self._pulls.turn(str(parsed)):
            image = await self._put(await self._puller.pull(parsed, auth, on_progress))
        await self.collect_garbage()
        return image

    async def register(self, name: str, target: str, labels: Mapping[str, str]) -> ImageRecord:
        """Names the image whose blobs are in the content store, unpacked; `name` may be its id, which is no name.

        Raises NotFound where a blob of it is missing or it is for other machines.
        """
        reference = None if is_digest(name) else parse_reference(name)
        async with self._holding():
            found = await asyncio.to_thread(stored_image, self.content, target, reference, self._puller.platform)
            if reference is None and name not in (found.id, target):
                raise InvalidArgument(f"{name} is the id of another image than {target}")
            await self._puller.unpack_all(found)
            said = {key: value for key, value in labels.items() if key not in OWN_LABELS}
            pinned = labels[PINNED] == "pinned" if PINNED in labels else found.pinned
            named = replace(found, pinned=pinned, labels={spelling(name): said} if said else {})
            image = await self._put(named)
        await self.collect_garbage()
        return image

    async def import_archive(self, path: Path) -> Sequence[ImageRecord]:
        """The images of a `docker save` or OCI layout tar, unpacked, named as it names them, and pinned."""
        try:
            async with self._holding():
                images = []
                for found in await self._read_archive(path):
                    for name in found.names or (found.id,):
                        image = await self.register(name, found.target.digest, {PINNED: "pinned"})
                    images.append(image)
                return images
        finally:
            # An archive may hold more than its images need, or turn out to be none.
            self._garbage = True
            await self.collect_garbage()

    async def _read_archive(self, path: Path) -> list[Found]:
        # Closed where the caller is cancelled, it ends the thread that reads it.
        with open(path, "rb") as stream:  # noqa: ASYNC230 - opening a local file takes microseconds
            return await asyncio.to_thread(read_archive, stream, self.content, self._puller.platform)

    async def _put(self, image: ImageRecord) -> ImageRecord:
        before = {name for known in self._store.list() for name in (known.id, *known.names)}
        stored = await asyncio.to_thread(self._store.put, image)
        for name in (image.id, *image.names):
            self._tell("update" if name in before else "create", name)
        return stored

    def _tell(self, what: str, name: str) -> None:
        for listener in self._listeners:
            listener(what, name)

    def subscribe(self, listener: Callable[[str, str], None]) -> None:
        """`listener` is told `create`, `update` or `delete` with each name that it happens to."""
        self._listeners.append(listener)

    def list(self) -> Sequence[ImageRecord]:
        """Every image; doesn't block."""
        return self._store.list()

    def get(self, ref_or_id: str) -> ImageRecord | None:
        """The image with this id or name; doesn't block."""
        return self._store.get(ref_or_id)

    async def remove(self, ref_or_id: str) -> None:
        """The image has no name any more, and what only it used is removed; an absent one is none of an error."""
        removed = await asyncio.to_thread(self._store.remove, ref_or_id)
        if removed is not None:
            await self._forgot(removed.id, *removed.names)

    async def untag(self, name: str) -> None:
        """Takes the name away, and the image with its last one; raises NotFound."""
        before = self.get(name)
        left = await asyncio.to_thread(self._store.untag, name)
        gone = {before.id, *before.names} if before else set()
        await self._forgot(*(gone - ({left.id, *left.names} if left else set())))

    async def describe(self, name: str, labels: Mapping[str, str]) -> ImageRecord:
        """Replaces a name's labels; one of them pins its image. Raises NotFound."""
        said = {key: value for key, value in labels.items() if key not in OWN_LABELS}
        pinned = labels.get(PINNED) == "pinned"
        image = await asyncio.to_thread(lambda: self._store.describe(name, labels=said, pinned=pinned))
        self._tell("update", spelling(name))
        return image

    async def _forgot(self, *names: str) -> None:
        for name in names:
            self._tell("delete", name)
        self._garbage = True
        await self.collect_garbage()

    async def usage(self) -> tuple[int, int]:
        """Bytes and inodes of all unpacked layers and containers' writes."""

        def total() -> Usage:
            return sum((self.snapshotter.usage(snapshot.name) for snapshot in self.snapshotter.walk()), Usage())

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
        self.snapshotter.prepare(key, (chain_ids(image.diff_ids) or ("",))[-1])
        target.mkdir(exist_ok=True)
        try:
            for value in self.snapshotter.mounts(key, target):
                mount(value)
        except OSError as error:
            self._unmount_rootfs(container_id)
            raise FailedPrecondition(f"failed to mount rootfs {target}: {error.strerror}") from error
        return target

    async def remove_rootfs(self, container_id: str) -> None:
        """Unmounts and removes what the container wrote; an absent one is none of an error."""
        await asyncio.to_thread(self._unmount_rootfs, container_id)
        await self.collect_garbage()

    def _unmount_rootfs(self, container_id: str) -> None:
        target = self._rootfs / container_id
        unmount(target, lazily=True)
        target.rmdir() if target.exists() else None
        try:
            self.snapshotter.remove(ROOTFS + container_id)
        except NotFound:
            return

    async def rootfs_usage(self, container_id: str) -> tuple[int, int]:
        """Bytes and inodes that the container wrote; raises NotFound."""
        found = await asyncio.to_thread(self.snapshotter.usage, ROOTFS + container_id)
        return found.bytes, found.inodes

    async def recover(self, known_container_ids: Collection[str]) -> None:
        """At start: removes the root filesystems of other containers and what a kill left half done."""
        await asyncio.to_thread(self._recover, frozenset(known_container_ids))
        self._garbage = True
        await self.collect_garbage()

    def _recover(self, known: frozenset[str]) -> None:
        mounted = {path.name for path in self._rootfs.iterdir()}
        active = {s.name for s in self.snapshotter.walk() if s.kind is Kind.ACTIVE}
        containers = {key.removeprefix(ROOTFS) for key in active if key.startswith(ROOTFS)}
        for name in mounted | containers:
            # An image that is a container's volume is named after it, too: `<id>-0`.
            if name.partition("-")[0] not in known:
                self._unmount_rootfs(name)
        for key in active:
            if not key.startswith(ROOTFS):
                self.snapshotter.remove(key)
        # An image whose layers are gone (damage, another snapshotter) must look absent, or nothing pulls it again.
        layers = {s.name for s in self.snapshotter.walk()}
        for image in self._store.list():
            if not layers.issuperset(chain_ids(image.diff_ids)):
                self._store.remove(image.id)
        self.content.remove_stale()

    @asynccontextmanager
    async def _holding(self) -> AsyncIterator[None]:
        # What a pull has fetched and not yet named would be garbage to a collection, so neither overlaps the other.
        async with self._collecting:
            self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    async def collect_garbage(self) -> None:
        """Removes what nothing needs, if anything was given up since the last time; else it does nothing."""
        if self._garbage and not self._busy:
            self._garbage = False
            async with self._collecting:
                held = self.leases.held(time.time())
                self._garbage = await asyncio.to_thread(
                    remove_unused, self._store.list(), self.content, self.snapshotter, held
                )

    async def release(self, lease_id: str) -> None:
        """Ends a lease: what was sent under it and not named is garbage. Raises NotFound."""
        self.leases.delete(lease_id)
        self._garbage = True
        await self.collect_garbage()
