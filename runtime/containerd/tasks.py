"""The service `tasks`: processes of running containers (`ctr tasks list`, `ps`, `metrics`, `pause`, `resume`, `kill`).

A container that has ended has no task, as with containerd's CRI, which removes it at once.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from machinery.linux import cgroup
from machinery.rpc.wire import CONTAINERD
from runtime.containerd import caller
from runtime.containerd.containers import known
from runtime.containerd.events import Events
from runtime.containerd.filters import adaptor, any_of
from runtime.containerd.messages import empty, make, timestamp
from runtime.containerd.metrics import task_metrics
from runtime.errors import NotFound, Unimplemented
from runtime.sandbox.containers import Containers
from runtime.sandbox.records import ContainerRecord

_STATUS = CONTAINERD.enum("containerd.v1.types.Status")


class TasksService:
    def __init__(self, containers: Containers, events: Events) -> None:
        self._containers, self._events = containers, events

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802 - the RPC's name
        record = self._running(request, context)
        return make("tasks", "GetResponse", process=await asyncio.to_thread(_process, record))

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        records = list(self._containers.records) if caller.is_ours(context) else []

        def read() -> list[Any]:
            return [_process(record) for record in records if record.state == "running"]

        return make("tasks", "ListTasksResponse", tasks=await asyncio.to_thread(read))

    async def Kill(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._containers.signal(self._running(request, context), request.signal, everyone=request.all)
        return empty()

    async def Pause(self, request: Any, context: Any) -> Any:  # noqa: N802
        record = self._running(request, context)
        await self._containers.pause(record)
        self._events.task(record, "TaskPaused")
        return empty()

    async def Resume(self, request: Any, context: Any) -> Any:  # noqa: N802
        record = self._running(request, context)
        await self._containers.resume(record)
        self._events.task(record, "TaskResumed")
        return empty()

    async def ListPids(self, request: Any, context: Any) -> Any:  # noqa: N802
        record = self._running(request, context)
        pids = sorted(await asyncio.to_thread(cgroup.processes, record.cgroup_path))
        return make("tasks", "ListPidsResponse", processes=[{"pid": pid} for pid in pids])

    async def Metrics(self, request: Any, context: Any) -> Any:  # noqa: N802
        passes = any_of(request.filters)
        records = list(self._containers.records) if caller.is_ours(context) else []
        chosen = [each for each in records if each.state == "running" and passes(adaptor({"id": each.id}))]
        metrics = await asyncio.to_thread(lambda: [_metric(record) for record in chosen])
        return make("tasks", "MetricsResponse", metrics=metrics)

    def _running(self, request: Any, context: Any) -> ContainerRecord:
        record = known(self._containers, request.container_id, context)
        if getattr(request, "exec_id", ""):
            raise Unimplemented("processes of exec are not tasks of this runtime")
        if record.state != "running":
            raise NotFound(f"task {record.id} not found: not found")
        return record


def _metric(record: ContainerRecord) -> dict[str, Any]:
    type_url, value = task_metrics(record.cgroup_path)
    data = {"type_url": type_url, "value": value}
    return {"timestamp": timestamp(time.time_ns()), "id": record.id, "data": data}


def _process(record: ContainerRecord) -> Any:
    """The task as containerd tells it. Blocks: whether it is paused stands in its cgroup."""
    status = _STATUS["PAUSED" if cgroup.is_frozen(record.cgroup_path) else "RUNNING"]
    message = CONTAINERD.message("containerd.v1.types.Process")
    return message(container_id=record.id, id=record.id, pid=record.pid, status=status, terminal=record.tty)
