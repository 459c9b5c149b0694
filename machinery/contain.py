"""The one boundary around a unit of work: what fails inside is logged and counted, and harms nothing else."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LONGEST, _REMEMBERED = 300, 512
_told: OrderedDict[tuple[str, str, str], None] = OrderedDict()
failures: dict[str, int] = {}
"""How many units of each sort have failed since the start; read by the metrics."""


@dataclass
class Contained:
    """What became of the unit: the error that was contained, once it is over."""

    error: Exception | None = None


@contextmanager
def contain(unit: str, *, about: str = "") -> Iterator[Contained]:
    """Swallows any failure of `unit` (request, controller key, pod worker pass, CRI call, watch stream) after logging.

    Cancellation passes through: it is not a failure.
    """
    contained = Contained()
    try:
        yield contained
    except Exception as error:  # noqa: BLE001 - the boundary of DESIGN: one odd object harms nothing else
        contained.error = error
        failures[unit] = failures.get(unit, 0) + 1
        said = (unit, about[:_LONGEST], repr(error)[:_LONGEST])
        # An odd object fails again and again: its traceback is told once, or the log would be full of it.
        logging.getLogger(unit).error("%s failed: %s: %s", *said, exc_info=said not in _told)
        _told[said] = None
        if len(_told) > _REMEMBERED:
            _told.popitem(last=False)
