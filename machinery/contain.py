"""The one boundary around a unit of work: what fails inside is logged and counted, and harms nothing else."""

from __future__ import annotations

import logging
from collections import OrderedDict

_LONGEST, _REMEMBERED = 300, 512
_told: OrderedDict[tuple[str, str, str], None] = OrderedDict()
failures: dict[str, int] = {}
"""How many units of each sort have failed since the start; read by the metrics."""


class Contained:
    """A unit of work in its boundary; `error` is what was contained, once it is over."""

    __slots__ = ("_about", "_unit", "error")

    def __init__(self, unit: str, about: str) -> None:
        self._unit, self._about = unit, about
        self.error: Exception | None = None

    def __enter__(self) -> Contained:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self.error = error
        failures[self._unit] = failures.get(self._unit, 0) + 1
        said = (self._unit, self._about[:_LONGEST], repr(error)[:_LONGEST])
        # An odd object fails again and again: its traceback is told once, or the log would be full of it.
        logging.getLogger(self._unit).error("%s failed: %s: %s", *said, exc_info=said not in _told)
        _told[said] = None
        if len(_told) > _REMEMBERED:
            _told.popitem(last=False)
        return True


def contain(unit: str, *, about: str = "") -> Contained:
    """Swallows any failure of `unit` (request, controller key, pod worker pass, CRI call, watch stream) after logging.

    Cancellation passes through: it is not a failure.
    """
    return Contained(unit, about)
