"""Faults of the runtime as gRPC statuses, once for every RPC: each RPC is a unit of work of its own."""

from __future__ import annotations

import inspect
import logging
from typing import Any

from runtime.errors import RuntimeFault

LOG = logging.getLogger("cri")


def guarded(service: Any) -> Any:
    """The service with each RPC's faults told by their code: UNKNOWN for what nobody foresaw."""
    return _Guarded(service)


class _Guarded:
    def __init__(self, service: Any) -> None:
        for name, method in inspect.getmembers(service, inspect.ismethod):
            if name[0].isupper():
                setattr(self, name, method if inspect.isasyncgenfunction(method) else _guard(name, method))


def _guard(name: str, method: Any) -> Any:
    async def call(request: Any, context: Any) -> Any:
        import grpc

        try:
            return await method(request, context)
        except RuntimeFault as fault:
            await context.abort(getattr(grpc.StatusCode, fault.code), fault.message)
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"{name} timed out")
        except OSError as error:
            LOG.exception("%s failed", name)
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))

    return call
