"""The one boundary around a unit of work: what fails inside is logged and counted, and harms nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

failures: dict[str, int] = {}
"""How many units of each sort have failed since the start; read by the metrics."""


@contextmanager
def contain(unit: str, *, about: str = "") -> Iterator[None]:
    """Swallows any failure of `unit` (request, controller key, pod worker pass, CRI call, watch stream) after logging.

    Cancellation passes through: it is not a failure.
    """
    try:
        yield
    except Exception:  # noqa: BLE001 - the boundary of DESIGN: one odd object harms nothing else
        failures[unit] = failures.get(unit, 0) + 1
        logging.getLogger(unit).exception("%s failed: %s", unit, about)
