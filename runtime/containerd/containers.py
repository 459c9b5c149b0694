"""The service `containers`: what runs or has run, by the ids of the CRI (`ctr containers list`, `info`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from runtime.containerd import caller
from runtime.containerd.filters import adaptor, any_of
from runtime.containerd.messages import make, timestamp
from runtime.errors import NotFound
from runtime.images.store import spelling
from runtime.sandbox.containers import Containers
from runtime.sandbox.records import ContainerRecord

RUNTIME = "io.containerd.runc.v2"
SPEC = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
"""The type URL of a container's OCI specification, whose value is JSON."""
STOP_SIGNAL = "io.containerd.image.config.stop-signal"


class ContainersService:
    """`bundles` is where the containers' OCI bundles are, `snapshotter` what clients call the one in use."""

    def __init__(self, containers: Containers, bundles: Path, snapshotter: str) -> None:
        self._containers, self._bundles, self._snapshotter = containers, bundles, snapshotter

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802 - the RPC's name
        record = known(self._containers, request.id, context)
        return make("containers", "GetContainerResponse", container=await self._message(record))

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        return make("containers", "ListContainersResponse", containers=await self._chosen(request.filters, context))

    async def ListStream(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        for container in await self._chosen(request.filters, context):
            yield make("containers", "ListContainerMessage", container=container)

    async def _chosen(self, filters: Any, context: Any) -> list[Any]:
        passes = any_of(filters)
        records = list(self._containers.records) if caller.is_ours(context) else []
        messages = [await self._message(record) for record in records if record.state != "creating"]
        return [message for message in messages if passes(_adaptor(message))]

    async def _message(self, record: ContainerRecord) -> Any:
        return make(
            "containers",
            "Container",
            id=record.id,
            labels=labels(record),
            image=spelling(record.image),
            runtime={"name": RUNTIME},
            spec={"type_url": SPEC, "value": await asyncio.to_thread(self._spec, record)},
            snapshotter=self._snapshotter,
            snapshot_key=record.id,
            created_at=timestamp(record.created_at),
            updated_at=timestamp(record.created_at),
        )

    def _spec(self, record: ContainerRecord) -> bytes:
        try:
            return (self._bundles / record.id / "config.json").read_bytes()
        except FileNotFoundError:
            # A reboot takes the bundles of containers that ended with it.
            return b"{}"


def labels(record: ContainerRecord) -> dict[str, str]:
    """The CRI's labels, and those that containerd's own CRI adds."""
    return {**record.labels, "io.cri-containerd.kind": "container", STOP_SIGNAL: record.stop_signal}


def known(containers: Containers, container_id: str, context: Any) -> ContainerRecord:
    """The container in the caller's namespace; raises NotFound."""
    record = containers.records.get(container_id) if caller.is_ours(context) else None
    if record is None or record.state == "creating":
        raise NotFound(f'container "{container_id}" in namespace "{caller.namespace(context)}": not found')
    return record


def _adaptor(container: Any) -> Any:
    fields = {"id": container.id, "image": container.image, "labels": container.labels}
    return adaptor({**fields, "runtime": {"name": container.runtime.name}})
