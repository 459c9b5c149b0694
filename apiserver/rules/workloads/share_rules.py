"""Numbers of pods that may be told as a share of all (`3` or `30%`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apiserver.rules.field_errors import all_of, invalid_value, not_negative
from machinery.api import names
from machinery.api.errors import Cause


def share_errors(value: Any, path: str) -> list[Cause]:
    if isinstance(value, str):
        return all_of(path, value, names.percent(value))
    return not_negative(path, value)


def more_than_all_errors(value: Any, path: str) -> Iterator[Cause]:
    percent = _percent(value)
    if percent is not None and percent > 100:
        yield invalid_value(path, value, "must not be greater than 100%")


def share(value: Any) -> int:
    """The number before the `%`, or the number itself; 0 for what is neither."""
    if not isinstance(value, str):
        return value or 0
    percent = _percent(value)
    return percent if percent is not None else int(value) if value.isascii() and value.isdigit() else 0


def _percent(value: Any) -> int | None:
    return int(value[:-1]) if isinstance(value, str) and not names.percent(value) else None
