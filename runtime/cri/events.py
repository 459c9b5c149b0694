"""Container events for whoever listens (`GetContainerEvents`), as they happen; a slow listener loses its stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from machinery.rpc.wire import CRI
from runtime.cri.answers import container_status, make, sandbox_status
from runtime.sandbox.records import ContainerRecord, SandboxRecord

_LONGEST = 4096
_TYPES = {"created": "CREATED", "started": "STARTED", "stopped": "STOPPED", "deleted": "DELETED"}


class Events:
    """`sandbox_of` gives a container's sandbox, None where that is gone."""

    def __init__(self, sandbox_of: Callable[[str], SandboxRecord | None]) -> None:
        self._sandbox_of = sandbox_of
        self._listeners: set[asyncio.Queue[Any]] = set()

    @contextmanager
    def subscribed(self) -> Iterator[asyncio.Queue[Any]]:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    def container(self, record: ContainerRecord, what: str) -> None:
        found = self._sandbox_of(record.sandbox_id)
        if found is not None:
            self._tell(record.id, found, what, [container_status(record)])

    def sandbox(self, record: SandboxRecord, what: str) -> None:
        self._tell(record.id, record, what, [])

    def _tell(self, container_id: str, sandbox: SandboxRecord, what: str, statuses: list[Any]) -> None:
        if not self._listeners:
            return
        kind = CRI.enum("runtime.v1.ContainerEventType")[f"CONTAINER_{_TYPES[what]}_EVENT"]
        event = make(
            "ContainerEventResponse",
            container_id=container_id,
            container_event_type=kind,
            created_at=time.time_ns(),
            pod_sandbox_status=sandbox_status(sandbox),
            containers_statuses=statuses,
        )
        for queue in list(self._listeners):
            if queue.qsize() >= _LONGEST:
                self._listeners.discard(queue)
            else:
                queue.put_nowait(event)
