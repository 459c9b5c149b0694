"""Faults of the runtime as gRPC statuses, once for every RPC: each RPC is a unit of work of its own."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator
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
                guard = _guard_stream(method) if inspect.isasyncgenfunction(method) else _guard(name, method, group)
                setattr(self, name, guard)


def _guard_stream(method: Any) -> Any:
    """A stream ends with its client, so nothing of it goes on in the group."""

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        import grpc

        try:
            async for answer in method(request, context):
                yield answer
        except RuntimeFault as fault:
            await context.abort(getattr(grpc.StatusCode, fault.code), fault.message)
        except OSError as error:
            LOG.exception("%s failed", method.__name__)
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))

    return stream


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
