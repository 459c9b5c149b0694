"""Faults of the runtime as gRPC statuses, once for every RPC: each RPC is a unit of work of its own."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any

from machinery.contain import contain
from runtime.errors import DeadlineExceeded, RuntimeFault, Unknown

LOG = logging.getLogger("cri")


def guarded(service: Any, group: asyncio.TaskGroup) -> Any:
    """The service with each RPC's faults told by their code: UNKNOWN for what nobody foresaw.

    Each runs to its end in the group: a client that goes away in the middle leaves nothing half done.
    """
    return _Guarded(service, group)


class _Guarded:
    def __init__(self, service: Any, group: asyncio.TaskGroup) -> None:
        for name, method in inspect.getmembers(service, inspect.ismethod):
            if name[0].isupper():
                setattr(self, name, method if inspect.isasyncgenfunction(method) else _guard(name, method, group))


def _guard(name: str, method: Any, group: asyncio.TaskGroup) -> Any:
    async def outcome(request: Any, context: Any) -> Any:
        with contain(name):
            try:
                return await method(request, context)
            except RuntimeFault as fault:
                return fault
            except TimeoutError:
                return DeadlineExceeded(f"{name} timed out")
            except OSError as error:
                LOG.exception("%s failed", name)
                return Unknown(str(error))
        return Unknown(f"{name} failed; the log says why")

    async def call(request: Any, context: Any) -> Any:
        import grpc

        answer = await asyncio.shield(group.create_task(outcome(request, context)))
        if isinstance(answer, RuntimeFault):
            await context.abort(getattr(grpc.StatusCode, answer.code), answer.message)
        return answer

    return call
