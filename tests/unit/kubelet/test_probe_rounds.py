"""When containers are asked: upstream's rounds count, and what is awaited is asked between the first two as well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from kubelet.probes import delay_left, rounds_of

ROUNDS = {
    "a period of a second": (
        1, True, True, [(0.0, True), (0.1, False), (0.2, False), (0.4, False), (0.3, True), (1.0, True), (1.0, True)],
    ),
    "of ten": (
        10, True, True,
        [(0.0, True), (0.1, False), (0.2, False), (0.4, False), (0.8, False), (1.6, False), (3.2, False), (3.7, True),
         (10.0, True)],
    ),
    "it may still be starting": (
        1, True, False, [(0.0, False), (0.1, False), (0.2, False), (0.4, False), (0.3, True), (1.0, True)],
    ),
    "nobody waits for a failure": (10, False, False, [(10.0, True), (10.0, True)]),
}  # fmt: skip


@pytest.mark.parametrize(("period", "is_awaited", "at_once", "expected"), ROUNDS.values(), ids=ROUNDS)
def test_rounds(period: int, is_awaited: bool, at_once: bool, expected: list[tuple[float, bool]]) -> None:  # noqa: FBT001
    found = list(islice(rounds_of(period, is_awaited=is_awaited, counts_at_once=at_once), len(expected)))
    assert [counts for _, counts in found] == [counts for _, counts in expected]
    assert [wait for wait, _ in found] == pytest.approx([wait for wait, _ in expected])


@pytest.mark.parametrize("period", [1, 2, 3, 10, 60, 3600])
def test_a_failure_counts_once_a_period(period: int) -> None:
    at, counted = 0.0, []
    for wait, counts in islice(rounds_of(period, is_awaited=True, counts_at_once=True), 40):
        at += wait
        if counts:
            counted.append(at)
    assert counted == pytest.approx([period * index for index in range(len(counted))])


BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("probe", "since", "left"),
    [
        ({}, 0, 0.0),
        ({"initialDelaySeconds": 5}, 0, 5.0),
        ({"initialDelaySeconds": 5}, 3, 2.0),
        ({"initialDelaySeconds": 5}, 60, 0.0),
        ({"initialDelaySeconds": 5}, -60, 5.0),
    ],
)
def test_the_delay_counts_from_the_container_s_start(probe: dict[str, int], since: int, left: float) -> None:
    assert delay_left(probe, BEGAN, BEGAN + timedelta(seconds=since)) == left
    assert delay_left(probe, None, BEGAN) == probe.get("initialDelaySeconds", 0)
