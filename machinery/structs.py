"""Plain values with named fields: what dataclasses are, made and filled in C by msgspec.

A dataclass's methods are compiled from text each time that its module is loaded. There are hundreds of them, and that
was almost half of what the start of the process took. Dataclasses they are still where msgspec has no wheel.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from msgspec import Struct, field
else:
    try:
        from msgspec import Struct, field
    except ModuleNotFoundError:
        from dataclasses import field

        class Struct:
            """Makes each class below it a dataclass; the keywords are msgspec's."""

            def __init_subclass__(cls, *, frozen=False, eq=True, order=False, dict=False, weakref=False):  # noqa: A002
                super().__init_subclass__()
                dataclasses.dataclass(frozen=frozen, eq=eq, order=order)(cls)


__all__ = ["Struct", "field", "replace"]


def replace(value: T, /, **changes: object) -> T:
    """A copy of the Struct or dataclass with other values in these fields."""
    copy = getattr(value, "__replace__", None)
    made: T = copy(**changes) if copy is not None else dataclasses.replace(value, **changes)  # type: ignore[type-var]
    return made
