"""Looks at the node's images now and then, and removes those that image_gc.py gives up."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from pathlib import Path

from kubelet.cri import Cri, RuntimeFailure
from kubelet.image_gc import NEVER, Disk, ImageGcPolicy, ImageUse, Plan, plan, seen
from machinery.client.clock import Clock
from machinery.contain import contain

LOG = logging.getLogger("kubelet")
PERIOD = 300.0


def disk_of(folder: Path | None) -> Disk:
    """Nothing where the runtime's folder is not on this machine. Blocks."""
    if folder is None:
        return Disk(0, 0)
    found = os.statvfs(folder)
    return Disk(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


class ImageCollector:
    """`tell` records a warning about the node: reason and message. `kept` hears the ids of all images that are left."""

    def __init__(
        self,
        policy: ImageGcPolicy,
        cri: Cri,
        clock: Clock,
        tell: Callable[[str, str], None],
        kept: Callable[[Iterable[str]], Awaitable[None]],
        look: Callable[[Path | None], Disk] = disk_of,
    ) -> None:
        self._policy, self._cri, self._clock = policy, cri, clock
        self._tell, self._kept, self._look = tell, kept, look
        self._uses: dict[str, ImageUse] = {}
        self._began = clock.now()
        self._is_first = True

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            with contain("image gc"):
                try:
                    await self.collect()
                except RuntimeFailure as failure:
                    LOG.warning("images were not looked at: %s", failure)
            await self._clock.sleep(PERIOD)

    async def collect(self) -> Plan:
        """Removes what is due; raises RuntimeFailure where the runtime does not answer."""
        now = await self._refresh()
        disk = await asyncio.to_thread(self._look, await self._cri.image_folder())
        decided = plan(self._uses.values(), disk, now, self._began, self._policy)
        await self._remove(decided.remove)
        if decided.eligible < decided.wanted:
            self._tell(
                "FreeDiskSpaceFailed",
                "Failed to garbage collect required amount of images. Attempted to free "
                f"{decided.wanted} bytes, but only found {decided.eligible} bytes eligible to free.",
            )
        return decided

    async def remove_unused(self) -> None:
        """Removes all that is neither used nor kept, whatever its age: what a disk under pressure asks for."""
        try:
            now = await self._refresh()
        except RuntimeFailure as failure:
            LOG.warning("images were not looked at: %s", failure)
            return
        await self._remove([use for use in self._uses.values() if not use.pinned and use.last_used < now])

    async def _refresh(self) -> datetime:
        images, used = await self._cri.images(), await self._cri.used_images()
        now = self._clock.now()
        # How long images were there before this start nobody knows: their age is no reason to keep them.
        first, self._is_first = NEVER if self._is_first else now, False
        self._uses = seen(self._uses, images, used, now, first)
        await self._kept(self._uses)
        return now

    async def _remove(self, uses: Iterable[ImageUse]) -> None:
        for use in uses:
            try:
                await self._cri.remove_image(use.id)
            except RuntimeFailure as failure:
                LOG.warning("image %s was not removed: %s", use.id, failure)
                continue
            self._uses.pop(use.id, None)
            LOG.info("removed image %s, which nothing uses (%d bytes)", use.id, use.size)
