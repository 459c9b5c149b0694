"""CRI's ImageService over the runtime's images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from runtime.cri.answers import image, make
from runtime.cri.info import image_info


class ImageService:
    """One method an RPC, named as the RPC; `images` is `runtime.images.service.ImageService`."""

    def __init__(self, images: Any, root: Path) -> None:
        self._images = images
        self._root = root

    async def ListImages(self, request: Any, context: Any) -> Any:  # noqa: N802 - the RPC's name
        wanted = request.filter.image.image
        if wanted:
            found = self._images.get(wanted)
            return make("ListImagesResponse", images=[image(found)] if found else [])
        return make("ListImagesResponse", images=[image(record) for record in self._images.list()])

    async def ImageStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = self._images.get(request.image.image)
        if found is None:
            return make("ImageStatusResponse")
        return make("ImageStatusResponse", image=image(found), info=image_info(found) if request.verbose else {})

    async def PullImage(self, request: Any, context: Any) -> Any:  # noqa: N802
        auth = request.auth if request.HasField("auth") else None
        record = await self._images.pull(request.image.image, auth)
        return make("PullImageResponse", image_ref=record.id)

    async def RemoveImage(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._images.remove(request.image.image)
        return make("RemoveImageResponse")

    async def ImageFsInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        used, inodes = await self._images.usage()
        usage = make(
            "FilesystemUsage",
            timestamp=time.time_ns(),
            fs_id=make("FilesystemIdentifier", mountpoint=str(self._root)),
            used_bytes=make("UInt64Value", value=used),
            inodes_used=make("UInt64Value", value=inodes),
        )
        return make("ImageFsInfoResponse", image_filesystems=[usage], container_filesystems=[usage])
