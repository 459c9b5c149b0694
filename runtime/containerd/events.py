"""The service `events`: what happens to images, containers and tasks, as it happens (`ctr events`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from machinery.rpc.wire import CONTAINERD
from runtime.containerd import caller
from runtime.containerd.containers import RUNTIME
from runtime.containerd.filters import Adaptor, any_of
from runtime.containerd.images import labels
from runtime.containerd.messages import make, timestamp
from runtime.images.service import ImageService
from runtime.images.store import spelling
from runtime.sandbox.records import ContainerRecord

_LONGEST = 4096
_TOPICS = {
    "ContainerCreate": "/containers/create",
    "ContainerDelete": "/containers/delete",
    "TaskCreate": "/tasks/create",
    "TaskStart": "/tasks/start",
    "TaskOOM": "/tasks/oom",
    "TaskExit": "/tasks/exit",
    "TaskDelete": "/tasks/delete",
    "TaskPaused": "/tasks/paused",
    "TaskResumed": "/tasks/resumed",
}
_OF_CONTAINERS = {
    "created": ("ContainerCreate",),
    "started": ("TaskCreate", "TaskStart"),
    "stopped": ("TaskOOM", "TaskExit", "TaskDelete"),
    "deleted": ("ContainerDelete",),
}


class Events:
    """Tells whoever listens; a slow listener loses its stream."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[Any]] = set()

    def container(self, record: ContainerRecord, what: str) -> None:
        """A record was created, started, stopped or deleted; one that never ran has no task."""
        for name in _OF_CONTAINERS.get(what, ()):
            is_told = {"TaskOOM": record.reason == "OOMKilled", "TaskExit": record.pid, "TaskDelete": record.pid}
            if is_told.get(name, True):
                self.task(record, name)

    def task(self, record: ContainerRecord, name: str) -> None:
        """One event about a container, by its message's name."""
        if self._listeners:
            self._tell(_TOPICS[name], f"containerd.events.{name}", _fields(record, name))

    def image(self, what: str, name: str, labels: Mapping[str, str]) -> None:
        """`what` is create, update or delete; what is deleted has no labels any more."""
        if self._listeners:
            told = {} if what == "delete" else {"labels": dict(labels)}
            message = f"containerd.services.images.v1.Image{what.title()}"
            self._tell(f"/images/{what}", message, {"name": name, **told})

    def _tell(self, topic: str, message: str, fields: dict[str, Any]) -> None:
        event = CONTAINERD.message(message)(**fields)
        envelope = make(
            "events",
            "Envelope",
            timestamp=timestamp(time.time_ns()),
            namespace=caller.NAMESPACE,
            topic=topic,
            event={"type_url": message, "value": event.SerializeToString()},
        )
        for queue in list(self._listeners):
            if queue.qsize() >= _LONGEST:
                self._listeners.discard(queue)
            else:
                queue.put_nowait((envelope, event))

    def follow(self, images: ImageService) -> None:
        """Tells what happens to these images."""

        def told(what: str, name: str) -> None:
            record = images.get(name)
            self.image(what, name, labels(name, record) if record else {})

        images.subscribe(told)

    async def Subscribe(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the RPC's name
        passes = any_of(request.filters)
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            while queue in self._listeners or not queue.empty():
                envelope, event = await queue.get()
                if passes(_adaptor(envelope, event)):
                    yield envelope
        finally:
            self._listeners.discard(queue)


def _fields(record: ContainerRecord, name: str) -> dict[str, Any]:
    if name == "ContainerCreate":
        return {"id": record.id, "image": spelling(record.image), "runtime": {"name": RUNTIME}}
    if name == "ContainerDelete":
        return {"id": record.id}
    fields: dict[str, Any] = {"container_id": record.id}
    if name in ("TaskCreate", "TaskStart", "TaskExit", "TaskDelete"):
        fields["pid"] = record.pid
    if name in ("TaskExit", "TaskDelete"):
        fields |= {"exit_status": record.exit_code, "exited_at": timestamp(record.finished_at)}
    if name == "TaskExit":
        fields["id"] = record.id
    return fields


def _adaptor(envelope: Any, event: Any) -> Adaptor:
    def find(path: tuple[str, ...]) -> str | None:
        if path[0] == "event" and len(path) > 1:
            return str(getattr(event, path[1], "")) or None
        plain = {"topic": envelope.topic, "namespace": envelope.namespace}
        return plain.get(path[0]) if len(path) == 1 else None

    return find
