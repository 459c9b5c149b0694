"""Keeps the images' disk from filling up: who goes when, by upstream's thresholds and ages.

An image in use, pinned or loaded by hand (which the runtime tells as pinned) is never removed. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from kubelet.cri_values import Image
from machinery.structs import Struct, replace

NEVER = datetime.fromtimestamp(0, UTC)


class ImageGcPolicy(Struct, frozen=True):
    """Percents of the disk: above `high` images go until `low` is reached (100 never). No `maximum_age`: any age."""

    high: int = 85
    low: int = 80
    minimum_age: timedelta = timedelta(minutes=2)
    maximum_age: timedelta = timedelta()


class ImageUse(Struct, frozen=True):
    """What is known of an image: `last_used` is when a container was last seen that has it."""

    id: str
    size: int
    pinned: bool
    first_seen: datetime
    last_used: datetime = NEVER


class Disk(Struct, frozen=True):
    """Bytes of the file system that holds the images."""

    capacity: int
    available: int


class Plan(Struct, frozen=True):
    """`remove` in this order, images too old first; `wanted` bytes are to be free, of which `eligible` can be."""

    remove: tuple[ImageUse, ...] = ()
    wanted: int = 0
    eligible: int = 0


def seen(
    before: Mapping[str, ImageUse], images: Iterable[Image], used: Collection[str], now: datetime, first: datetime
) -> dict[str, ImageUse]:
    """The images that there are now; `used` are references of containers' images, `first` is when new ones came."""
    after = {}
    for image in images:
        known = before.get(image.id) or ImageUse(image.id, image.size, image.pinned, first)
        is_used = not {image.id, *image.digests}.isdisjoint(used)
        last_used = now if is_used else known.last_used
        after[image.id] = replace(known, size=image.size, pinned=image.pinned, last_used=last_used)
    return after


def plan(uses: Iterable[ImageUse], disk: Disk, now: datetime, began: datetime, policy: ImageGcPolicy) -> Plan:
    """What goes at `now`; `began` is when images were first looked at, before which nobody knows their use."""
    unused = [use for use in uses if not use.pinned and use.last_used < now]
    order = sorted(unused, key=lambda use: (use.last_used, use.first_seen, use.id))
    old = _too_old(order, now, began, policy)
    rest = [use for use in order if use not in old]
    wanted = _wanted(disk, policy)
    chosen: list[ImageUse] = []
    freed = 0
    for use in rest:
        if freed < wanted and now - use.first_seen >= policy.minimum_age:
            chosen.append(use)
            freed += use.size
    return Plan((*old, *chosen), wanted, freed)


def _too_old(order: Sequence[ImageUse], now: datetime, began: datetime, policy: ImageGcPolicy) -> list[ImageUse]:
    if not policy.maximum_age or now - began <= policy.maximum_age:
        return []
    return [use for use in order if now - max(use.last_used, use.first_seen) > policy.maximum_age]


def _wanted(disk: Disk, policy: ImageGcPolicy) -> int:
    """Bytes to free: down to the low threshold, once the high one is reached."""
    if disk.capacity <= 0 or policy.high >= 100:
        return 0
    usage = 100 - disk.available * 100 // disk.capacity
    if usage < policy.high:
        return 0
    return max(disk.capacity * (100 - policy.low) // 100 - disk.available, 0)
