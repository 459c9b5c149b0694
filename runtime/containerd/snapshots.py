"""The service `snapshots`, read only: layers and containers' file systems (`ctr snapshots list`, `usage`).

Layers are named by their chain id, a container's writable one by the container's id. None can be made by hand: this
runtime unpacks images by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from machinery.rpc.wire import CONTAINERD
from runtime.containerd import caller
from runtime.containerd.filters import adaptor, any_of
from runtime.containerd.messages import make
from runtime.errors import NotFound
from runtime.images.service import ROOTFS, ImageService
from runtime.snapshots.snapshot import Kind, Snapshot

_KIND = CONTAINERD.enum("containerd.services.snapshots.v1.Kind")


class SnapshotsService:
    """`name` is what clients call the snapshotter."""

    def __init__(self, images: ImageService, name: str) -> None:
        self._snapshotter, self._name = images.snapshotter, name

    async def Stat(self, request: Any, context: Any) -> Any:  # noqa: N802 - the RPC's name
        found = self._known(request, context)
        return make("snapshots", "StatSnapshotResponse", info=_info(found))

    async def Usage(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = self._known(request, context)
        usage = await asyncio.to_thread(self._snapshotter.usage, found.name)
        return make("snapshots", "UsageResponse", size=usage.bytes, inodes=usage.inodes)

    async def List(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        passes = any_of(request.filters)
        is_ours = caller.is_ours(context) and request.snapshotter in ("", self._name)
        infos = [_info(each) for each in self._snapshotter.walk()] if is_ours else []
        found = [info for info in infos if passes(adaptor({"name": info.name, "parent": info.parent}))]
        yield make("snapshots", "ListSnapshotsResponse", info=found)

    def _known(self, request: Any, context: Any) -> Snapshot:
        if caller.is_ours(context) and request.snapshotter in ("", self._name):
            for name in (request.key, ROOTFS + request.key):
                found = next((each for each in self._snapshotter.walk() if each.name == name), None)
                if found is not None:
                    return found
        raise NotFound(f"snapshot {request.key} does not exist: not found")


def _info(snapshot: Snapshot) -> Any:
    return make(
        "snapshots",
        "Info",
        name=snapshot.name.removeprefix(ROOTFS),
        parent=snapshot.parent,
        kind=_KIND["COMMITTED" if snapshot.kind is Kind.COMMITTED else "ACTIVE"],
    )
