"""Brings one blob from a registry into the content store: continued where it stopped, retried, verified."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable

from runtime.errors import DeadlineExceeded, RuntimeFault, Unavailable
from runtime.images.content import ContentStore, Ingest
from runtime.images.media import Descriptor
from runtime.images.queue_by_key import QueueByKey
from runtime.images.registry import Registry

Progress = Callable[[str, int, int], None]
"""Told digest, bytes so far and size as layers arrive."""

PASSING = (Unavailable, DeadlineExceeded)
DELAYS = (0.2, 1.0, 3.0)
log = logging.getLogger("images")


class Downloads:
    """All downloads into one content store: a blob that two pulls want arrives once."""

    def __init__(self, content: ContentStore) -> None:
        self._content, self._queue = content, QueueByKey()

    async def fetch(self, registry: Registry, descriptor: Descriptor, on_progress: Progress | None = None) -> None:
        """The blob is in the store; raises what the last attempt met."""
        async with self._queue.turn(descriptor.digest):
            if await asyncio.to_thread(self._content.has, descriptor.digest):
                return
            for delay in DELAYS:
                try:
                    await self._attempt(registry, descriptor, on_progress)
                except PASSING as error:
                    log.warning("download of %s failed, trying again: %s", descriptor.digest, error)
                    await asyncio.sleep(delay)
                else:
                    return
            await self._attempt(registry, descriptor, on_progress)

    async def _attempt(self, registry: Registry, descriptor: Descriptor, on_progress: Progress | None) -> None:
        ingest = self._content.ingest(descriptor)
        try:
            await asyncio.to_thread(ingest.resume)
            if ingest.offset < descriptor.size:
                await _receive(registry, descriptor, ingest, on_progress)
            await asyncio.to_thread(ingest.commit)
        except RuntimeFault as error:
            raise error.within(f'failed to copy layer "{descriptor.digest}"') from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                # Others need the room more than the next attempt needs what there is of the blob.
                await asyncio.to_thread(ingest.restart)
            raise
        finally:
            ingest.close()


async def _receive(registry: Registry, descriptor: Descriptor, ingest: Ingest, on_progress: Progress | None) -> None:
    async with registry.blob(descriptor.digest, ingest.offset) as (continues, chunks):
        if not continues and ingest.offset:
            await asyncio.to_thread(ingest.restart)
        async for chunk in chunks:
            # Hashing and writing a megabyte takes milliseconds, more on a busy disk: not on the loop.
            await asyncio.to_thread(ingest.write, chunk)
            if on_progress:
                on_progress(descriptor.digest, ingest.offset, descriptor.size)
