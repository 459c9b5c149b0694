"""The boundary around a unit of work: what fails inside is counted and told, in full the first time alone."""

from __future__ import annotations

import asyncio

import pytest

from machinery.contain import contain, failures


def fail(about: str, error: BaseException) -> None:
    with contain("test unit", about=about):
        raise error


def test_a_failure_is_counted_and_told_in_full_once(caplog: pytest.LogCaptureFixture) -> None:
    before = failures.get("test unit", 0)
    for _ in range(3):
        fail("odd", ValueError("what it was"))
    fail("odd", ValueError("something else"))
    fail("another", ValueError("what it was"))
    assert failures["test unit"] == before + 5
    told = [(record.getMessage(), bool(record.exc_info)) for record in caplog.records]
    said = "test unit failed: odd: ValueError('what it was')"
    assert told[:3] == [(said, True), (said, False), (said, False)]
    assert [in_full for _, in_full in told[3:]] == [True, True]


def test_a_cancellation_is_no_failure() -> None:
    with pytest.raises(asyncio.CancelledError):
        fail("cancelled", asyncio.CancelledError())
