"""Admission: a chain of functions, each of which may change a new object or refuse the request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from apiserver.registry.call import Call
from machinery.api.resource import Object, Resource
from machinery.structs import Struct

Operation = Literal["CREATE", "UPDATE", "DELETE"]


class Review(Struct, frozen=True):
    """What is asked of admission. `obj` may be changed in place; it is None for a delete, `old` for a create."""

    operation: Operation
    call: Call
    resource: Resource
    namespace: str
    name: str
    obj: Object | None = None
    old: Object | None = None

    @property
    def subresource(self) -> str:
        return self.call.target.subresource


Admit = Callable[[Review], Awaitable[None]]


async def admit(chain: Sequence[Admit], review: Review) -> None:
    """Asks each function in order; the first that raises ends the request."""
    for each in chain:
        await each(review)
