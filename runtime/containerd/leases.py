"""The service `leases`: what clients send stays until they have named it."""

from __future__ import annotations

import uuid
from typing import Any

from runtime.containerd.caller import is_ours, require_ours
from runtime.containerd.filters import adaptor, any_of
from runtime.containerd.messages import empty, make, timestamp
from runtime.images.leases import Lease
from runtime.images.service import ImageService


class LeasesService:
    def __init__(self, images: ImageService) -> None:
        self._images, self._leases = images, images.leases

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802 - the RPC's name
        require_ours(context)
        lease = self._leases.create(request.id or str(uuid.uuid4()), request.labels)
        return make("leases", "CreateResponse", lease=_message(lease))

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        require_ours(context)
        await self._images.release(request.id)
        return empty()

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        passes = any_of(request.filters)
        found = self._leases.list() if is_ours(context) else []
        leases = [_message(lease) for lease in found if passes(adaptor({"id": lease.id, "labels": lease.labels}))]
        return make("leases", "ListResponse", leases=leases)

    async def AddResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        require_ours(context)
        self._leases.get(request.id).resources.add((request.resource.type, request.resource.id))
        return empty()

    async def DeleteResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        require_ours(context)
        self._leases.get(request.id).resources.discard((request.resource.type, request.resource.id))
        return empty()

    async def ListResources(self, request: Any, context: Any) -> Any:  # noqa: N802
        require_ours(context)
        found = sorted(self._leases.get(request.id).resources)
        return make("leases", "ListResourcesResponse", resources=[{"type": sort, "id": name} for sort, name in found])


def _message(lease: Lease) -> Any:
    return make("leases", "Lease", id=lease.id, created_at=timestamp(lease.created_at), labels=dict(lease.labels))
