"""Pulls an image: resolve, fetch manifest and config, fetch layers side by side, unpack each when those below are done.

Every message begins as containerd's do, since users know them from `kubectl describe`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from machinery.structs import Struct
from runtime.errors import FailedPrecondition, InvalidArgument, RuntimeFault
from runtime.images.content import ContentStore
from runtime.images.credentials import AuthConfig
from runtime.images.download import Downloads, Progress
from runtime.images.inventory import image_record, source_label
from runtime.images.layers import unpack_layer
from runtime.images.media import (
    INDEXES,
    Descriptor,
    ImageConfig,
    Manifest,
    check_platform,
    choose,
    media_type_of,
    parse_config,
    parse_index,
    parse_manifest,
)
from runtime.images.platform import Platform
from runtime.images.queue_by_key import QueueByKey
from runtime.images.record import ImageRecord
from runtime.images.reference import Reference
from runtime.images.registry import Registry
from runtime.images.store import tag_name
from runtime.snapshots.snapshot import Snapshotter, chain_ids

PARALLEL_LAYERS = 3


class Puller(Struct, frozen=True):
    content: ContentStore
    snapshotter: Snapshotter
    mirrors: Mapping[str, Sequence[str]]
    certs: Path
    platform: Platform
    downloads: Downloads
    unpacking: QueueByKey

    async def pull(self, reference: Reference, auth: AuthConfig | None, on_progress: Progress | None) -> ImageRecord:
        """The image, whole in the content store and unpacked, not yet named in any store."""
        try:
            async with Registry(reference, auth, self.mirrors, self.certs) as registry:
                return await self._pull(reference, registry, on_progress)
        # No `except*`: until Python 3.11.4, and Debian 12 has 3.11.2, what is raised in one comes out in a group.
        except (RuntimeFault, OSError, ExceptionGroup) as failed:
            error, what = _first(failed), f'failed to pull and unpack image "{reference}"'
            if isinstance(error, RuntimeFault):
                raise error.within(what) from error
            if isinstance(error, OSError):
                raise FailedPrecondition(f"{what}: {(error.strerror or str(error)).lower()}") from error
            raise

    async def _pull(self, reference: Reference, registry: Registry, on_progress: Progress | None) -> ImageRecord:
        try:
            target = await registry.resolve()
        except RuntimeFault as error:
            raise error.within(f'failed to resolve reference "{reference}"') from error
        manifest_digest, manifest = await self._manifest(registry, target.digest)
        await self.downloads.fetch(registry, manifest.config)
        config = parse_config(await asyncio.to_thread(self.content.read, manifest.config.digest))
        check_platform(config, self.platform)
        if len(config.diff_ids) != len(manifest.layers):
            raise InvalidArgument(f"mismatched image rootfs and manifest layers in {manifest_digest}")
        await self._layers(registry, manifest, config, on_progress)
        for digest in {target.digest, manifest_digest}:
            await asyncio.to_thread(self.content.add_labels, digest, {source_label(reference): reference.path})
        tag = tag_name(reference)
        return image_record(
            manifest_digest, manifest, config, (tag,) if tag else (), f"{reference.repository}@{target.digest}"
        )

    async def _manifest(self, registry: Registry, digest: str) -> tuple[str, Manifest]:
        body, media_type = await self._document(registry, digest)
        if media_type not in INDEXES:
            return digest, parse_manifest(body)
        chosen = choose(parse_index(body), self.platform)
        body, media_type = await self._document(registry, chosen.digest)
        if media_type in INDEXES:
            raise InvalidArgument(f"index {digest} holds an index")
        return chosen.digest, parse_manifest(body)

    async def _document(self, registry: Registry, digest: str) -> tuple[bytes, str]:
        if await asyncio.to_thread(self.content.has, digest):
            body = await asyncio.to_thread(self.content.read, digest)
            return body, media_type_of(body, "")
        body, declared = await registry.manifest(digest)
        await asyncio.to_thread(self.content.add, body)
        return body, media_type_of(body, declared)

    async def _layers(
        self, registry: Registry, manifest: Manifest, config: ImageConfig, on_progress: Progress | None
    ) -> None:
        slots = asyncio.Semaphore(PARALLEL_LAYERS)

        async def fetch(layer: Descriptor) -> None:
            async with slots:
                await self.downloads.fetch(registry, layer, on_progress)

        async with asyncio.TaskGroup() as group:
            fetched = [group.create_task(fetch(layer)) for layer in manifest.layers]
            parent = ""
            for chain_id, diff_id, layer, arrival in zip(
                chain_ids(config.diff_ids), config.diff_ids, manifest.layers, fetched, strict=True
            ):
                await arrival
                await self.unpack(chain_id, parent, layer.digest, diff_id)
                parent = chain_id

    async def unpack_all(self, image: ImageRecord) -> None:
        """Unpacks what is not yet of an image whose blobs are in the content store."""
        parent = ""
        for chain_id, diff_id, layer in zip(chain_ids(image.diff_ids), image.diff_ids, image.layers, strict=True):
            await self.unpack(chain_id, parent, layer, diff_id)
            parent = chain_id

    async def unpack(self, chain_id: str, parent: str, layer: str, diff_id: str) -> None:
        """The layer is a committed snapshot named `chain_id`; two images that share it unpack it once."""
        async with self.unpacking.turn(chain_id):
            if await asyncio.to_thread(_exists, self.snapshotter, chain_id):
                return
            key = f"unpack {chain_id}"
            await asyncio.to_thread(_discard, self.snapshotter, key)
            await asyncio.to_thread(self.snapshotter.prepare, key, parent)
            try:
                usage = await unpack_layer(self.content.path(layer), self.snapshotter.unpacking(key), diff_id)
                await asyncio.to_thread(self.snapshotter.commit, chain_id, key, usage)
            except RuntimeFault as error:
                raise error.within(f"failed to extract layer {diff_id}") from error
            finally:
                await asyncio.to_thread(_discard, self.snapshotter, key)


def _first(error: Exception) -> Exception:
    """What failed first of all that did."""
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error


def _exists(snapshotter: Snapshotter, name: str) -> bool:
    return any(snapshot.name == name for snapshot in snapshotter.walk())


def _discard(snapshotter: Snapshotter, key: str) -> None:
    if _exists(snapshotter, key):
        snapshotter.remove(key)
