"""The service `images`: names and what they mean (`ctr images list`, `pull`, `import`, `tag`, `label`, `rm`).

An image that gets a name here is unpacked before the answer, so that it can run at once; a client that then unpacks
it by itself finds that done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from runtime.containerd import caller
from runtime.containerd.content import merged
from runtime.containerd.filters import adaptor, any_of
from runtime.containerd.messages import empty, make, timestamp
from runtime.errors import AlreadyExists, InvalidArgument, NotFound
from runtime.images.media import media_type_of
from runtime.images.record import ImageRecord
from runtime.images.service import MANAGED, PINNED, ImageService
from runtime.images.store import spelling


class ImagesService:
    def __init__(self, images: ImageService) -> None:
        self._images = images

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802 - the RPC's name
        name, record = self._known(request.name, context)
        return make("images", "GetImageResponse", image=await asyncio.to_thread(self._message, name, record))

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        passes = any_of(request.filters)
        records = self._images.list() if caller.is_ours(context) else []

        def read() -> list[Any]:
            told = (
                self._message(name, record) for record in records if self._is_whole(record) for name in names(record)
            )
            return sorted(told, key=lambda image: str(image.name))

        found = await asyncio.to_thread(read)
        return make("images", "ListImagesResponse", images=[image for image in found if passes(_adaptor(image))])

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        caller.require_ours(context)
        image = request.image
        name = spelled(image.name)
        known = self._images.get(name)
        if known is not None and name in names(known):
            raise AlreadyExists(f'image "{image.name}": already exists')
        record = await self._images.register(name, image.target.digest, image.labels)
        return make("images", "CreateImageResponse", image=await self._told(name, record))

    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        caller.require_ours(context)
        image, paths = request.image, list(request.update_mask.paths)
        name, record = self._known(image.name, context)
        is_moved = not paths or any(path.startswith("target") for path in paths)
        if is_moved and record.target(name) != image.target.digest:
            record = await self._images.register(name, image.target.digest, {})
        paths = [path for path in paths if not path.startswith(("target", "annotations"))]
        if paths or not request.update_mask.paths:
            record = await self._images.describe(name, merged(labels(name, record), image.labels, paths))
        return make("images", "UpdateImageResponse", image=await self._told(name, record))

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        name, _ = self._known(request.name, context)
        await self._images.untag(name)
        return empty()

    def _known(self, name: str, context: Any) -> tuple[str, ImageRecord]:
        try:
            spelt = spelling(name)
        except InvalidArgument:
            spelt = name
        record = self._images.get(spelt) if caller.is_ours(context) else None
        if record is None:
            raise NotFound(f'image "{name}": not found')
        return spelt, record

    def _is_whole(self, record: ImageRecord) -> bool:
        """Whether it is still there: it may be removed while a list is made."""
        return all(self._images.content.has(record.target(name)) for name in record.names)

    async def _told(self, name: str, record: ImageRecord) -> Any:
        return await asyncio.to_thread(self._message, name, record)

    def _message(self, name: str, record: ImageRecord) -> Any:
        digest = record.manifest if name == record.id else record.target(name)
        body, path = self._images.content.read(digest), self._images.content.path(digest)
        return make(
            "images",
            "Image",
            name=name,
            labels=labels(name, record),
            target={"media_type": media_type_of(body, ""), "digest": digest, "size": len(body)},
            created_at=timestamp(path.stat().st_mtime_ns),
            updated_at=timestamp(path.stat().st_mtime_ns),
        )


def spelled(name: str) -> str:
    """The name as it is kept; raises InvalidArgument."""
    try:
        return spelling(name)
    except InvalidArgument as error:
        raise error.within(f'image name "{name}"') from error


def names(record: ImageRecord) -> Iterator[str]:
    """What clients see an image as: its tags, its digests, its id."""
    yield from (*record.names, record.id)


def labels(name: str, record: ImageRecord) -> dict[str, str]:
    """What the record tells in labels of CRI's, and what clients wrote."""
    own = {MANAGED: "managed", **({PINNED: "pinned"} if record.pinned else {})}
    return {**record.labels.get(name, {}), **own}


def _adaptor(image: Any) -> Any:
    target = {"digest": image.target.digest, "mediatype": image.target.media_type}
    return adaptor({"name": image.name, "target": target, "labels": image.labels})
