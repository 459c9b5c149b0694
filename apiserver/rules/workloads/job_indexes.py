"""Indexes of a Job as its fields tell them: `0,2-4`, in order, each below the number of completions."""

from __future__ import annotations

import re

Interval = tuple[int, int]
_NUMBER = re.compile(r"[+-]?[0-9]+")


def read_indexes(text: str, completions: int) -> list[Interval]:
    """The intervals, first and last index of each; raises ValueError in upstream's words."""
    found: list[Interval] = []
    for part in text.split(",") if text else ():
        first, last = _read_interval(part, completions)
        if found and found[-1][1] >= first:
            raise ValueError(_out_of_order(found[-1][1], first))
        found.append((first, last))
    return found


def overlap(completed: str, failed: str, completions: int) -> int | None:
    """The first index that is in both, None where there is none; parts that can't be read are passed over."""
    done, lost = (_readable(text, completions) for text in (completed, failed))
    shared = [max(a, c) for a, b in done for c, d in lost if a <= d and c <= b]
    return min(shared, default=None)


def _readable(text: str, completions: int) -> list[Interval]:
    found = []
    for part in text.split(",") if text else ():
        try:
            found.append(_read_interval(part, completions))
        except ValueError:
            continue
    return found


def _read_interval(text: str, completions: int) -> Interval:
    limits = text.split("-")
    if len(limits) > 2:
        raise ValueError(
            f'the fragment "{text}" violates the requirement that an index interval can have at most two parts'
            " separated by '-'"
        )
    numbers = [_read_index(limit, completions) for limit in limits]
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        raise ValueError(_out_of_order(*numbers))
    return numbers[0], numbers[-1]


def _read_index(text: str, completions: int) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    if int(text) >= completions:
        raise ValueError(f'too large index: "{text}"')
    return int(text)


def _out_of_order(previous: int, current: int) -> str:
    return f"non-increasing order, previous: {previous}, current: {current}"
