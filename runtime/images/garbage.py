"""What no image and no lease needs is removed: blobs, and layers from the top down. Blocks."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from runtime.images.content import ContentStore
from runtime.images.record import ImageRecord
from runtime.snapshots.snapshot import Kind, Snapshot, Snapshotter, chain_ids


def remove_unused(
    images: Collection[ImageRecord], content: ContentStore, snapshotter: Snapshotter, held: Collection[str]
) -> bool:
    """Removes it; says whether containers still stand on some of it. `held` are digests of blobs under a lease."""
    blobs = {digest for image in images for digest in (image.manifest, image.id, *image.layers)}
    blobs |= {image.target(name) for image in images for name in image.names}
    blobs |= set(held)
    for digest in content.digests():
        if digest not in blobs:
            content.remove(digest)
    needed = {chain_id for image in images for chain_id in chain_ids(image.diff_ids)}
    while leaves := unused_leaves([*snapshotter.walk()], needed):
        for name in leaves:
            snapshotter.remove(name)
    return any(s.kind is Kind.COMMITTED and s.name not in needed for s in snapshotter.walk())


def unused_leaves(snapshots: Sequence[Snapshot], needed: Collection[str]) -> list[str]:
    """The committed snapshots that nothing stands on and no image needs. Pure."""
    parents = {snapshot.parent for snapshot in snapshots}
    return [
        snapshot.name
        for snapshot in snapshots
        if snapshot.kind is Kind.COMMITTED and snapshot.name not in needed and snapshot.name not in parents
    ]
