"""Structs hold what their code asks of them, made by msgspec or, where it has no wheel, as dataclasses."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from functools import cached_property
from types import ModuleType
from typing import Any, Generic, TypeVar

import pytest

import machinery.structs

T = TypeVar("T")


def without_msgspec() -> ModuleType:
    spec = importlib.util.spec_from_file_location("structs_without_msgspec", machinery.structs.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "msgspec", None)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["msgspec", "dataclasses"])
def structs(request: pytest.FixtureRequest) -> Any:
    return machinery.structs if request.param == "msgspec" else without_msgspec()


def test_the_two_are_two() -> None:
    assert machinery.structs.Struct.__module__ == "msgspec"
    assert without_msgspec().Struct.__module__ == "structs_without_msgspec"


def test_a_frozen_value_is_compared_hashed_and_replaced_by_its_fields(structs: Any) -> None:
    class Point(structs.Struct, frozen=True):
        x: int
        labels: tuple[str, ...] = ()

    point = Point(1, labels=("a",))
    assert point == Point(1, ("a",)) != Point(2, ("a",))
    assert hash(point) == hash(Point(1, ("a",)))
    assert structs.replace(point, x=3) == Point(3, ("a",))
    with pytest.raises((AttributeError, dataclasses.FrozenInstanceError)):
        point.x = 2
    with pytest.raises(TypeError):
        Point()


def test_what_may_change_is_made_anew_for_each(structs: Any) -> None:
    class Bag(structs.Struct):
        items: list[int] = structs.field(default_factory=list)

    first, second = Bag(), Bag()
    first.items.append(1)
    assert (first.items, second.items) == ([1], [])
    second.items = [2]
    assert second == Bag([2])


def test_classes_below_inherit_and_may_be_told_apart_by_themselves_alone(structs: Any) -> None:
    class Base(structs.Struct, Generic[T], frozen=True, eq=False, dict=True, weakref=True):
        name: T

        @cached_property
        def size(self) -> int:
            return len(str(self.name))

    class Below(Base[str], frozen=True, eq=False):
        more: int = 0

    assert Below("abc", 1).size == 3
    assert Below("abc") != Below("abc")


def test_ordered_values_sort_by_their_fields(structs: Any) -> None:
    class At(structs.Struct, frozen=True, order=True):
        hour: int
        minute: int = 0

    assert sorted([At(2), At(1, 5), At(1)]) == [At(1), At(1, 5), At(2)]


def test_dataclasses_are_replaced_too() -> None:
    @dataclasses.dataclass(frozen=True)
    class Plain:
        a: int
        b: int = 0

    assert machinery.structs.replace(Plain(1), b=2) == Plain(1, 2)
