"""How the machine is now: what runs short, whether the runtime is ready, which images are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kubelet.cri import Cri, RuntimeFailure
from kubelet.cri_values import Image
from machinery.api.resource import Object

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


async def look(cri: Cri, pressures: Callable[[], frozenset[str]]) -> Health:
    """Asks the runtime; one that doesn't answer isn't ready. `pressures` are the conditions that are True."""
    try:
        not_ready = await cri.not_ready()
        images = tuple(await cri.images())
    except RuntimeFailure as failure:
        return Health(pressures(), (f"RuntimeReady=false reason:{failure.code} message:{failure}",))
    return Health(pressures(), not_ready, images)
