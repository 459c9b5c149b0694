"""A remembered function gives what it gave, asks again for another value, and does not keep what is large."""

from __future__ import annotations

from typing import Any

from machinery.by_content import by_content


def test_equal_values_are_asked_for_once_and_others_for_themselves() -> None:
    asked: list[tuple[Any, str]] = []

    @by_content
    def told(value: Any, path: str) -> tuple[Any, str]:
        asked.append((value, path))
        return value, path

    first = told({"a": [1]}, "spec")
    assert first == ({"a": [1]}, "spec")
    assert told({"a": [1]}, "spec") is first
    assert told({"a": [True]}, "spec") == ({"a": [True]}, "spec")
    assert told({"a": [1]}, "status")[1] == "status"
    assert len(asked) == 3


def test_a_value_that_changes_afterwards_is_another() -> None:
    value = {"a": 1}
    total = by_content(lambda numbers: sum(numbers.values()))
    assert total(value) == 1
    value["b"] = 2
    assert total(value) == 3


def test_large_values_are_not_kept() -> None:
    asked = []

    @by_content
    def size(value: str) -> int:
        asked.append(len(value))
        return len(value)

    assert [size("x" * 20_000) for _ in range(2)] == [20_000, 20_000] == asked


def test_alike_values_are_asked_for_once() -> None:
    asked = []

    def said(value: str) -> str:
        asked.append(value)
        return value

    told = by_content(said, lambda body: body.replace(b"-one", b"-any").replace(b"-two", b"-any"))
    assert [told("a-one"), told("a-two"), told("b-two")] == ["a-any", "a-any", "b-any"]
    assert asked == ["a-any", "b-any"]
