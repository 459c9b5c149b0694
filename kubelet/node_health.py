"""How the machine is now: what runs short, whether the runtime is ready, which images are there."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from kubelet.cri import Cri, Image, RuntimeFailure
from machinery.api.resource import Object

# Upstream's hard eviction thresholds: 100Mi of memory; a tenth of the disk and of the process ids.
_LEAST_MEMORY, _SHARE = 100 << 20, 10
_MOST_IMAGES, _MOST_NAMES = 50, 5


@dataclass(frozen=True)
class Health:
    """`not_ready` says why the runtime can't run pods; `short` names the conditions that are True."""

    short: frozenset[str] = frozenset()
    not_ready: tuple[str, ...] = ()
    images: tuple[Image, ...] = ()

    def image_list(self) -> list[Object]:
        """The largest images, as the node's status lists them."""
        largest = sorted(self.images, key=lambda image: (-image.size, image.id))[:_MOST_IMAGES]
        return [
            {"names": [*image.digests, *image.tags][:_MOST_NAMES], "sizeBytes": image.size}
            for image in largest
            if image.digests or image.tags
        ]


async def look(cri: Cri, root: Path) -> Health:
    """Asks the runtime and the machine; a runtime that doesn't answer is one that isn't ready."""
    short = await asyncio.to_thread(_shortages, root)
    try:
        not_ready = await cri.not_ready()
        images = tuple(await cri.images())
    except RuntimeFailure as failure:
        return Health(short, (f"RuntimeReady=false reason:{failure.code} message:{failure}",))
    return Health(short, not_ready, images)


def _shortages(root: Path) -> frozenset[str]:
    disk = os.statvfs(next(path for path in (root, *root.parents) if path.exists()))
    pids = sum(1 for name in os.listdir("/proc") if name.isdigit())
    facts = {
        "MemoryPressure": _available_memory() < _LEAST_MEMORY,
        "DiskPressure": disk.f_bavail * _SHARE < disk.f_blocks,
        "PIDPressure": pids * _SHARE > int(Path("/proc/sys/kernel/pid_max").read_text()) * (_SHARE - 1),
    }
    return frozenset(kind for kind, is_short in facts.items() if is_short)


def _available_memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
