"""Imports the archives that lie in a folder when the runtime starts: the way to images on a machine without network.

What was imported is remembered by size and time, so that a start reads only what is new or was removed since.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from machinery.contain import contain
from runtime.errors import RuntimeFault
from runtime.images.content import write_atomically
from runtime.images.service import ImageService

LOG = logging.getLogger("images")


async def import_archives(folder: Path, memory: Path, images: ImageService, begin: asyncio.Event) -> None:
    """From `begin` on imports each `*.tar*` of `folder` by name; one that can't be is logged and passed over."""
    await begin.wait()
    known = await asyncio.to_thread(_read, memory)
    for path in await asyncio.to_thread(lambda: sorted(path for path in folder.glob("*.tar*") if path.is_file())):
        with contain("archive", about=str(path)):
            try:
                status = await asyncio.to_thread(path.stat)
                mark = [status.st_size, status.st_mtime_ns]
                before = known.get(path.name, {})
                if before.get("mark") == mark and all(images.get(image) for image in before["images"]):
                    continue
                found = await images.import_archive(path)
            except (RuntimeFault, OSError) as error:
                LOG.warning("%s was not imported: %s", path, error)
                continue
            known[path.name] = {"mark": mark, "images": [image.id for image in found]}
            await asyncio.to_thread(write_atomically, memory, json.dumps(known).encode())
            names = ", ".join(name for image in found for name in image.repo_tags or (image.id,))
            LOG.info("imported %s from %s", names, path)


def _read(memory: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(memory.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found
