"""How the machine is now: what runs short, whether the runtime is ready, which images are there."""

from __future__ import annotations

from collections.abc import Callable

from kubelet.cri import Cri, RuntimeFailure
from kubelet.cri_values import Image, RuntimeStatus
from machinery.api.resource import Object
from machinery.structs import Struct

_MOST_IMAGES, _MOST_NAMES = 50, 5


class Health(Struct, frozen=True):
    """`short` names the conditions that are True."""

    short: frozenset[str] = frozenset()
    runtime: RuntimeStatus = RuntimeStatus()
    images: tuple[Image, ...] = ()

    def image_list(self) -> list[Object]:
        """The largest images, as the node's status lists them."""
        largest = sorted(self.images, key=lambda image: (-image.size, image.id))[:_MOST_IMAGES]
        return [
            {"names": [*image.digests, *image.tags][:_MOST_NAMES], "sizeBytes": image.size}
            for image in largest
            if image.digests or image.tags
        ]

    def runtime_features(self) -> Object:
        """What the node's status tells of the runtime's handlers and features."""
        handlers = [
            {
                "name": handler.name,
                "features": {
                    "recursiveReadOnlyMounts": handler.recursive_read_only_mounts,
                    "userNamespaces": handler.user_namespaces,
                },
            }
            for handler in self.runtime.handlers
        ]
        found: Object = {"runtimeHandlers": handlers} if handlers else {}
        if self.runtime.supplemental_groups_policy:
            found["features"] = {"supplementalGroupsPolicy": True}
        return found


async def look(cri: Cri, pressures: Callable[[], frozenset[str]]) -> Health:
    """Asks the runtime; one that doesn't answer isn't ready. `pressures` are the conditions that are True."""
    try:
        runtime = await cri.status()
        images = tuple(await cri.images())
    except RuntimeFailure as failure:
        why = f"RuntimeReady=false reason:{failure.code} message:{failure}"
        return Health(pressures(), RuntimeStatus((why,)))
    return Health(pressures(), runtime, images)
